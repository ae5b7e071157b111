"""Closes the eyes of a picture by moving its upper lids, since the teacher knows hardly anyone with closed eyes.

The skin between brow and lid is stretched down to the lower lid, column by column, and what lies between the lids is
squeezed into what is left of the opening: a blink's own motion, with the person's own skin and lashes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

# Per eye: the fixed line under the brow, upper lid, lower lid, the fixed line under the eye; image left to right.
_LINES = (
    (
        (226, 113, 225, 224, 223, 222, 221, 189, 244),
        (33, 246, 161, 160, 159, 158, 157, 173, 133),
        (33, 7, 163, 144, 145, 153, 154, 155, 133),
        (226, 31, 228, 229, 230, 231, 232, 233, 244),
    ),
    (
        (464, 413, 441, 442, 443, 444, 445, 342, 446),
        (362, 398, 384, 385, 386, 387, 388, 466, 263),
        (362, 382, 381, 380, 374, 373, 390, 249, 263),
        (464, 453, 452, 451, 450, 449, 448, 261, 446),
    ),
)
_FOLDS = ((247, 30, 29, 27, 28, 56, 190), (414, 286, 258, 257, 259, 260, 467))
# Where the lids meet, as a share of the way from the upper to the lower lid.
_MEETING = 0.88


def close_eyes(picture_rgb_u8: Picture, mesh_xyz_px: Float, closure: float) -> Picture:
    """The picture with its eyes closed by ``closure`` (0 as it is, 1 shut); mesh (468, 3) in px of the picture."""
    height, width = picture_rgb_u8.shape[:2]
    x_from, y_from = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    columns = np.arange(width)
    for lines in _LINES:
        brow, upper, lower, cheek = (_curve(mesh_xyz_px[list(line), :2], columns) for line in lines)
        corners = mesh_xyz_px[[lines[1][0], lines[1][-1]], 0]
        inside = (columns > corners.min()) & (columns < corners.max())
        for x in np.flatnonzero(inside):
            # The lashes stand on the lid's edge and go with it.
            rim = 0.04 * (corners.max() - corners.min())
            top, bottom = upper[x] - rim, max(lower[x], upper[x] + 0.1)
            meet = upper[x] + _MEETING * (bottom - upper[x])
            moved_top = top + closure * (meet - upper[x])
            moved_bottom = bottom + closure * (meet - bottom)
            # A shut eye shows lashes between its lids and nothing of the eyeball.
            seen = upper[x] + min(1.0, 3.0 * (1.0 - closure)) * (bottom - upper[x])
            opening = max(moved_bottom, moved_top + rim + 0.05)
            knots_to = np.array([brow[x], moved_top, moved_top + rim, opening, opening + 0.1, cheek[x]])
            knots_from = np.array([brow[x], top, upper[x], seen, bottom, cheek[x]])
            if np.any(np.diff(knots_to) <= 0):
                continue
            rows = np.arange(max(0, int(brow[x])), min(height, int(cheek[x]) + 1))
            y_from[rows, x] = np.interp(rows, knots_to, knots_from)
    moved = cv2.remap(picture_rgb_u8, x_from, y_from, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(moved, np.uint8)


def closed_mesh(mesh_xyz_px: Float, closure: float) -> Float:
    """The mesh (468, 3) of the picture that `close_eyes` gives: lids moved, and the fold of the upper lid with them."""
    moved = np.array(mesh_xyz_px, np.float32)
    for (_, upper, lower, _), fold in zip(_LINES, _FOLDS, strict=True):
        shift = np.float32(closure) * (mesh_xyz_px[list(lower)] - mesh_xyz_px[list(upper)])
        moved[list(upper)] += np.float32(_MEETING) * shift
        moved[list(lower)] -= np.float32(1 - _MEETING) * shift
        moved[list(fold)] += np.float32(_MEETING / 2) * shift[1:-1]
    return np.asarray(moved, np.float32)


def _curve(points_xy_px: Float, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    order = np.argsort(points_xy_px[:, 0])
    return np.asarray(np.interp(columns, points_xy_px[order, 0], points_xy_px[order, 1]), np.float64)
