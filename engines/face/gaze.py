"""Turns the eyes of a warped appearance: its irises are moved within the lids.

The mesh has no point on the iris, so the warp alone keeps it where the appearance has it. Here the map is shifted along
the eye, fully at its middle and not at all at its corners, which leaves the iris round and moves the white aside.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.topology import EYE_LEFT, EYE_RIGHT

Float32Array = npt.NDArray[np.float32]

# Corners of the eyes, left and right in the picture, as places in their contours.
_EYES = ((EYE_LEFT, 0, 8), (EYE_RIGHT, 8, 0))
# Of the eye's width. The map folds at a quarter of it.
LARGEST_SHIFT = 0.22
_LEAST_WIDTH_PX = 4.0
_SOFT_PX = 0.7
_SHIFT = 4


def turn_eyes(
    source_xy_px: Float32Array, target_xy_px: npt.ArrayLike, appearance_xy_px: npt.ArrayLike, shift: float
) -> None:
    """Move the irises of a map by `shift` eye widths to the right of the picture, in place.

    Args:
        source_xy_px: (n, n, 2) float32, from `warp_field`.
        target_xy_px: (468, 2 or 3), the target mesh of the map, crop px.
        appearance_xy_px: (468, 2 or 3), the mesh of the appearance, its px.
        shift: limited to `LARGEST_SHIFT`.
    """
    shift = float(np.clip(shift, -LARGEST_SHIFT, LARGEST_SHIFT))
    target, source = (np.asarray(mesh, dtype=np.float64)[:, :2] for mesh in (target_xy_px, appearance_xy_px))
    if shift == 0.0:
        return
    for contour, left, right in _EYES:
        lids = target[contour]
        along = lids[right] - lids[left]
        width = float(np.linalg.norm(along))
        low = np.floor(np.clip(lids.min(axis=0) - 2, 0, source_xy_px.shape[0] - 1)).astype(int)
        high = np.ceil(np.clip(lids.max(axis=0) + 3, 0, source_xy_px.shape[0])).astype(int)
        if width < _LEAST_WIDTH_PX or (high - low).min() < 2:
            continue
        inside = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
        outline = np.round((lids - low) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(inside, [outline], 255, cv2.LINE_AA, _SHIFT)
        weight = cv2.GaussianBlur(inside.astype(np.float32) / np.float32(255.0), (0, 0), _SOFT_PX)
        ys, xs = np.mgrid[low[1] : high[1], low[0] : high[0]]
        middle = (lids[left] + lids[right]) / 2.0
        place = ((xs - middle[0]) * along[0] + (ys - middle[1]) * along[1]) * (2.0 / width**2)
        weight = weight * np.clip(1.0 - place**2, 0.0, 1.0)
        step = shift * (source[contour[right]] - source[contour[left]])
        source_xy_px[low[1] : high[1], low[0] : high[0]] -= (weight[..., None] * step).astype(np.float32)
