"""A face that was looked at becomes a patch: warp, what the decoder sees, and the finish.

Nothing here looks at a later frame or at another thread's state: a frame can be drawn while the next is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from calibration.codebook import SyntheticPerson
from engines.appearance.picture import PICTURE_PX, finer_px
from engines.face.conditioning import cell_colours, drawing, hole_mask, outline_mask, pack, skin_mask
from engines.face.gaze import turn_eyes
from engines.face.pose import crop_from_mesh
from engines.face.template import CROP_SIDE_PX, transform_points
from engines.face.warp import apply_field, warp_field
from streamer.frame import Float32Array, Frame, UInt8Array, compose_affine, invert_affine
from streamer.identity.appearances import Appearances, FadeIn
from streamer.planes import FaceRegion
from streamer.planes.formats import pixel_format
from streamer.render.compositor import RenderedFace
from streamer.render.finish import TrackFinish, outside_hole
from streamer.render.light import SteadyGrid
from streamer.render.motion import FaceMotion, clear_of_lashes
from streamer.render.occlusion import SkinGrid
from streamer.render.paint import Paintable, cover_of, patch_scale
from streamer.render.smoothing import OneEuroFilter
from streamer.render.steady import SteadyOutput

# Mean spread of R, G and B (0..1) below which a picture counts as black and white.
GREY_SPREAD = 0.008
# The codebook's 256 px are as fine as a patch of the second scale; beyond it a finer picture shows. It is asked for
# before, and stays for a face that grows smaller again.
ASKED_FROM_SCALE, SHOWN_FROM_SCALE = 2, 3


@dataclass(slots=True)
class TrackLook:
    """What drawing remembers of a track from frame to frame: light, grain and paint. No picture of the real face."""

    skin: SkinGrid = field(default_factory=SkinGrid)
    finish: TrackFinish = field(default_factory=TrackFinish)
    light: SteadyGrid = field(default_factory=SteadyGrid)
    # Light changes slower than the noise of the grid; unsmoothed, the synthetic skin would flicker.
    grid_filter: OneEuroFilter = field(
        default_factory=lambda: OneEuroFilter(minimum_cutoff_hz=1.0, speed_coefficient=4.0)
    )
    fade_in: FadeIn = field(default_factory=FadeIn)
    steady: SteadyOutput = field(default_factory=SteadyOutput)


@dataclass(frozen=True, slots=True)
class FaceToDraw:
    """A face whose landmarks are trusted, with the person to draw.

    Attributes:
        slot: its place among the faces asked for.
        region: the pixels around the real face.
        look_aside: of the eyes, see `engines.face.gaze`.
    """

    slot: int
    region: FaceRegion
    person: SyntheticPerson
    motion: FaceMotion
    look_aside: float
    look: TrackLook


@dataclass(frozen=True, slots=True)
class Conditioned:
    """A face ready for the decoder."""

    slot: int
    conditioning: Float32Array
    paintable: Paintable
    region: FaceRegion
    look: TrackLook


def conditioned(frame: Frame, item: FaceToDraw, appearances: Appearances | None = None) -> Conditioned:
    """Warp the person into place and lay out what the decoder may see.

    Args:
        appearances: where large faces get a finer picture of the person; None draws all from the codebook's.

    Raises:
        ValueError: the mesh cannot be laid out.
    """
    person, motion, look = item.person, item.motion, item.look
    crop_from_display = crop_from_mesh(motion.real_xyz_px, motion.pose)
    real = transform_points(crop_from_display, motion.real_xyz_px)
    target = transform_points(crop_from_display, motion.destination_xyz_px)
    crop = item.region.patch(crop_from_display, CROP_SIDE_PX)
    warp = warp_field(target, clear_of_lashes(person.mesh_xyz_px, motion.openness))
    hole = hole_mask(real)
    turn_eyes(warp.source_xy_px, target, person.mesh_xyz_px, item.look_aside)
    skin = look.skin(look.light(cell_colours(crop, skin_mask(real))))
    grid = look.grid_filter(skin.astype(np.float64), frame.pts_seconds).astype(np.float32)
    warped = apply_field(warp.source_xy_px, person.appearance_rgb_u8).astype(np.float32) / np.float32(255.0)
    conditioning = pack(warped, crop, hole, outline_mask(warp.silhouette, hole), grid, drawing(target))
    appearance = person.appearance_rgb_u8
    if appearances is not None:
        appearance = _finest(appearances, person, look, patch_scale(crop_from_display), frame.pts_seconds)
    fineness = len(appearance) // PICTURE_PX
    paintable = Paintable(
        appearance,
        finer_px(warp.source_xy_px, fineness),
        hole,
        cover_of(real, hole),
        crop_from_display,
        fine=pixel_format(frame.video.format.name).bits > 8,
        # The decoder brings the colours near the grid's, not onto them; in black and white a trace is seen.
        # A sixteenth of the pixels tells, and over all of them it would cost as much as a network.
        without_colour=float(np.ptp(crop[::4, ::4], axis=2).mean()) < GREY_SPREAD,
    )
    return Conditioned(item.slot, conditioning, paintable, item.region, look)


def _finest(
    appearances: Appearances, person: SyntheticPerson, look: TrackLook, scale: int, seconds: float
) -> UInt8Array:
    """What to draw a face from: the decoder sees the codebook's picture whatever is drawn from."""
    fine = appearances.of(person) if scale >= ASKED_FROM_SCALE else None
    shown = scale >= SHOWN_FROM_SCALE or look.fade_in.begun
    return look.fade_in(person.appearance_rgb_u8, fine if shown else None, seconds)


def finished(ready: Conditioned, face: RenderedFace, frame_index: int) -> RenderedFace:
    """The face with the blur and the grain of what surrounds it."""
    finish = ready.look.finish
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
