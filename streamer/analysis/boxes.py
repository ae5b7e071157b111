"""Arithmetic on boxes `xyxy` in px; arrays of shape (4,) or (N, 4), never rounded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoxArray = npt.NDArray[np.floating]

# Points (P, 2) of the unit disc.
_GRID = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 17)] * 2), axis=-1).reshape(-1, 2)
_DISC = _GRID[(_GRID**2).sum(axis=1) <= 1.0]


def as_box(values: npt.ArrayLike) -> Float32Array:
    """(4,) float32."""
    return np.asarray(values, dtype=np.float32).reshape(4)


def area(boxes: BoxArray) -> Float64Array:
    """Areas in px^2; 0 for boxes without extent. (..., 4) -> (...)."""
    sides = np.maximum(np.asarray(boxes, np.float64)[..., 2:] - np.asarray(boxes, np.float64)[..., :2], 0.0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def intersection(boxes: BoxArray, others: BoxArray) -> Float64Array:
    """Common area of each of (N, 4) with each of (M, 4), px^2, (N, M)."""
    a = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, np.float64).reshape(1, -1, 4)
    corners = np.concatenate(
        [np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1
    )
    return area(corners)


def iou(boxes: BoxArray, others: BoxArray) -> Float64Array:
    """Intersection over union, (N, 4) and (M, 4) -> (N, M)."""
    common = intersection(boxes, others)
    union = area(boxes).reshape(-1, 1) + area(others).reshape(1, -1) - common
    return np.asarray(common / np.maximum(union, 1e-9))


def share_inside(boxes: BoxArray, others: BoxArray) -> Float64Array:
    """Share of the area of each of (N, 4) that lies inside each of (M, 4), (N, M)."""
    return np.asarray(intersection(boxes, others) / np.maximum(area(boxes).reshape(-1, 1), 1e-9))


def oval_share_inside(boxes: BoxArray, others: BoxArray) -> Float64Array:
    """Share of the oval inscribed in each of (N, 4) that lies inside the ovals inscribed in (M, 4), together, (N,).

    Counted on a grid of about 200 points in each oval.
    """
    places = centre(boxes)[:, None] + _DISC * sides(boxes)[:, None] / 2.0
    radii = np.maximum(sides(others) / 2.0, 1e-9)
    inside = ((places[:, :, None] - centre(others)) / radii) ** 2
    return np.asarray((inside.sum(axis=-1) <= 1.0).any(axis=-1).mean(axis=-1))


def centre(box: BoxArray) -> Float64Array:
    """(..., 4) -> (..., 2)."""
    values = np.asarray(box, np.float64)
    return np.asarray((values[..., :2] + values[..., 2:]) / 2.0)


def sides(box: BoxArray) -> Float64Array:
    """Width and height, (..., 4) -> (..., 2)."""
    values = np.asarray(box, np.float64)
    return np.asarray(values[..., 2:] - values[..., :2])


def face_size(box: BoxArray) -> Float64Array:
    """Geometric mean of width and height, at least 1 px: the unit in which motion of a face is judged."""
    return np.asarray(np.maximum(np.sqrt(area(box)), 1.0))


def from_centre(centre_xy_px: BoxArray, sides_px: BoxArray) -> Float64Array:
    """Inverse of `centre` and `sides`."""
    half = np.asarray(sides_px, np.float64) / 2.0
    middle = np.asarray(centre_xy_px, np.float64)
    return np.concatenate([middle - half, middle + half], axis=-1)


def grown(box: BoxArray, margin_px: float) -> Float64Array:
    """The box with every side moved out by `margin_px` (in, where negative, but never past its centre)."""
    return from_centre(centre(box), np.maximum(sides(box) + 2.0 * margin_px, 0.0))


def union(box: BoxArray, other: BoxArray) -> Float64Array:
    """The smallest box that holds both."""
    a, b = np.asarray(box, np.float64), np.asarray(other, np.float64)
    return np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])


def clipped(box: BoxArray, size: tuple[int, int]) -> Float64Array | None:
    """The part of the box inside a picture of `size` (width, height), or None where nothing is left of it.

    Pixel centres lie on integers, so the picture reaches from -0.5 to size - 0.5.
    """
    low, high = np.array([-0.5, -0.5]), np.array([size[0] - 0.5, size[1] - 0.5])
    values = np.asarray(box, np.float64)
    corners = np.concatenate([np.clip(values[:2], low, high), np.clip(values[2:], low, high)])
    return corners if bool(np.all(corners[2:] - corners[:2] > 0.5)) else None


def drawn_to_border(box: BoxArray, size: tuple[int, int], reach_px: float) -> Float64Array:
    """The box with each side that ends less than `reach_px` from the picture's border moved onto it.

    A detector sees little of a face that is cut by the border and tends to end its box short of it.
    """
    values = np.array(box, np.float64)
    low, high = np.array([-0.5, -0.5]), np.array([size[0] - 0.5, size[1] - 0.5])
    values[:2] = np.where(values[:2] - low < reach_px, np.minimum(values[:2], low), values[:2])
    values[2:] = np.where(high - values[2:] < reach_px, np.maximum(values[2:], high), values[2:])
    return values
