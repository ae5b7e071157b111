"""Where the samples of each plane lie: chroma siting and the affines between planes and display."""

from __future__ import annotations

import numpy as np

from streamer.frame import Float64Array, StreamGeometry, compose_affine
from streamer.planes.formats import PixelFormat, PlaneSpec


def native_from_plane(layout: PixelFormat, spec: PlaneSpec) -> Float64Array:
    """Affine (2, 3) from a plane's own px to native luma px.

    Chroma of MPEG streams lies on the left luma column and midway between rows (H.273
    Chroma420SampleLocType 0, the default of H.264, HEVC, VP9 and MPEG-2); JPEG centres it both ways.
    """
    offset_x = (spec.step_x - 1) / 2.0 if layout.chroma_is_centred else 0.0
    offset_y = (spec.step_y - 1) / 2.0
    return np.array([[float(spec.step_x), 0.0, offset_x], [0.0, float(spec.step_y), offset_y]])


def display_from_plane(geometry: StreamGeometry, layout: PixelFormat, spec: PlaneSpec) -> Float64Array:
    """Affine (2, 3) from a plane's own px to display px."""
    return compose_affine(geometry.display_from_native, native_from_plane(layout, spec))


def shift_affine(dx: float, dy: float) -> Float64Array:
    """Affine (2, 3) that adds (dx, dy)."""
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])


def resize_affine(scale_x: float, scale_y: float) -> Float64Array:
    """Affine (2, 3) of a picture resize, pixel centres on integers: x' = (x + 1/2) * scale - 1/2."""
    return np.array(
        [[scale_x, 0.0, (scale_x - 1.0) / 2.0], [0.0, scale_y, (scale_y - 1.0) / 2.0]], dtype=np.float64
    )


def axis_scales(affine: Float64Array) -> tuple[float, float]:
    """How many destination px one step along source x, and along source y, covers."""
    linear = affine[:, :2]
    return float(np.hypot(*linear[:, 0])), float(np.hypot(*linear[:, 1]))


def transformed_bounds(affine: Float64Array, box_xyxy: Float64Array) -> tuple[float, float, float, float]:
    """Axis-aligned bounds (x0, y0, x1, y1) of a box after an affine."""
    x0, y0, x1, y1 = (float(value) for value in box_xyxy)
    corners = np.array([[x0, x1, x1, x0], [y0, y0, y1, y1]])
    moved = affine[:, :2] @ corners + affine[:, 2:]
    low, high = moved.min(axis=1), moved.max(axis=1)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
