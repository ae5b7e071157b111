"""Tracked faces in, synthetic faces out: landmarks, trust, identity, motion, warp, decoder.

All faces of a frame go through each engine in one call. The frame is only read. What is read of the real face is
the picture around it, its landmarks, and an 8x8 grid of colours (see `engines.face.conditioning`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from calibration.codebook import SyntheticPerson
from calibration.errors import CalibrationError
from engines.decoder import FaceDecoder
from engines.errors import EngineError
from engines.face.conditioning import cell_colours, drawing, hole_mask, outline_mask, pack
from engines.face.gaze import turn_eyes
from engines.face.pose import HeadPose, crop_from_mesh, head_pose
from engines.face.template import CROP_SIDE_PX, transform_points
from engines.face.topology import five_points
from engines.face.warp import apply_field, warp_field
from engines.landmarks import FaceMesh, patch_from_box_and_points
from streamer.frame import Float32Array, Float64Array, Frame, TrackedFace, compose_affine, invert_affine
from streamer.identity.keeper import IdentityKeeper, IdentityRefusal
from streamer.planes import FaceRegion
from streamer.planes.formats import pixel_format
from streamer.render.compositor import FallbackReason, RenderedFace
from streamer.render.finish import TrackFinish, outside_hole
from streamer.render.gaze import GazeState
from streamer.render.lids import EyeReader, EyeReading, LidState
from streamer.render.light import SteadyGrid
from streamer.render.motion import FaceMotion, PersonShape, TrackMotion
from streamer.render.occlusion import SkinGrid
from streamer.render.paint import Paintable, cover_of, painted
from streamer.render.smoothing import OneEuroFilter
from streamer.render.trust import MINIMUM_SIDE_PX, TrackTrust, box_side_px

_log = logging.getLogger(__name__)

MESH_PATCH_PX = 192
# What is read around a face, in sides of its box: the crop with its context, however the head is turned.
REGION_BOX_SCALE = 2.0
# Mean spread of R, G and B (0..1) below which a picture counts as black and white.
GREY_SPREAD = 0.008


@dataclass(slots=True)
class _Track:
    """What is remembered of a track from frame to frame. No picture and no code of the real face."""

    motion: TrackMotion = field(default_factory=TrackMotion)
    trust: TrackTrust = field(default_factory=TrackTrust)
    lids: LidState = field(default_factory=LidState)
    gaze: GazeState = field(default_factory=GazeState)
    skin: SkinGrid = field(default_factory=SkinGrid)
    finish: TrackFinish = field(default_factory=TrackFinish)
    light: SteadyGrid = field(default_factory=SteadyGrid)
    # Light changes slower than the noise of the grid; unsmoothed, the synthetic skin would flicker.
    grid_filter: OneEuroFilter = field(
        default_factory=lambda: OneEuroFilter(minimum_cutoff_hz=1.0, speed_coefficient=4.0)
    )
    shape: PersonShape | None = None


@dataclass(frozen=True, slots=True)
class _SeenFace:
    """A face whose landmarks are trusted. `slot` is its place among the faces asked for."""

    slot: int
    face: TrackedFace
    region: FaceRegion
    mesh_xyz_px: Float32Array
    pose: HeadPose


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A face ready for the decoder."""

    slot: int
    conditioning: Float32Array
    paintable: Paintable
    region: FaceRegion
    finish: TrackFinish


