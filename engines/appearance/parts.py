"""One face out of three: the eyes of one and the nose and mouth of another in the face of a third.

Shape goes with the parts: the base face is bent to the donors' eyes, nose and mouth by thin-plate splines (Bookstein
1989), the parts take on the base's colours at low frequencies, and are joined by multi-band blending (Burt and Adelson
1983). At any multiple of 256 px the composition is the same, only finer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.appearance.picture import PICTURE_PX, finer_px
from engines.face.topology import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    LIPS_OUTER,
    OVAL,
    canonical_mesh,
)

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]
Picture = NDArray[np.uint8]

# Outlines of the two parts: eyes with brows, and nose with mouth.
_EYES = np.unique(
    np.concatenate(
        [
            *(EYE_LEFT, EYE_RIGHT, BROW_LEFT, BROW_RIGHT),
            np.array([46, 276, 53, 283, 52, 282, 65, 295, 55, 285, 168, 6, 197, 9]),
            np.array([117, 346, 118, 347, 119, 348, 31, 261, 111, 340]),
        ]
    )
)
_NOSE = np.array([168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 64, 294, 48, 278, 129, 358, 49, 279, 131, 360])
_MOUTH = np.unique([*LIPS_OUTER, 57, 287, 164, 18, 200, 43, 273, 106, 335, 92, 322])
EYES, NOSE_AND_MOUTH = "eyes", "nose and mouth"
PARTS: Mapping[str, tuple[NDArray[np.int64], ...]] = {EYES: (_EYES,), NOSE_AND_MOUTH: (_NOSE, _MOUTH)}
# Points that carry the bend: features, outline, and some skin between.
_CARRIERS = np.unique(
    np.concatenate(
        [OVAL, _EYES, _NOSE, _MOUTH, [50, 280, 205, 425, 187, 411, 151, 108, 337, 69, 299, 104, 333, 175]]
    )
)
_RIM = np.array(
    [(x, y) for x in (0, 64, 128, 192, 255) for y in (0, 64, 128, 192, 255) if {x, y} & {0, 255}], np.float64
)
# The bend fades within this distance of a part, cm of the canonical face.
_FADE_CM = 2.5
_KNOTS = 33
# In px of 256.
_GROW_PX, _FEATHER_PX, _LIGHT_PX = 4, 4.0, 14.0
_LEVELS = 5


@dataclass(frozen=True)
class Face:
    """A picture with its landmarks.

    Attributes:
        picture_rgb_u8: (256 k, 256 k, 3).
        points_xy_px: (468, 2) float64 in px of the picture at 256.
    """

    picture_rgb_u8: Picture
    points_xy_px: Float64

    @property
    def fineness(self) -> int:
        """k."""
        return len(self.picture_rgb_u8) // PICTURE_PX


def compose(base: Face, donors: Mapping[str, Face]) -> Face:
    """The face of ``base`` with the parts of ``donors``, by name of `PARTS`; all of one fineness."""
    placed = {name: _placed(face.points_xy_px, base.points_xy_px) for name, face in donors.items()}
    weights = {name: _fading(name) for name in donors}
    total = np.maximum(1.0, sum(weights.values()))
    points = base.points_xy_px.copy()
    for name, goal in placed.items():
        points += (weights[name] / total)[:, None] * (goal - base.points_xy_px)
    picture = _bent(base, points, np.eye(2, 3))
    for name, donor in donors.items():
        similarity = _similarity(donor.points_xy_px, base.points_xy_px)
        part = _in_light_of(_bent(donor, points, similarity), picture)
        picture = _joined(part, picture, _mask(name, points, base.fineness))
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return Face(rounded, points)


def _placed(points: Float64, onto: Float64) -> Float64:
    similarity = _similarity(points, onto)
    return np.asarray(points @ similarity[:, :2].T + similarity[:, 2], np.float64)


def _similarity(points: Float64, onto: Float64) -> Float64:
    """(2, 3) least-squares similarity without reflection (Umeyama 1991)."""
    a, b = points - points.mean(0), onto - onto.mean(0)
    u, values, v = np.linalg.svd(b.T @ a)
    turn = u @ np.diag([1.0, np.sign(np.linalg.det(u @ v))]) @ v
    scaled = turn * (values.sum() / (a**2).sum())
    return np.column_stack([scaled, onto.mean(0) - scaled @ points.mean(0)])


@cache
def _fading(part: str) -> Float64:
    """(468,) 1 at a part's points, falling to 0 within `_FADE_CM`."""
    # Here and below: scipy takes half a second to import, and nothing else needs it before a face is composed.
    from scipy.spatial.distance import cdist

    canonical = canonical_mesh()[:, :2]
    near = cdist(canonical, canonical[np.concatenate(PARTS[part])]).min(1)
    return np.asarray(np.clip(1.0 - near / _FADE_CM, 0.0, 1.0), np.float64)


