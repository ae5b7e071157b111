"""A face and what is around it, taken out of the planes once: every patch a face needs is then cut from that.

Landmarks, eyes, surroundings and colours of one face all come from the same few thousand pixels. Reducing and
converting these once costs a fifth of going to the planes for each.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamer.frame import Float32Array, Float64Array, Frame, UInt8Array, compose_affine
from streamer.planes.geometry import axis_scales, resize_affine, shift_affine, transformed_bounds
from streamer.planes.picture import rgb_of_planes

# Bilinear sampling reads 2 px: from about this much shrinking on it would skip some and alias.
_HALVE_FROM_SHRINK = 1.5
# Windows begin and end at multiples of this many luma px: every subsampling divides it, and halving stays exact, which
# OpenCV does forty times as fast as another factor.
_ALIGNED_PX = 16


class FaceRegion:
    """The pixels around one face, as a small RGB picture.

    Args:
        frame: only read, and not kept.
        bounds_display_px: (x0, y0, x1, y1) of what patches may ask for; clipped to the picture.
        resolution: display px per px of the finest patch that will be asked for. The region is reduced by the largest
            power of two that keeps this.

    Raises:
        ValueError: the bounds are not finite, or the pixel format has no planes to read.
    """

    def __init__(self, frame: Frame, bounds_display_px: Float64Array, resolution: float) -> None:
        if not np.isfinite(bounds_display_px).all():
            raise ValueError("the bounds of a face must be finite")
        geometry = frame.geometry
        native = transformed_bounds(geometry.native_from_display, bounds_display_px)
        left, width = _aligned(native[0], native[2], geometry.native_width)
        top, height = _aligned(native[1], native[3], geometry.native_height)
        halvings = max(0, int(np.log2(max(resolution, 1e-6) / _HALVE_FROM_SHRINK * 2.0)))
        small_w, small_h = max(1, width >> halvings), max(1, height >> halvings)
        picture = rgb_of_planes(frame.video, small_w, small_h, (left, top, width, height))
        self._levels = [picture]
        native_from_region = compose_affine(
            shift_affine(left, top), resize_affine(width / small_w, height / small_h)
        )
        self._display_from_region = compose_affine(geometry.display_from_native, native_from_region)

    @property
    def display_from_region(self) -> Float64Array:
        """(2, 3) affine from px of the region to display px."""
        return self._display_from_region

    def grey(self) -> UInt8Array:
        """(h, w) uint8 brightness of the whole region, as fine as it was read."""
        return np.asarray(cv2.cvtColor(self._levels[0], cv2.COLOR_RGB2GRAY), dtype=np.uint8)

    def patch(self, patch_from_display: Float64Array, size: int) -> Float32Array:
        """(size, size, 3) float32 RGB in 0..1; beyond the region its border is repeated."""
        affine = compose_affine(patch_from_display, self._display_from_region)
        level = 0
        while 1.0 / max(min(axis_scales(affine)), 1e-9) > _HALVE_FROM_SHRINK:
            level += 1
            picture = self._level(level)
            if picture is None:
                level -= 1
                break
            affine = compose_affine(affine, resize_affine(2.0, 2.0))
        seen = cv2.warpAffine(
            self._levels[level], affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(np.multiply(seen, np.float32(1.0 / 255.0), dtype=np.float32))

    def _level(self, number: int) -> UInt8Array | None:
        """The region halved `number` times; None when nothing would be left of it."""
        if number == len(self._levels):
            before = self._levels[-1]
            height, width = before.shape[0] // 2 * 2, before.shape[1] // 2 * 2
            if not (height and width):
                return None
            half = cv2.resize(
                before[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA
            )
            self._levels.append(np.asarray(half, dtype=np.uint8))
        return self._levels[number]


def _aligned(low: float, high: float, limit: int) -> tuple[int, int]:
    """First px and length of a span inside 0..limit, multiples of the alignment unless the picture ends before."""
    first = int(np.clip(np.floor(low), 0, limit - 1)) // _ALIGNED_PX * _ALIGNED_PX
    last = int(np.clip(np.ceil(high), first, limit - 1))
    return first, min(-(-(last + 1 - first) // _ALIGNED_PX) * _ALIGNED_PX, limit - first)
