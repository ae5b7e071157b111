"""From the decoder's outputs to a face at the resolution of the frame, and the soft mask to blend it with.

The network works at 128 px whatever the face's size. Only its smooth outputs are scaled up; the detail comes
from the appearance itself, warped at the patch's own resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.template import CROP_SIDE_PX

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

# The decoder may brighten or darken by at most exp(1.5).
GAIN_LIMIT = 1.5
# The blend falls from 1 to 0 over this many crop px along the inside of the hole's edge. Less than the
# margin by which the hole exceeds the face, so no pixel of the real face is ever mixed in.
FEATHER_PX = 1.5


@dataclass(frozen=True, slots=True)
class FaceLayers:
    """What the decoder says, ready to be applied: face = warp * scale + offset, at any resolution.

    Attributes:
        scale: (128, 128, 3) float32, a exp(gain).
        offset: (128, 128, 3) float32 in units of the picture's 0..1, a bias + (1 - a) fill.
    """

    scale: Float32Array
    offset: Float32Array


def layers(fields: Float32Array, mask: Float32Array, fill: Float32Array) -> FaceLayers:
    """Face = a (warp exp(gain) + bias) + (1 - a) fill, without the warp.

    Args:
        fields: (6, 16, 16): gain of R, G, B (logarithmic), then bias of R, G, B in units of the picture's
            0..1.
        mask: (128, 128) or (1, 128, 128) in 0..1: how much of the warp is kept.
        fill: (3, 128, 128) RGB in 0..1.
    """
    side = (CROP_SIDE_PX, CROP_SIDE_PX)
    keep = np.asarray(mask, dtype=np.float32).reshape(*side, 1)
    painted = np.ascontiguousarray(fill.transpose(1, 2, 0), dtype=np.float32)
    scale = np.clip(resized(fields[:3].transpose(1, 2, 0), side), -GAIN_LIMIT, GAIN_LIMIT)
    np.exp(scale, out=scale)
    scale *= keep
    offset = resized(fields[3:].transpose(1, 2, 0), side)
    offset -= painted
    offset *= keep
    offset += painted
    return FaceLayers(scale, offset)


def compose(
    warp_patch_rgb_f32: Float32Array, fields: Float32Array, mask: Float32Array, fill: Float32Array
) -> Float32Array:
    """The face, from the decoder's outputs (see `layers`) and the warped appearance.

    Args:
        warp_patch_rgb_f32: (n, n, 3) RGB in 0..1, the appearance through the warp at the patch's size n =
            128 k.

    Returns:
        (n, n, 3) float32 RGB in 0..1.

    Raises:
        ValueError: the patch is not square.
    """
    height, width = warp_patch_rgb_f32.shape[:2]
    if height != width:
        raise ValueError(f"a patch is square, got {width}x{height}")
    made = layers(fields, mask, fill)
    face = warp_patch_rgb_f32 * resized(made.scale, (width, width)) + resized(made.offset, (width, width))
    return np.asarray(np.clip(face, 0.0, 1.0), dtype=np.float32)


def blend_alpha(hole: UInt8Array) -> Float32Array:
    """Soft mask with which a patch is put into the frame.

    Exactly 1 over the whole real face (the hole exceeds it by more than the feather), 0 outside the hole.

    Args:
        hole: (128, 128) uint8, 1 in the hole.

    Returns:
        (128, 128) float32 in 0..1.
    """
    # The crop's border is no edge of the hole: where the face runs out of the crop it stays fully covered.
    framed = cv2.copyMakeBorder(hole, 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform((framed > 0).astype(np.uint8), cv2.DIST_L2, 3)[8:-8, 8:-8]
    # Distance 1 is the hole's outermost pixel.
    ramp = np.clip(np.asarray(depth, dtype=np.float32) / np.float32(FEATHER_PX), 0.0, 1.0)
    return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp), dtype=np.float32)


def resized(picture: npt.NDArray[np.generic], size: tuple[int, int]) -> Float32Array:
    """Bilinear, to (width, height); float32."""
    contiguous = np.ascontiguousarray(picture, dtype=np.float32)
    if (contiguous.shape[1], contiguous.shape[0]) == size:
        return contiguous
    return np.asarray(cv2.resize(contiguous, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
