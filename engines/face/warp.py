"""Where each pixel of the face crop comes from in the synthetic person's appearance.

The two meshes share their triangles, so the map is affine in each. Triangles that face away are dropped and
the rest are drawn from back to front (the painter's algorithm), which is what lets a nose hide the far cheek
of a turned head. A ring of extra points around the oval continues the map a little into hair, neck and
background, so that no edge of the map can show inside the outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.raster import owners
from engines.face.template import CROP_SIDE_PX
from engines.face.topology import (
    CHIN,
    FOREHEAD_TOP,
    LIPS_INNER,
    OVAL,
    POINT_COUNT,
    mouth_opening,
    triangles,
)

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]
_Picture = TypeVar("_Picture", UInt8Array, Float32Array)

# The silhouette reaches above the mesh by this part of the distance from chin to top.
_FOREHEAD_LIFT = 0.04
# Value of the silhouette where the mouth's interior shows, and how much further than in the appearance, in widths of
# the mouth, it must be open for that.
OPEN_MOUTH = 128
_MOUTH_OPENS = 0.06
# The ring lies at this multiple of the oval's distance from the middle of the face.
_RING_SCALE = 1.35
# Sub-pixel bits of OpenCV's drawing functions.
_SHIFT = 4
# Triangles thinner than this many square px, or turned away, are not drawn.
_MIN_AREA_PX = 0.02
# Appearance px per patch px above which sampling would alias, and the least side a halved appearance may
# have.
_ALIASING_STEP_PX = 1.5
_MIN_SIDE_PX = 64
# Nothing of an appearance lies farther out. Not for looks: OpenCV reflects a coordinate at the border step by step, and
# one of 1e9 px, as a mesh squeezed to a line gives it, keeps it busy for ever.
_FARTHEST_PX = 4096.0
# The kinks of the piecewise affine map are smoothed by this much, px.
_SMOOTH_PX = 0.8


@dataclass(frozen=True, slots=True)
class WarpField:
    """The inverse map of a face crop.

    Attributes:
        source_xy_px: (128, 128, 2) float32: where each crop pixel lies in the appearance, px. Finite
            everywhere.
        silhouette: (128, 128) uint8, 255 where the synthetic head's own mesh covers the crop, and `OPEN_MOUTH` where
            the target's mouth is open but the appearance's is not: there the map only stretches the lips.
    """

    source_xy_px: Float32Array
    silhouette: UInt8Array


@cache
def _joined_triangles() -> tuple[npt.NDArray[np.int64], int]:
    """Triangles (T, 3) of the mesh and of the ring (points 468 and up), and how many belong to the ring
    (first).
    """
    count = len(OVAL)
    here = np.arange(count)
    after = (here + 1) % count
    ring = POINT_COUNT + here
    ring_next = POINT_COUNT + after
    band = np.concatenate(
        [np.stack([OVAL[here], ring, ring_next], 1), np.stack([OVAL[here], ring_next, OVAL[after]], 1)]
    )
    return np.concatenate([band, triangles()]), len(band)


def _with_ring(points_xy: Float64Array) -> Float64Array:
    """Points (468, 2) followed by the ring (36, 2)."""
    centre = points_xy.mean(axis=0)
    return np.concatenate([points_xy, centre + (points_xy[OVAL] - centre) * _RING_SCALE])


def warp_field(target_xyz_px: npt.ArrayLike, source_xy_px: npt.ArrayLike) -> WarpField:
    """Map that brings an appearance into the pose and expression of a target mesh.

    Args:
        target_xyz_px: (468, 3) where the synthetic person's points shall lie, crop px; z in the same unit.
        source_xy_px: (468, 2 or 3) the same points in the (frontal) appearance picture, px.

    Raises:
        ValueError: wrong shapes, or numbers that are not finite.
    """
    target = np.asarray(target_xyz_px, dtype=np.float64)
    source = np.asarray(source_xy_px, dtype=np.float64)[:, :2]
    if target.shape != (POINT_COUNT, 3) or source.shape != (POINT_COUNT, 2):
        raise ValueError(f"need {POINT_COUNT} points in 3D and 2D, got {target.shape} and {source.shape}")
    if not (np.isfinite(target).all() and np.isfinite(source).all()):
        raise ValueError("mesh points must be finite")
    faces, ring_count = _joined_triangles()
    target_points, source_points = _with_ring(target[:, :2]), _with_ring(source)
    corners = target_points[faces]
    owner = _draw_triangles(corners, target[faces[ring_count:], 2].mean(axis=1), ring_count)
    field = _gather(owner, corners, source_points[faces], _global_affine(target_points, source_points))
    blurred = cv2.GaussianBlur(field, (0, 0), _SMOOTH_PX, borderType=cv2.BORDER_REPLICATE)
    silhouette = np.where(owner >= ring_count, np.uint8(255), np.uint8(0))
    # On the near side of a turned head the oval is the outline; the triangles just inside it are seen
    # edge-on and would leave it ragged.
    oval = np.round(_limited(_with_forehead(target[:, :2])[OVAL]) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(silhouette, [oval], 255, cv2.LINE_8, _SHIFT)
    if mouth_opening(target) > mouth_opening(source) + _MOUTH_OPENS:
        mouth = np.round(_limited(target[LIPS_INNER, :2]) * (1 << _SHIFT)).astype(np.int32)
        inside = np.zeros_like(silhouette)
        cv2.fillPoly(inside, [mouth], 1, cv2.LINE_8, _SHIFT)
        silhouette[(inside > 0) & (silhouette > 0)] = OPEN_MOUTH
    np.clip(blurred, -_FARTHEST_PX, _FARTHEST_PX, out=blurred)
    return WarpField(np.asarray(blurred, dtype=np.float32), silhouette)


def _with_forehead(points: Float64Array) -> Float64Array:
    """Points (468, 2) with the top of the face drawn up towards the hairline, where the mesh does not reach."""
    up = points[FOREHEAD_TOP] - points[CHIN]
    height = (points - (points[FOREHEAD_TOP] + points[CHIN]) / 2.0) @ up / max(float(up @ up) / 2.0, 1e-6)
    # Not at the temples: there the hair begins where the mesh ends.
    middle = np.clip((height - 0.5) / 0.5, 0.0, 1.0)
    lifted: Float64Array = points + middle[:, None] * up * _FOREHEAD_LIFT
    return lifted


def _limited(points_px: Float64Array) -> Float64Array:
    """Keeps points within what OpenCV's fixed-point drawing can hold, for meshes that leave the crop."""
    return np.clip(points_px, -4.0 * CROP_SIDE_PX, 5.0 * CROP_SIDE_PX)


