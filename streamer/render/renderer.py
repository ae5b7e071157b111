"""Tracked faces in, synthetic faces out: landmarks, trust, identity, motion; then warp and decoder.

All faces of a frame go through each engine in one call. The frame is only read. What is read of the real face is
the picture around it, its landmarks, and an 8x8 grid of colours (see `engines.face.conditioning`).

Looking and drawing share nothing that changes, so a frame may be drawn in one thread while another looks at the next;
each of the two goes through the frames in order.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from calibration.errors import CalibrationError, LedgerError
from engines.decoder import FaceDecoder
from engines.errors import EngineError
from engines.face.pose import HeadPose, head_pose
from engines.face.template import transform_points
from engines.face.topology import five_points
from engines.landmarks import FaceMesh, patch_from_box_and_points
from streamer.frame import Float32Array, Float64Array, Frame, TrackedFace, invert_affine
from streamer.identity.appearances import Appearances
from streamer.identity.keeper import IdentityKeeper, IdentityRefusal
from streamer.planes import FaceRegion
from streamer.render.compositor import DrawFaces, FallbackReason, RenderedFace
from streamer.render.drawing import FaceToDraw, TrackLook, conditioned, finished
from streamer.render.gaze import GazeState
from streamer.render.lids import EyeReader, EyeReading, LidState
from streamer.render.motion import PersonShape, TrackMotion
from streamer.render.paint import painted
from streamer.render.trust import MINIMUM_SIDE_PX, TrackTrust, box_side_px

_log = logging.getLogger(__name__)

MESH_PATCH_PX = 192
# What is read around a face, in sides of its box: the crop with its context, however the head is turned.
REGION_BOX_SCALE = 2.0


@dataclass(slots=True)
class _Track:
    """What is remembered of a track from frame to frame. No picture and no code of the real face."""

    motion: TrackMotion = field(default_factory=TrackMotion)
    trust: TrackTrust = field(default_factory=TrackTrust)
    lids: LidState = field(default_factory=LidState)
    gaze: GazeState = field(default_factory=GazeState)
    look: TrackLook = field(default_factory=TrackLook)
    shape: PersonShape | None = None


@dataclass(frozen=True, slots=True)
class _SeenFace:
    """A face whose landmarks are trusted. `slot` is its place among the faces asked for."""

    slot: int
    face: TrackedFace
    track: _Track
    region: FaceRegion
    mesh_xyz_px: Float32Array
    pose: HeadPose


class SyntheticRenderer:
    """Renders the synthetic people of one stream.

    Args:
        mesh: dense landmark model.
        eyes: reads how far the eyes are open and where they look.
        decoder: the network that corrects light, seams, lids and mouth.
        keeper: who wears which synthetic person.
        appearances: finer pictures of these people for large faces; without it the codebook's are drawn.
    """

    def __init__(
        self,
        mesh: FaceMesh,
        eyes: EyeReader,
        decoder: FaceDecoder,
        keeper: IdentityKeeper,
        appearances: Appearances | None = None,
    ) -> None:
        self._mesh = mesh
        self._eyes = eyes
        self._decoder = decoder
        self._keeper = keeper
        self._appearances = appearances
        self._tracks: dict[int, _Track] = {}

    def release(self, track_id: int) -> None:
        """Forget a track that is over; its person may be worn by another."""
        self._tracks.pop(track_id, None)
        self._keeper.release(track_id)

    def look(self, frame: Frame, faces: Sequence[TrackedFace]) -> DrawFaces:
        """Find out what each face does and who wears it. See `streamer.render.compositor.FaceRenderer`."""
        answers: list[RenderedFace | FallbackReason] = [FallbackReason.ENGINE_FAILED] * len(faces)
        large = []
        for slot, face in enumerate(faces):
            if box_side_px(face.box_xyxy_px) < MINIMUM_SIDE_PX:
                answers[slot] = FallbackReason.TOO_SMALL
            elif face.plain:
                answers[slot] = FallbackReason.BEHIND_ANOTHER
            else:
                large.append((slot, face))
        seen = self._seen(frame, large, answers)
        readings = self._eyes.read(
            [item.region for item in seen],
            [item.mesh_xyz_px for item in seen],
            [item.track.lids.wanted(item.pose.yaw_radians, frame.pts_seconds) for item in seen],
        )
        to_draw = []
        for item, reading in zip(seen, readings, strict=True):
            outcome = self._worn(frame, item, reading)
            if isinstance(outcome, FallbackReason):
                answers[item.slot] = outcome
            else:
                to_draw.append(outcome)
        return partial(self._draw, frame, to_draw, answers)

    def _draw(
        self, frame: Frame, faces: Sequence[FaceToDraw], answers: list[RenderedFace | FallbackReason]
    ) -> list[RenderedFace | FallbackReason]:
        ready = []
        for face in faces:
            try:
                ready.append(conditioned(frame, face, self._appearances))
            except ValueError as error:
                _warn(frame, error)
        if ready:
            output = self._decoder.run(np.stack([item.conditioning for item in ready]))
            for row, item in enumerate(ready):
                steady = item.look.steady(
                    output.fields[row], output.mask[row], output.fill[row], frame.pts_seconds
                )
                made = painted(item.paintable, *steady)
                answers[item.slot] = finished(item, made, frame.index)
        return answers

    def _seen(
        self,
        frame: Frame,
        faces: Sequence[tuple[int, TrackedFace]],
        answers: list[RenderedFace | FallbackReason],
    ) -> list[_SeenFace]:
        """Landmarks of all faces (slot, face) in one call; those not trusted get their answer here."""
        if not faces:
            return []
        affines = [
            patch_from_box_and_points(face.box_xyxy_px, face.points_xy_px, MESH_PATCH_PX) for _, face in faces
        ]
        regions = [_region(frame, face, affine) for (_, face), affine in zip(faces, affines, strict=True)]
        patches = [
            region.patch(affine, MESH_PATCH_PX) for region, affine in zip(regions, affines, strict=True)
        ]
        points, presence = self._mesh.run(np.stack(patches))
        seen = []
        for row, (slot, face) in enumerate(faces):
            mesh = transform_points(invert_affine(affines[row]), points[row]).astype(np.float32)
            track = self._tracks.setdefault(face.track_id, _Track())
            try:
                pose = head_pose(mesh)
            except ValueError:
                answers[slot] = FallbackReason.NOT_VERIFIED
                continue
            reason = track.trust.judge(float(presence[row]), mesh, face, pose)
            if reason is None:
                seen.append(_SeenFace(slot, face, track, regions[row], mesh, pose))
            else:
                answers[slot] = reason
        return seen

    def _worn(self, frame: Frame, item: _SeenFace, eyes: EyeReading) -> FaceToDraw | FallbackReason:
        """Who wears the face, and what the person does."""
        track = item.track
        try:
            points = five_points(item.mesh_xyz_px).astype(np.float32)
            person = self._keeper.person_for(item.face.track_id, frame, points)
            if track.shape is None:
                track.shape = PersonShape(person.mesh_xyz_px)
            openness = track.lids.openness(eyes.openings, item.pose.yaw_radians)
            motion = track.motion.step(track.shape, item.mesh_xyz_px, frame.pts_seconds, openness)
            look_aside = track.gaze.step(eyes.iris_places, item.pose.yaw_radians)
            return FaceToDraw(item.slot, item.region, person, motion, look_aside, track.look)
        except IdentityRefusal as refusal:
            return FallbackReason(refusal.reason)
        except CalibrationError as error:
            # What a ledger says names a path and an errno. What others say may tell who was drawn.
            told = error if isinstance(error, LedgerError) else type(error).__name__
            _log.error("frame %d: no identity could be drawn (%s)", frame.index, told)
            return FallbackReason.LEDGER_FAILED
        except (EngineError, ValueError) as error:
            _warn(frame, error)
            return FallbackReason.ENGINE_FAILED


def _warn(frame: Frame, error: Exception) -> None:
    _log.warning("frame %d: a face cannot be rendered (%s)", frame.index, type(error).__name__)


def _region(frame: Frame, face: TrackedFace, mesh_patch_from_display: Float64Array) -> FaceRegion:
    """The pixels of a face, fine enough for the landmark model."""
    box = face.box_xyxy_px.astype(np.float64)
    middle, half = (box[:2] + box[2:]) / 2.0, (box[2:] - box[:2]).max() / 2.0 * REGION_BOX_SCALE
    resolution = 1.0 / float(np.linalg.norm(mesh_patch_from_display[0, :2]))
    return FaceRegion(frame, np.concatenate([middle - half, middle + half]), resolution)