class SyntheticRenderer:
    """Renders the synthetic people of one stream.

    Args:
        mesh: dense landmark model.
        eyes: reads how far the eyes are open and where they look.
        decoder: the network that corrects light, seams, lids and mouth.
        keeper: who wears which synthetic person.
    """

    def __init__(self, mesh: FaceMesh, eyes: EyeReader, decoder: FaceDecoder, keeper: IdentityKeeper) -> None:
        self._mesh = mesh
        self._eyes = eyes
        self._decoder = decoder
        self._keeper = keeper
        self._tracks: dict[int, _Track] = {}

    def release(self, track_id: int) -> None:
        """Forget a track that is over; its person may be worn by another."""
        self._tracks.pop(track_id, None)
        self._keeper.release(track_id)

    def render(self, frame: Frame, faces: Sequence[TrackedFace]) -> list[RenderedFace | FallbackReason]:
        """One answer per face, in order. See `streamer.render.compositor.FaceRenderer`."""
        answers: list[RenderedFace | FallbackReason] = [FallbackReason.ENGINE_FAILED] * len(faces)
        large = []
        for slot, face in enumerate(faces):
            if box_side_px(face.box_xyxy_px) < MINIMUM_SIDE_PX:
                answers[slot] = FallbackReason.TOO_SMALL
            else:
                large.append((slot, face))
        seen = self._look(frame, large, answers)
        readings = self._eyes.read(
            [item.region for item in seen],
            [item.mesh_xyz_px for item in seen],
            [self._track(item).lids.wanted(item.pose.yaw_radians, frame.pts_seconds) for item in seen],
        )
        prepared = []
        for item, reading in zip(seen, readings, strict=True):
            outcome = self._prepare(frame, item, reading)
            if isinstance(outcome, FallbackReason):
                answers[item.slot] = outcome
            else:
                prepared.append(outcome)
        if prepared:
            output = self._decoder.run(np.stack([item.conditioning for item in prepared]))
            for row, ready in enumerate(prepared):
                made = painted(ready.paintable, output.fields[row], output.mask[row], output.fill[row])
                answers[ready.slot] = _finished(ready, made, frame.index)
        return answers

    def _look(
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
                seen.append(_SeenFace(slot, face, regions[row], mesh, pose))
            else:
                answers[slot] = reason
        return seen

    def _track(self, item: _SeenFace) -> _Track:
        return self._tracks[item.face.track_id]

    def _prepare(self, frame: Frame, item: _SeenFace, eyes: EyeReading) -> _Prepared | FallbackReason:
        track = self._track(item)
        try:
            points = five_points(item.mesh_xyz_px).astype(np.float32)
            person = self._keeper.person_for(item.face.track_id, frame, points)
            if track.shape is None:
                track.shape = PersonShape(person.mesh_xyz_px)
            openness = track.lids.openness(eyes.openings, item.pose.yaw_radians)
            motion = track.motion.step(track.shape, item.mesh_xyz_px, frame.pts_seconds, openness)
            look_aside = track.gaze.step(eyes.iris_places, item.pose.yaw_radians)
            return _condition(frame, item, person, motion, look_aside, track)
        except IdentityRefusal as refusal:
            return FallbackReason(refusal.reason)
        except CalibrationError as error:
            _log.error("frame %d: no identity could be drawn (%s)", frame.index, type(error).__name__)
            return FallbackReason.LEDGER_FAILED
        except (EngineError, ValueError) as error:
            _log.warning("frame %d: a face cannot be rendered (%s)", frame.index, type(error).__name__)
            return FallbackReason.ENGINE_FAILED


def _region(frame: Frame, face: TrackedFace, mesh_patch_from_display: Float64Array) -> FaceRegion:
    """The pixels of a face, fine enough for the landmark model."""
    box = face.box_xyxy_px.astype(np.float64)
    middle, half = (box[:2] + box[2:]) / 2.0, (box[2:] - box[:2]).max() / 2.0 * REGION_BOX_SCALE
    resolution = 1.0 / float(np.linalg.norm(mesh_patch_from_display[0, :2]))
    return FaceRegion(frame, np.concatenate([middle - half, middle + half]), resolution)


def _condition(
    frame: Frame,
    item: _SeenFace,
    person: SyntheticPerson,
    motion: FaceMotion,
    look_aside: float,
    track: _Track,
) -> _Prepared:
    """Warp the person into place and lay out what the decoder may see."""
    crop_from_display = crop_from_mesh(motion.real_xyz_px, motion.pose)
    real = transform_points(crop_from_display, motion.real_xyz_px)
    target = transform_points(crop_from_display, motion.destination_xyz_px)
    crop = item.region.patch(crop_from_display, CROP_SIDE_PX)
    warp = warp_field(target, person.mesh_xyz_px)
    hole = hole_mask(real)
    turn_eyes(warp.source_xy_px, target, person.mesh_xyz_px, look_aside)
    skin = track.skin(track.light(cell_colours(crop, hole)))
    grid = track.grid_filter(skin.astype(np.float64), frame.pts_seconds).astype(np.float32)
    warped = apply_field(warp.source_xy_px, person.appearance_rgb_u8).astype(np.float32) / np.float32(255.0)
    conditioning = pack(warped, crop, hole, outline_mask(warp.silhouette, hole), grid, drawing(target))
    paintable = Paintable(
        person.appearance_rgb_u8,
        warp.source_xy_px,
        hole,
        cover_of(real, hole),
        crop_from_display,
        fine=pixel_format(frame.video.format.name).bits > 8,
        # The decoder brings the colours near the grid's, not onto them; in black and white a trace is seen.
        # A sixteenth of the pixels tells, and over all of them it would cost as much as a network.
        without_colour=float(np.ptp(crop[::4, ::4], axis=2).mean()) < GREY_SPREAD,
    )
    return _Prepared(item.slot, conditioning, paintable, item.region, track.finish)


def _finished(ready: _Prepared, face: RenderedFace, frame_index: int) -> RenderedFace:
    """The face with the blur and the grain of what surrounds it."""
    finish = ready.finish
    if finish.is_due(frame_index):
        grey = ready.region.grey()
        region_from_display = invert_affine(ready.region.display_from_region)
        display_from_crop = invert_affine(ready.paintable.crop_from_display)
        known = outside_hole(
            grey.shape, compose_affine(region_from_display, display_from_crop), ready.paintable.hole
        )
        patch_px_per_px = float(
            np.linalg.norm(face.patch_from_display[0, :2]) / np.linalg.norm(region_from_display[0, :2])
        )
        finish.measure(frame_index, grey, known, face.patch_rgb, patch_px_per_px)
    return replace(face, patch_rgb=finish.apply(face.patch_rgb, frame_index))