def _draw_triangles(corners: Float64Array, depth: Float64Array, ring_count: int) -> npt.NDArray[np.int32]:
    """(128, 128) number of the nearest triangle that faces the camera, -1 where there is none."""
    edge_a, edge_b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    signed_area = edge_a[:, 0] * edge_b[:, 1] - edge_a[:, 1] * edge_b[:, 0]
    visible = signed_area[ring_count:] > _MIN_AREA_PX
    # The ring lies behind everything; then from far to near, z growing away from the camera.
    order = np.argsort(-depth, kind="stable")
    numbers = np.concatenate([np.arange(ring_count), order[visible[order]] + ring_count])
    return owners(_limited(corners[numbers]), numbers, CROP_SIDE_PX)


def _global_affine(target: Float64Array, source: Float64Array) -> Float64Array:
    """Least-squares affine (3, 2) for pixels beyond the ring: [x, y, 1] @ it = source px."""
    design = np.column_stack([target, np.ones(len(target))])
    # A little ridge keeps it finite for meshes squeezed to a line.
    normal = design.T @ design + 1e-6 * np.eye(3)
    solution: Float64Array = np.linalg.solve(normal, design.T @ source)
    return solution


@cache
def _pixel_grid() -> Float32Array:
    """(3, 128 * 128) x, y and one for every crop pixel."""
    ys, xs = np.mgrid[0:CROP_SIDE_PX, 0:CROP_SIDE_PX]
    return np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)]).astype(np.float32)


