"""The distinguishing audit, from the far end: what does the output picture say about which of two codes went in?

A synthetic face stands in for the real one. Whatever its crop looks like, the encoder answers with one of the two
worst-case codes of `codebook` (a code and its opposite); from there on everything is the product: draw, warp,
decoder, blending into the frame. Each run is a track of its own, of `FRAMES` frames, in which nobody may become
somebody else. The attacker knows the codebook, reads each frame with the recogniser that made it, and takes the
nearest entry.
"""

from __future__ import annotations

import numpy as np

from calibration.assign import IdentityAssigner
from calibration.audit.epsilon import EpsilonFinding
from calibration.audit.tracks import TrackReading, audit_tracks, tracks_needed
from calibration.codebook import Codebook
from calibration.mechanisms import CodebookMechanism
from calibration.scenes import Cutout, Keyframe, Role, Scene
from engines.face.template import RECOGNITION_POINTS_PX, RECOGNITION_SIDE_PX, similarity_from_points
from engines.identity import IdentityEncoder
from streamer.audit.pictures import CentralFace, Covered, FoundFace, cover, frame_of_picture
from streamer.errors import VeilstreamError
from streamer.frame import Float32Array, Float64Array, UInt8Array
from streamer.identity import IdentityKeeper
from streamer.planes import read_patch
from streamer.render.compositor import Compositor
from streamer.toolkit import SyntheticTools, Toolkit

FRAMES = 2
_SCENE_SIZE = (480, 360)
_FACE_WIDTH_PX = 150.0
_STEP_PX = 3.0


class _AnswersOneCode(IdentityEncoder):
    """Gives every crop the same code."""

    def __init__(self, code_unit: Float64Array) -> None:
        self._code = np.asarray(code_unit, dtype=np.float32)

    def encode(self, aligned_rgb_f32: Float32Array) -> Float32Array:
        return np.repeat(self._code[None], len(aligned_rgb_f32), axis=0)


def audit_pixels(toolkit: Toolkit, mechanism: CodebookMechanism, tracks: int | None = None) -> EpsilonFinding:
    """Render tracks under each of two opposite codes and recover who was drawn, from every frame.

    Args:
        toolkit: opened for synthetic replacement with a mechanism that needs codes.
        tracks: under each code; as many as the audit needs when left out.

    Raises:
        VeilstreamError: the scene's own face cannot be found or rendered.
    """
    tools = toolkit.synthetic
    if tools is None or tools.encoder is None:
        raise VeilstreamError(
            "the audit through the pixels needs synthetic replacement and the identity encoder"
        )
    count = tracks_needed(mechanism, tools.codebook.size) if tracks is None else tracks
    central = CentralFace(toolkit.detect)
    shot = []
    for picture in _scene_pictures(tools.codebook):
        face = central.find(picture)
        if face is None:
            raise VeilstreamError("the audit's scene shows no face that the detector finds")
        shot.append((picture, face))
    direction = tools.codebook.space.directions[0]
    near, far = (
        _Runs(tools, mechanism, towards, central).run(shot, count) for towards in (direction, -direction)
    )
    return audit_tracks(f"{mechanism.name}, from pixels", mechanism, tools.codebook, near, far)


class _Runs:
    """Tracks that all bring the same code."""

    def __init__(
        self,
        tools: SyntheticTools,
        mechanism: CodebookMechanism,
        direction: Float64Array,
        central: CentralFace,
    ) -> None:
        assert tools.encoder is not None
        self._encoder = tools.encoder
        self._codebook = tools.codebook
        self._central = central
        assigner = IdentityAssigner(mechanism, tools.codebook, session="audit")
        stand_in = _AnswersOneCode(tools.codebook.space.code(direction))
        self._keeper = IdentityKeeper(assigner, tools.codebook, stand_in, stream="audit")
        self._renderer = tools.renderer(self._keeper)
        self._compositor = Compositor(self._renderer)

    def run(self, shot: list[tuple[UInt8Array, FoundFace]], tracks: int) -> list[TrackReading]:
        readings = []
        for track_id in range(1, tracks + 1):
            looks = [self._look(*frame, track_id, number) for number, frame in enumerate(shot)]
            worn, seen = zip(*looks, strict=True)
            readings.append(TrackReading(worn, seen))
            self._renderer.release(track_id)
        return readings

    def _look(
        self, picture_rgb_u8: UInt8Array, face: FoundFace, track_id: int, number: int
    ) -> tuple[int, int]:
        """Who is worn on a frame of the track, and who is seen."""
        covered = cover(self._compositor, picture_rgb_u8, face, track_id, number)
        if not covered.synthetic:
            raise VeilstreamError("the audit's scene could not be rendered; its face was covered instead")
        return self._keeper.assignments[track_id].index, self._nearest_person(covered, face)

    def _nearest_person(self, covered: Covered, face: FoundFace) -> int:
        seen = self._central.find_again(covered.picture_rgb_u8, face) or face
        frame = frame_of_picture(covered.picture_rgb_u8)
        aligned_from_display = similarity_from_points(seen.points_xy_px, RECOGNITION_POINTS_PX)
        patch = read_patch(frame.video, frame.geometry, aligned_from_display, RECOGNITION_SIDE_PX)
        (code,) = self._encoder.encode((patch[None] * 255.0).astype(np.float32))
        space = self._codebook.space
        return int(space.rank(space.direction(code), np.arange(self._codebook.size))[0])


def _scene_pictures(codebook: Codebook) -> list[UInt8Array]:
    """A shot of one of the codebook's people, large, on the way through the middle."""
    person = codebook.person(codebook.size // 2)
    width, height = _SCENE_SIZE
    keys = tuple(
        Keyframe(number, width / 2.0 + _STEP_PX * number, height / 2.0, _FACE_WIDTH_PX)
        for number in range(FRAMES)
    )
    role = Role(1, Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px), keys)
    return [shot.picture_rgb_u8 for shot in Scene("audit", _SCENE_SIZE, FRAMES, [role], seed=3).frames()]
