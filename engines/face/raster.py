"""Which triangle of a mesh each pixel shows.

OpenCV fills one triangle a call, and each call lets go of Python's lock and waits for it again: nine hundred times a
face, which costs far more than the drawing itself when another thread computes. Here all triangles are cut into rows
and all rows into pixels at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

# A triangle owns the pixels whose centres are no further from it than this, along the row and across.
_REACH_PX = np.float32(0.5)
_FLAT_PX = np.float32(1e-6)


def owners(
    corners_xy_px: npt.NDArray[np.floating], numbers: npt.NDArray[np.integer], side_px: int
) -> Int32Array:
    """Draws triangles one over the other.

    Args:
        corners_xy_px: (T, 3, 2), from the farthest to the nearest: later ones cover earlier ones.
        numbers: (T,) what to write for each.
        side_px: of the square picture.

    Returns:
        (side, side) int32, -1 where there is no triangle.
    """
    top, middle, bottom = _by_height(corners_xy_px.astype(np.float32))
    triangle, y = _spans(top[1], bottom[1], side_px)
    (ax, ay), (bx, by), (cx, cy) = (point[:, triangle] for point in (top, middle, bottom))
    at = np.clip(y.astype(np.float32), ay, cy)
    # One end of a row lies on the side from top to bottom, the other on the two sides that meet in the middle.
    upper = at < by
    ends = (
        _crossing(ax, ay, cx, cy, at),
        _crossing(
            np.where(upper, ax, bx),
            np.where(upper, ay, by),
            np.where(upper, bx, cx),
            np.where(upper, by, cy),
            at,
        ),
    )
    row, x = _spans(np.minimum(*ends), np.maximum(*ends), side_px)
    picture = np.full(side_px * side_px, -1, dtype=np.int32)
    # Of places named twice numpy keeps the last value, which is the nearest triangle's.
    picture[y[row] * side_px + x] = numbers[triangle[row]]
    return picture.reshape(side_px, side_px)


def _by_height(corners: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array]:
    """The topmost, middle and lowest corners, (2, T) each."""
    order = np.argsort(corners[:, :, 1], axis=1)
    sorted_corners = np.take_along_axis(corners, order[:, :, None], axis=1)
    top, middle, bottom = np.ascontiguousarray(sorted_corners.transpose(1, 2, 0))
    return top, middle, bottom


def _crossing(
    x0: Float32Array, y0: Float32Array, x1: Float32Array, y1: Float32Array, at: Float32Array
) -> Float32Array:
    """x of a side at a height between its ends."""
    part = (at - y0) / np.maximum(y1 - y0, _FLAT_PX)
    return np.asarray(x0 + (x1 - x0) * part, dtype=np.float32)


def _spans(low: Float32Array, high: Float32Array, side_px: int) -> tuple[Int32Array, Int32Array]:
    """Every pixel number from `low` to `high`, and which of them it belongs to."""
    first = np.maximum(np.ceil(low - _REACH_PX), 0).astype(np.int32)
    last = np.minimum(np.floor(high + _REACH_PX), side_px - 1).astype(np.int32)
    count = np.maximum(last - first + 1, 0)
    which = np.repeat(np.arange(len(count), dtype=np.int32), count)
    begin = (np.cumsum(count) - count - first).astype(np.int32)
    return which, np.arange(len(which), dtype=np.int32) - begin[which]