def _gather(
    owner: npt.NDArray[np.int32], corners: Float64Array, source_corners: Float64Array, beyond: Float64Array
) -> Float32Array:
    """Source position (128, 128, 2) of every pixel from the triangle that owns it."""
    pixels = _pixel_grid()
    field = beyond.T.astype(np.float32) @ pixels
    place = np.flatnonzero(owner.ravel() >= 0)
    if place.size:
        # Columns: weight_b = b0 x + b1 y + b2, weight_c likewise, then the source triangle's corner and
        # edges.
        table = np.ascontiguousarray(_triangle_table(corners, source_corners).T)[:, owner.ravel()[place]]
        x, y = pixels[0, place], pixels[1, place]
        # Clamped: drawing includes border pixels a little outside the triangle, where a sliver's affine map
        # would shoot far off.
        weight_b = np.clip(table[0] * x + table[1] * y + table[2], 0.0, 1.0)
        weight_c = np.clip(table[3] * x + table[4] * y + table[5], 0.0, 1.0)
        shrink = 1.0 / np.maximum(weight_b + weight_c, 1.0)
        weight_b *= shrink
        weight_c *= shrink
        for axis in (0, 1):
            field[axis, place] = table[6 + axis] + weight_b * table[8 + axis] + weight_c * table[10 + axis]
    return np.ascontiguousarray(field.reshape(2, CROP_SIDE_PX, CROP_SIDE_PX).transpose(1, 2, 0))


def _triangle_table(corners: Float64Array, source_corners: Float64Array) -> Float32Array:
    """(T, 12) per triangle: two barycentric weights as affine functions of x and y, source corner, source
    edges.
    """
    a = corners[:, 0]
    ab, ac = corners[:, 1] - a, corners[:, 2] - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    # A sliver takes its first corner's source all over.
    inverse = 1.0 / np.where(np.abs(area) < _MIN_AREA_PX, np.inf, area)
    weight_b = np.column_stack([ac[:, 1], -ac[:, 0], ac[:, 0] * a[:, 1] - ac[:, 1] * a[:, 0]])
    weight_c = np.column_stack([-ab[:, 1], ab[:, 0], ab[:, 1] * a[:, 0] - ab[:, 0] * a[:, 1]])
    origin = source_corners[:, 0]
    edges = np.column_stack([origin, source_corners[:, 1] - origin, source_corners[:, 2] - origin])
    weights = np.column_stack([weight_b, weight_c]) * inverse[:, None]
    return np.column_stack([weights, edges]).astype(np.float32)


def apply_field(source_xy_px: Float32Array, appearance: _Picture, scale: int = 1) -> _Picture:
    """The appearance seen through the map.

    An appearance much finer than the patch is halved first, so that the result does not alias.

    Args:
        source_xy_px: (h, w, 2) float32: the field of `warp_field`, or a window of it.
        appearance: (h, w, c) uint8 or float32.
        scale: the result has this many px for each px of the map, along each axis.

    Returns:
        (h * scale, w * scale, c), dtype of the appearance.
    """
    height, width = source_xy_px.shape[:2]
    field = source_xy_px
    if scale != 1:
        size = (width * scale, height * scale)
        field = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    picture = appearance
    middle = source_xy_px[height // 4 : height - height // 4 : 2, width // 4 : width - width // 4, 1]
    step = float(np.median(np.abs(np.diff(middle, axis=0)))) / (2.0 * scale) if middle.shape[0] > 1 else 0.0
    while step > _ALIASING_STEP_PX and min(picture.shape[:2]) >= 2 * _MIN_SIDE_PX:
        picture = cast(_Picture, cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        field = field * np.float32(0.5) - np.float32(0.25)
        step /= 2.0
    return cast(
        _Picture,
        cv2.remap(picture, field[..., 0], field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
    )
