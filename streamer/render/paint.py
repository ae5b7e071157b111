"""From the decoder's outputs to a patch that the compositor can blend, at the face's own resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engines.face.compose import blend_alpha, layers, resized
from engines.face.conditioning import hole_mask
from engines.face.template import CROP_SIDE_PX
from engines.face.warp import apply_field
from streamer.frame import Float32Array, Float64Array, UInt8Array, compose_affine
from streamer.render.compositor import RenderedFace

LARGEST_PATCH_SCALE = 4
# A mouth wide open takes the chin 11 crop px beyond the crop, more on a long face.
BEYOND_CROP_PX = 32


@dataclass(frozen=True, slots=True)
class Paintable:
    """What is needed of a face beside the decoder's outputs.

    Attributes:
        appearance_rgb_u8: (256 k, 256 k, 3) of the synthetic person.
        source_xy_px: (128, 128, 2) where each crop px lies in the appearance.
        hole: (128, 128) uint8, 1 where the real face was.
        cover: the same, or that of `cover_of`: what is painted over.
        crop_from_display: (2, 3).
        fine: the frame has more than 8 bits: the patch is made in float.
        without_colour: the frame is black and white, and so must be the patch.
    """

    appearance_rgb_u8: UInt8Array
    source_xy_px: Float32Array
    hole: UInt8Array
    cover: UInt8Array
    crop_from_display: Float64Array
    fine: bool
    without_colour: bool


def cover_of(real_xyz_px: Float64Array, hole: UInt8Array) -> UInt8Array:
    """The hole; with a margin of `BEYOND_CROP_PX` where the real face (468, 3), crop px, may leave the crop."""
    border = np.concatenate([hole[[0, -1]], hole[:, [0, -1]].T])
    return hole_mask(real_xyz_px, reach_px=BEYOND_CROP_PX) if border.any() else hole


def patch_scale(crop_from_display: Float64Array) -> int:
    """How many px of the patch a face is painted in there are for each crop px, along each axis."""
    display_px_per_crop_px = 1.0 / float(np.linalg.norm(crop_from_display[0, :2]))
    # A patch a little coarser than the face is not seen; one scale more costs twice the work.
    return int(np.clip(np.ceil(display_px_per_crop_px - 0.3), 1, LARGEST_PATCH_SCALE))


def painted(face: Paintable, fields: Float32Array, mask: Float32Array, fill: Float32Array) -> RenderedFace:
    """The synthetic face over the hole; nothing is made of the crop outside it.

    Beyond the crop, its border is repeated.

    Args:
        fields, mask, fill: of the decoder; see `engines.face.compose.layers`.
    """
    scale = patch_scale(face.crop_from_display)
    reach = (len(face.cover) - CROP_SIDE_PX) // 2
    left, top, width, height = cv2.boundingRect(face.cover)
    window = np.s_[top : top + height, left : left + width]
    made = layers(fields, mask, fill)
    size = (width * scale, height * scale)
    patch = _colour(
        apply_field(_reaching(face.source_xy_px, reach)[window], face.appearance_rgb_u8, scale),
        resized(_reaching(made.scale, reach)[window], size),
        resized(_reaching(made.offset, reach)[window], size),
        fine=face.fine,
    )
    if face.without_colour:
        patch = np.repeat(patch.mean(axis=2, keepdims=True).astype(patch.dtype), 3, axis=2)
    shift = (scale - 1) / 2.0
    origin = np.array([left - reach, top - reach])
    patch_from_crop = np.column_stack([np.eye(2) * scale, shift - scale * origin])
    return RenderedFace(
        patch,
        resized(blend_alpha(face.cover)[window], size),
        compose_affine(patch_from_crop, face.crop_from_display),
    )


def _reaching(picture: Float32Array, reach_px: int) -> Float32Array:
    """With its border repeated so far on every side."""
    if not reach_px:
        return picture
    return np.asarray(cv2.copyMakeBorder(picture, *(reach_px,) * 4, cv2.BORDER_REPLICATE), dtype=np.float32)


def _colour(
    warped_rgb_u8: UInt8Array, scale: Float32Array, offset: Float32Array, *, fine: bool
) -> Float32Array | UInt8Array:
    """warp * scale + offset, in float (0..1) or rounded to bytes."""
    if fine:
        face = warped_rgb_u8.astype(np.float32) * (scale / np.float32(255.0)) + offset
        return np.asarray(np.clip(face, 0.0, 1.0), dtype=np.float32)
    lit = cv2.multiply(warped_rgb_u8, scale, dtype=cv2.CV_32F)
    # Rounds and saturates.
    return np.asarray(cv2.addWeighted(lit, 1.0, offset, 255.0, 0.0, dtype=cv2.CV_8U), dtype=np.uint8)
