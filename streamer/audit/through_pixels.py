"""The distinguishing audit, from the far end: what does the output picture say about which of two codes went in?

A synthetic face stands in for the real one. Whatever its crop looks like, the encoder answers with one of the two
worst-case codes of `codebook` (a code and its opposite); from there on everything is the product: draw, warp,
decoder, blending into the frame. Each run is a track of its own. The attacker knows the codebook, reads the output
with the recogniser that made it, and takes the nearest entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.assign import IdentityAssigner
from calibration.audit.epsilon import EpsilonFinding, audit_recovered
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

_SCENE_SIZE = (480, 360)
_FACE_WIDTH_PX = 150.0


@dataclass(frozen=True)
class PixelFinding:
    """The audit, and how well indices were recovered.

    Attributes:
        finding: the claim against the lower bound that the pictures show.
        runs: pictures rendered, both inputs together.
        recovered: in how many of them the nearest entry was the one drawn.
    """

    finding: EpsilonFinding
    runs: int
    recovered: int


class _AnswersOneCode(IdentityEncoder):
    """Gives every crop the same code."""

    def __init__(self, code_unit: Float64Array) -> None:
        self._code = np.asarray(code_unit, dtype=np.float32)

    def encode(self, aligned_rgb_f32: Float32Array) -> Float32Array:
        return np.repeat(self._code[None], len(aligned_rgb_f32), axis=0)


def audit_pixels(toolkit: Toolkit, mechanism: CodebookMechanism, draws: int) -> PixelFinding:
    """Render `draws` tracks under each of two opposite codes and recover who was drawn.

    Args:
        toolkit: opened for synthetic replacement with a mechanism that needs codes.

    Raises:
        VeilstreamError: the scene's own face cannot be found or rendered.
    """
    tools = toolkit.synthetic
    if tools is None or tools.encoder is None:
        raise VeilstreamError(
            "the audit through the pixels needs synthetic replacement and the identity encoder"
        )
    picture = _scene_picture(tools.codebook)
    central = CentralFace(toolkit.detect)
    face = central.find(picture)
    if face is None:
        raise VeilstreamError("the audit's scene shows no face that the detector finds")
    space = tools.codebook.space
    favoured = space.directions[0]
    nearest = mechanism.parameters(tools.codebook.size).nearest
    event = frozenset(space.rank(favoured, np.arange(tools.codebook.size))[:nearest].tolist())
    near = _Runs(tools, mechanism, favoured, central).run(picture, face, draws)
    far = _Runs(tools, mechanism, -favoured, central).run(picture, face, draws)
    label = f"{mechanism.name}, from pixels"
    finding = audit_recovered(label, float(mechanism.epsilon), event, near.recovered, far.recovered)
    hits = sum(a == b for runs in (near, far) for a, b in zip(runs.drawn, runs.recovered, strict=True))
    return PixelFinding(finding, 2 * draws, hits)


class _Runs:
    """Tracks that all bring the same code: `drawn` and `recovered` indices, one of each per track."""

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
        self.drawn: list[int] = []
        self.recovered: list[int] = []

    def run(self, picture_rgb_u8: UInt8Array, face: FoundFace, draws: int) -> _Runs:
        for track_id in range(1, draws + 1):
            covered = cover(self._compositor, picture_rgb_u8, face, track_id)
            if not covered.synthetic:
                raise VeilstreamError("the audit's scene could not be rendered; its face was covered instead")
            self.drawn.append(self._keeper.assignments[track_id].index)
            self.recovered.append(self._nearest_person(covered, face))
            self._renderer.release(track_id)
        return self

    def _nearest_person(self, covered: Covered, face: FoundFace) -> int:
        seen = self._central.find_again(covered.picture_rgb_u8, face) or face
        frame = frame_of_picture(covered.picture_rgb_u8)
        aligned_from_display = similarity_from_points(seen.points_xy_px, RECOGNITION_POINTS_PX)
        patch = read_patch(frame.video, frame.geometry, aligned_from_display, RECOGNITION_SIDE_PX)
        (code,) = self._encoder.encode((patch[None] * 255.0).astype(np.float32))
        space = self._codebook.space
        return int(space.rank(space.direction(code), np.arange(self._codebook.size))[0])


def _scene_picture(codebook: Codebook) -> UInt8Array:
    """A frame with one of the codebook's people, large and in the middle."""
    person = codebook.person(codebook.size // 2)
    width, height = _SCENE_SIZE
    keys = (Keyframe(0, width / 2.0, height / 2.0, _FACE_WIDTH_PX),)
    role = Role(1, Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px), keys)
    return next(iter(Scene("audit", _SCENE_SIZE, 1, [role], seed=3).frames())).picture_rgb_u8