def _bent(face: Face, points: Float64, similarity: Float64) -> Float:
    """The face's picture so that its landmarks come to ``points``; its rim moves by the similarity alone."""
    from scipy.interpolate import RBFInterpolator

    back = cv2.invertAffineTransform(similarity)
    goals = np.concatenate([points[_CARRIERS], _RIM])
    rim = _RIM @ back[:, :2].T + back[:, 2]
    sources = np.concatenate([face.points_xy_px[_CARRIERS], rim])
    # The spline carries only what the similarity leaves over, which keeps it calm outside the face.
    left_over = sources - (goals @ back[:, :2].T + back[:, 2])
    grid = np.linspace(0, PICTURE_PX - 1, _KNOTS)
    ys, xs = np.meshgrid(grid, grid, indexing="ij")
    spline = RBFInterpolator(goals, left_over, kernel="thin_plate_spline", smoothing=1.0)
    coarse = spline(np.stack([xs.ravel(), ys.ravel()], 1)).reshape(_KNOTS, _KNOTS, 2)
    coarse += np.stack([xs, ys], -1) @ back[:, :2].T + back[:, 2]
    # Corners of the grid lie on pixel centres of the picture at 256, so the coarse map is sampled, not resized.
    fineness = face.fineness
    places = (np.arange(PICTURE_PX * fineness, dtype=np.float32) + np.float32(0.5)) / np.float32(fineness)
    steps = (places - np.float32(0.5)) * np.float32((_KNOTS - 1.0) / (PICTURE_PX - 1))
    at_x, at_y = np.meshgrid(steps, steps)
    field = cv2.remap(
        coarse.astype(np.float32), at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    field = finer_px(np.asarray(field, np.float32), fineness)
    bent = cv2.remap(
        face.picture_rgb_u8, field[..., 0], field[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(bent, np.float32)


def _in_light_of(part: Float, base: Float) -> Float:
    """The part with the base's colours at low frequencies."""
    sigma = _LIGHT_PX * len(part) / PICTURE_PX
    own = cv2.GaussianBlur(part, (0, 0), sigma) + 8.0
    asked = cv2.GaussianBlur(base, (0, 0), sigma) + 8.0
    return np.asarray(np.clip((part + 8.0) * np.clip(asked / own, 0.4, 2.5) - 8.0, 0.0, 255.0), np.float32)


def _mask(part: str, points: Float64, fineness: int) -> Float:
    """(256 k, 256 k) soft mask of a part, 1 inside."""
    mask = np.zeros((PICTURE_PX * fineness, PICTURE_PX * fineness), np.float32)
    for outline in PARTS[part]:
        hull = cv2.convexHull(np.rint(finer_px(points[outline], fineness)).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, (1.0,))
    side = 2 * _GROW_PX * fineness + 1
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), _FEATHER_PX * fineness), np.float32)


def _joined(part: Float, base: Float, mask: Float) -> Float:
    """Multi-band blend: ``part`` where the mask is 1."""
    parts, bases, masks = [part], [base], [mask]
    levels = _LEVELS + (len(part) // PICTURE_PX).bit_length() - 1
    for _ in range(levels):
        for pyramid in (parts, bases, masks):
            pyramid.append(np.asarray(cv2.pyrDown(pyramid[-1]), np.float32))
    weight = masks[-1][..., None]
    joined = parts[-1] * weight + bases[-1] * (1 - weight)
    for level in range(levels - 1, -1, -1):
        size = (parts[level].shape[1], parts[level].shape[0])
        weight = masks[level][..., None]
        fine = (parts[level] - cv2.pyrUp(parts[level + 1], dstsize=size)) * weight
        fine += (bases[level] - cv2.pyrUp(bases[level + 1], dstsize=size)) * (1 - weight)
        joined = cv2.pyrUp(joined, dstsize=size) + fine
    return np.asarray(joined, np.float32)
