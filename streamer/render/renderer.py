"""Tracked faces in, synthetic faces out: landmarks, trust, identity, motion, warp, decoder.

All faces of a frame go through each engine in one call. The frame is only read. What is read of the real face is
the picture around it, its landmarks, and an 8x8 grid of colours (see `engines.face.conditioning`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from calibration.codebook import SyntheticPerson
from calibration.errors import CalibrationError
from engines.decoder import FaceDecoder
from engines.errors import EngineError
from engines.face.compose import blend_alpha, compose
from engines.face.conditioning import colour_grid, drawing, hole_mask, outline_mask, pack
from engines.face.pose import crop_from_mesh, head_pose
from engines.face.template import CROP_SIDE_PX, transform_points
from engines.face.topology import five_points
from engines.face.warp import apply_field, warp_field
from engines.landmarks import FaceMesh, patch_from_box_and_points
from streamer.frame import (
    Float32Array,
    Float64Array,
    Frame,
    TrackedFace,
    UInt8Array,
    compose_affine,
    invert_affine,
)
from streamer.identity.keeper import IdentityKeeper, IdentityRefusal
from streamer.planes import read_patch
from streamer.render.compositor import FallbackReason, RenderedFace
from streamer.render.lids import LidReader, LidState
from streamer.render.motion import FaceMotion, PersonShape, TrackMotion
from streamer.render.smoothing import OneEuroFilter
from streamer.render.trust import MINIMUM_SIDE_PX, TrackTrust, box_side_px

_log = logging.getLogger(__name__)

MESH_PATCH_PX = 192
LARGEST_PATCH_SCALE = 4
# Mean spread of R, G and B (0..1) below which a picture counts as black and white.
GREY_SPREAD = 0.008


@dataclass(slots=True)
class _Track:
    """What is remembered of a track from frame to frame. No picture and no code of the real face."""

    motion: TrackMotion = field(default_factory=TrackMotion)
    trust: TrackTrust = field(default_factory=TrackTrust)
    lids: LidState = field(default_factory=LidState)
    # Light changes slower than the noise of the grid; unsmoothed, the synthetic skin would flicker.
    grid_filter: OneEuroFilter = field(
        default_factory=lambda: OneEuroFilter(minimum_cutoff_hz=1.0, speed_coefficient=4.0)
    )
    shape: PersonShape | None = None


@dataclass(slots=True)
class _Prepared:
    """A face ready for the decoder."""

    slot: int
    person: SyntheticPerson
    crop_from_display: Float64Array
    patch_scale: int
    field_xy_px: Float32Array
    hole: UInt8Array
    conditioning: Float32Array
    without_colour: bool


class SyntheticRenderer:
    """Renders the synthetic people of one stream.

    Args:
        mesh: dense landmark model.
        lids: reads how far the eyes are open.
        decoder: the network that corrects light, seams, lids and mouth.
        keeper: who wears which synthetic person.
    """

    def __init__(self, mesh: FaceMesh, lids: LidReader, decoder: FaceDecoder, keeper: IdentityKeeper) -> None:
        self._mesh = mesh
        self._lids = lids
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
        slots = []
        for slot, face in enumerate(faces):
            if box_side_px(face.box_xyxy_px) < MINIMUM_SIDE_PX:
                answers[slot] = FallbackReason.TOO_SMALL
            else:
                slots.append(slot)
        prepared = []
        trusted: list[tuple[int, Float32Array]] = []
        meshes = self._meshes(frame, [faces[slot] for slot in slots])
        for slot, (mesh, presence) in zip(slots, meshes, strict=True):
            reason = self._judge(faces[slot], mesh, presence)
            if reason is None:
                trusted.append((slot, mesh))
            else:
                answers[slot] = reason
        openings = self._lids.openings(frame, [mesh for _, mesh in trusted])
        for (slot, mesh), opening in zip(trusted, openings, strict=True):
            outcome = self._prepare(frame, faces[slot], slot, mesh, opening)
            if isinstance(outcome, FallbackReason):
                answers[slot] = outcome
            else:
                prepared.append(outcome)
        if prepared:
            output = self._decoder.run(np.stack([item.conditioning for item in prepared]))
            for row, item in enumerate(prepared):
                answers[item.slot] = _finish(item, output.fields[row], output.mask[row], output.fill[row])
        return answers

    def _meshes(self, frame: Frame, faces: Sequence[TrackedFace]) -> list[tuple[Float32Array, float]]:
        """Landmarks (468, 3) in display px and presence score of each face."""
        if not faces:
            return []
        affines = [
            patch_from_box_and_points(face.box_xyxy_px, face.points_xy_px, MESH_PATCH_PX) for face in faces
        ]
        patches = [read_patch(frame.video, frame.geometry, affine, MESH_PATCH_PX) for affine in affines]
        points, presence = self._mesh.run(np.stack(patches))
        return [
            (transform_points(invert_affine(affine), mesh).astype(np.float32), float(score))
            for affine, mesh, score in zip(affines, points, presence, strict=True)
        ]

    def _judge(self, face: TrackedFace, mesh: Float32Array, presence: float) -> FallbackReason | None:
        track = self._tracks.setdefault(face.track_id, _Track())
        try:
            return track.trust.judge(presence, mesh, face, head_pose(mesh))
        except ValueError:
            return FallbackReason.NOT_VERIFIED

    def _prepare(
        self,
        frame: Frame,
        face: TrackedFace,
        slot: int,
        mesh: Float32Array,
        opening: Float64Array,
    ) -> _Prepared | FallbackReason:
        track = self._tracks[face.track_id]
        try:
            person = self._keeper.person_for(face.track_id, frame, five_points(mesh).astype(np.float32))
            if track.shape is None:
                track.shape = PersonShape(person.mesh_xyz_px)
            openness = track.lids.openness(opening, head_pose(mesh).yaw_radians)
            motion = track.motion.step(track.shape, mesh, frame.pts_seconds, openness)
            return _condition(frame, slot, person, motion, track)
        except IdentityRefusal as refusal:
            return FallbackReason(refusal.reason)
        except CalibrationError as error:
            _log.error("frame %d: no identity could be drawn (%s)", frame.index, type(error).__name__)
            return FallbackReason.LEDGER_FAILED
        except (EngineError, ValueError) as error:
            _log.warning("frame %d: a face cannot be rendered (%s)", frame.index, type(error).__name__)
            return FallbackReason.ENGINE_FAILED


def _condition(
    frame: Frame, slot: int, person: SyntheticPerson, motion: FaceMotion, track: _Track
) -> _Prepared:
    """Warp the person into place and lay out what the decoder may see."""
    crop_from_display = crop_from_mesh(motion.real_xyz_px, motion.pose)
    real = transform_points(crop_from_display, motion.real_xyz_px)
    target = transform_points(crop_from_display, motion.destination_xyz_px)
    crop = read_patch(frame.video, frame.geometry, crop_from_display, CROP_SIDE_PX)
    warp = warp_field(target, person.mesh_xyz_px)
    hole = hole_mask(real)
    grid = track.grid_filter(colour_grid(crop, hole).astype(np.float64), frame.pts_seconds).astype(np.float32)
    warped = apply_field(warp.source_xy_px, person.appearance_rgb_u8).astype(np.float32) / np.float32(255.0)
    conditioning = pack(warped, crop, hole, outline_mask(warp.silhouette, hole), grid, drawing(target))
    display_px_per_crop_px = 1.0 / float(np.linalg.norm(crop_from_display[0, :2]))
    # A patch a little coarser than the face is not seen; one scale more costs twice the work.
    patch_scale = int(np.clip(np.ceil(display_px_per_crop_px - 0.3), 1, LARGEST_PATCH_SCALE))
    return _Prepared(
        slot,
        person,
        crop_from_display,
        patch_scale,
        warp.source_xy_px,
        hole,
        conditioning,
        without_colour=float(np.ptp(crop, axis=2).mean()) < GREY_SPREAD,
    )


def _finish(item: _Prepared, fields: Float32Array, mask: Float32Array, fill: Float32Array) -> RenderedFace:
    """Compose at the face's own resolution."""
    side = CROP_SIDE_PX * item.patch_scale
    appearance = apply_field(item.field_xy_px, item.person.appearance_rgb_u8, side)
    patch = compose(appearance.astype(np.float32) / np.float32(255.0), fields, mask, fill)
    if item.without_colour:
        # The decoder brings the colours near the grid's, not onto them; in black and white a trace is seen.
        patch = np.repeat(patch.mean(axis=2, keepdims=True), 3, axis=2)
    shift = (item.patch_scale - 1) / 2.0
    patch_from_crop = np.array([[item.patch_scale, 0.0, shift], [0.0, item.patch_scale, shift]])
    return RenderedFace(
        patch, blend_alpha(item.hole, side), compose_affine(patch_from_crop, item.crop_from_display)
    )
