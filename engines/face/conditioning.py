"""The twelve channels the decoder sees, and so all that it can ever know of the real face.

From the real picture come only the context outside the hole and the colour grid; everything else is drawn
from the synthetic person. `pack` blanks the context inside the hole itself, so that a caller cannot leak by
mistake.

Channels of (12, 128, 128) float32: 0..2 warped appearance in -1..1 times the outline, 3..5 context in -1..1, softened
(see `engines.face.surroundings`) and zero in the hole, 6 hole, 7 outline, 8..10 colour grid in -1..1, 11 drawing.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.surroundings import BLUR_PX, softened
from engines.face.template import CROP_SIDE_PX
from engines.face.topology import CHIN, EYE_LEFT, EYE_RIGHT, FOREHEAD_TOP, LIPS_INNER, LIPS_OUTER, POINT_COUNT
from engines.face.warp import OPEN_MOUTH

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

CHANNELS = 12
GRID_CELLS = 8
GRID_LEVELS = 32

# The hole reaches this far beyond the hull of the face's points: a factor, then a distance in crop px.
_HOLE_SCALE = 1.03
_HOLE_MARGIN_PX = 3
# The mesh stops short of the hairline, and most of what a recogniser learns beside the face it learns there. Part of
# the distance from chin to top; less on a head seen from below, whose forehead goes away from the viewer, and more on
# one seen from above.
_FOREHEAD_EXTRA, _FOREHEAD_LEAN, _FOREHEAD_LIMITS = 0.19, 2.0, (0.06, 0.24)
# Cells take their colour from skin: within the hull of the points, drawn in by a factor and a distance in crop px. The
# points end below the line of the hair.
_SKIN_SCALE, _SKIN_ERODE_PX = 0.95, 4
# Standard deviation, in cells, of the smoothing that takes the eyes and the mouth out of the grid.
_GRID_SMOOTH_CELLS = 1.0
# The outline is drawn in by this much, so that hair and background around the synthetic face stay out.
_OUTLINE_ERODE_PX = 1
_OUTLINE_SOFT_PX = 1.5
_MOUTH_SOFT_PX = 0.8
_SHIFT = 4


def hole_mask(mesh_xy_px: npt.ArrayLike, *, reach_px: int = 0) -> UInt8Array:
    """Where nothing of the real picture may be seen: the whole real face with a margin.

    The hull of all points is taken, not the oval's own polygon: on a turned head the far half of the oval
    lies behind the cheek, and the hull is what covers the face.

    Args:
        mesh_xy_px: (468, 2 or 3), the REAL face's mesh in crop px.
        reach_px: how far beyond the crop, on every side, to look.

    Returns:
        (128 + 2 reach, 128 + 2 reach) uint8, 1 in the hole and 0 outside.

    Raises:
        ValueError: not a mesh of 468 points, or not finite.
    """
    mesh = np.asarray(mesh_xy_px, dtype=np.float64)
    if mesh.ndim != 2 or len(mesh) != POINT_COUNT or not np.isfinite(mesh).all():
        raise ValueError(f"need {POINT_COUNT} finite points, got shape {mesh.shape}")
    points = mesh[:, :2]
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    grown = centre + (points - centre) * _HOLE_SCALE
    up = points[FOREHEAD_TOP] - points[CHIN]
    extra = _forehead_extra(mesh) if mesh.shape[1] == 3 else _FOREHEAD_EXTRA
    # How far up the face a point lies: 0 at the middle, 1 at the top. Only the upper half is lifted.
    height = (points - (points[FOREHEAD_TOP] + points[CHIN]) / 2.0) @ up / max(float(up @ up) / 2.0, 1e-6)
    grown = grown + np.clip(height, 0.0, 1.0)[:, None] * up * extra
    mask = _hull(grown + reach_px, CROP_SIDE_PX + 2 * reach_px)
    return _as_u8(cv2.dilate(mask, _disc(_HOLE_MARGIN_PX)))


def skin_mask(mesh_xy_px: Float64Array) -> UInt8Array:
    """Where the colours of the real face may be read: well within it, and not in its hair.

    Args:
        mesh_xy_px: (468, 2 or 3), the REAL face's mesh in crop px.

    Returns:
        (128, 128) uint8, 1 on skin (with eyes and mouth, which the grid smooths away) and 0 elsewhere; empty
        if the face is not in the crop.
    """
    points = mesh_xy_px[:, :2].astype(np.float64)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    hull = _hull(centre + (points - centre) * _SKIN_SCALE, CROP_SIDE_PX)
    return _as_u8(cv2.erode(hull, _disc(_SKIN_ERODE_PX), borderType=cv2.BORDER_REPLICATE))


def _forehead_extra(mesh_xyz_px: Float64Array) -> float:
    """How far the forehead reaches above the mesh, in distances from chin to top as the picture shows them."""
    up = mesh_xyz_px[FOREHEAD_TOP] - mesh_xyz_px[CHIN]
    back = np.cross(up, mesh_xyz_px[EYE_RIGHT].mean(axis=0) - mesh_xyz_px[EYE_LEFT].mean(axis=0))
    back *= float(np.linalg.norm(up)) / max(float(np.linalg.norm(back)), 1e-6)
    rise = float(back[:2] @ up[:2]) / max(float(up[:2] @ up[:2]), 1e-6)
    return float(np.clip(_FOREHEAD_EXTRA * (1.0 + _FOREHEAD_LEAN * rise), *_FOREHEAD_LIMITS))


def outline_mask(silhouette: UInt8Array, hole: UInt8Array) -> Float32Array:
    """Where the synthetic face may show: its own silhouette, drawn in a little, softened, and inside the
    hole.

    Args:
        silhouette: (128, 128) uint8 from `warp_field`: non-zero on the synthetic head, with the open mouth marked.
        hole: (128, 128) uint8, 1 in the hole.

    Returns:
        (128, 128) float32 in 0..1, zero outside the hole.
    """
    both = ((silhouette > 0) & (hole > 0)).astype(np.uint8)
    inner = cv2.erode(both, _disc(_OUTLINE_ERODE_PX), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    soft = cv2.GaussianBlur(inner.astype(np.float32), (0, 0), _OUTLINE_SOFT_PX)
    mouth = silhouette == OPEN_MOUTH
    if mouth.any():
        soft = soft * (1.0 - cv2.GaussianBlur(mouth.astype(np.float32), (0, 0), _MOUTH_SOFT_PX))
    return _as_f32(soft * both)


def colour_grid(crop_rgb_f32: Float32Array, skin: UInt8Array) -> Float32Array:
    """`cell_colours` rounded to 32 levels, for pictures that stand alone.

    In time, rounding alone lets the pulse through: see `streamer.render.light`.

    Args and Returns: as `cell_colours`.
    """
    return _as_f32(np.round(cell_colours(crop_rgb_f32, skin) * (GRID_LEVELS - 1)) / (GRID_LEVELS - 1))


def cell_colours(crop_rgb_f32: Float32Array, skin: UInt8Array) -> Float32Array:
    """Light and skin tone of the real face, too coarse for a face.

    Cell means over skin, then smoothed over neighbouring cells. Cells without skin take their neighbours' colour.

    Args:
        crop_rgb_f32: (128, 128, 3) float32 RGB in 0..1, the real crop.
        skin: (128, 128) uint8, from `skin_mask`; where it is empty the whole crop gives its colour.

    Returns:
        (8, 8, 3) float32 in 0..1.
    """
    weight = (skin if skin.any() else np.ones_like(skin)).astype(np.float32)
    cells = (GRID_CELLS, GRID_CELLS)
    total = cv2.resize(crop_rgb_f32 * weight[..., None], cells, interpolation=cv2.INTER_AREA)
    share = cv2.resize(weight, cells, interpolation=cv2.INTER_AREA)
    smooth_total = cv2.GaussianBlur(total, (0, 0), _GRID_SMOOTH_CELLS, borderType=cv2.BORDER_CONSTANT)
    smooth_share = cv2.GaussianBlur(share, (0, 0), _GRID_SMOOTH_CELLS, borderType=cv2.BORDER_CONSTANT)
    mean = total.sum(axis=(0, 1)) / max(float(share.sum()), 1e-6)
    # A faint pull to the mean colour decides the cells that no skin is near.
    grid = (smooth_total + 1e-3 * mean) / (smooth_share[..., None] + 1e-3)
    return _as_f32(np.clip(grid, 0.0, 1.0))


def drawing(mesh_xy_px: npt.ArrayLike) -> Float32Array:
    """Line drawing of lids and lips as the SYNTHETIC person shall show them.

    Args:
        mesh_xy_px: (468, 2 or 3), the synthetic person's target mesh in crop px.

    Returns:
        (128, 128) float32 in 0..1.
    """
    points = np.clip(np.asarray(mesh_xy_px, dtype=np.float64)[:, :2], -512.0, 512.0)
    canvas = np.zeros((CROP_SIDE_PX, CROP_SIDE_PX), dtype=np.uint8)
    # The inner lips have a shade of their own: what lies between them is the mouth's interior.
    for curve, shade in ((LIPS_OUTER, 255), (LIPS_INNER, 160), (EYE_LEFT, 255), (EYE_RIGHT, 255)):
        line = np.round(points[curve] * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(canvas, [line], True, shade, 1, cv2.LINE_AA, _SHIFT)
    return _as_f32(canvas / np.float32(255.0))


def pack(
    warped_rgb_f32: Float32Array,
    crop_rgb_f32: Float32Array,
    hole: UInt8Array,
    outline: Float32Array,
    grid: Float32Array,
    lines: Float32Array,
    *,
    blur_px: float = BLUR_PX,
) -> Float32Array:
    """The decoder's input for one face.

    Args:
        warped_rgb_f32: (128, 128, 3) RGB in 0..1, the synthetic appearance through the warp.
        crop_rgb_f32: (128, 128, 3) RGB in 0..1, the real crop; only what lies outside the hole is used.
        hole: (128, 128) uint8, 1 in the hole.
        outline: (128, 128) in 0..1, from `outline_mask`.
        grid: (8, 8, 3) in 0..1, from `colour_grid` (the caller may smooth it over time first).
        lines: (128, 128) in 0..1, from `drawing`.
        blur_px: how much the context is softened.

    Returns:
        (12, 128, 128) float32; see the module.
    """
    side = (CROP_SIDE_PX, CROP_SIDE_PX)
    channels = np.empty((CHANNELS, *side), dtype=np.float32)
    channels[0:3] = (warped_rgb_f32.transpose(2, 0, 1) * 2.0 - 1.0) * outline
    around = softened(crop_rgb_f32, hole, blur_px).transpose(2, 0, 1)
    channels[3:6] = np.where(hole > 0, np.float32(0.0), around * 2.0 - 1.0)
    channels[6] = hole > 0
    channels[7] = outline
    spread = cv2.resize(grid, side, interpolation=cv2.INTER_LINEAR)
    channels[8:11] = spread.transpose(2, 0, 1) * 2.0 - 1.0
    channels[11] = lines
    return channels


def _hull(points_xy_px: Float64Array, side_px: int) -> UInt8Array:
    """(side, side) uint8, 1 in the convex hull of the points."""
    hull = cv2.convexHull(np.clip(points_xy_px, -512.0, 512.0).astype(np.float32))
    mask = np.zeros((side_px, side_px), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(hull * (1 << _SHIFT)).astype(np.int32)], 1, cv2.LINE_8, _SHIFT)
    return mask


def _disc(radius_px: int) -> UInt8Array:
    size = 2 * radius_px + 1
    return _as_u8(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _as_u8(array: npt.NDArray[np.generic] | cv2.Mat) -> UInt8Array:
    return np.asarray(array, dtype=np.uint8)


def _as_f32(array: npt.NDArray[np.generic] | cv2.Mat) -> Float32Array:
    return np.asarray(array, dtype=np.float32)
