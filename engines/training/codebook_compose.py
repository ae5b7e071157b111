"""People composed of three: the eyes of one and the nose and mouth of another in the face of a third.

A recogniser takes such a person for none of the three, at a tenth of the cost of a rendering. Shape goes with the
parts: the base face is bent to the donors' eyes, nose and mouth by thin-plate splines (Bookstein 1989), the parts take
on the base's colours at low frequencies, and are joined by multi-band blending (Burt and Adelson 1983).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial.distance import cdist

from engines.errors import EngineError
from engines.face.topology import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    LIPS_OUTER,
    OVAL,
    canonical_mesh,
)
from engines.training import codebook_screens as screens
from engines.training.codebook_faces import PICTURE_PX, FaceExaminer, Portrait
from engines.training.codebook_pool import Pool, Record
from engines.training.codebook_prospects import Crowd, codes_of
from engines.training.codebook_select import stratum
from engines.training.edits import read_face

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
_PARTS: Mapping[str, tuple[NDArray[np.int64], ...]] = {"eyes": (_EYES,), "nose and mouth": (_NOSE, _MOUTH)}
# Where a beard would show.
_BEARD = (164, 18, 200, 43, 273, 106, 335)
_LIPS = (37, 267, 84, 314, 0, 17)
_CHEEKS = (50, 280, 205, 425)
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
_GROW_PX, _FEATHER_PX, _LIGHT_PX = 4, 4.0, 14.0
_LEVELS = 5
# Largest differences between the people of one composition, by measure.
_ALIKE: Mapping[str, float] = {
    "male": 0.32,
    "older": 0.6,
    "skin_lightness": 9.0,
    "skin_yellowness": 8.0,
    "light_side": 0.1,
    "beard": 4.0,
    "lipstick": 9.0,
}
# Parts of the parents' codes in the code of the composed person, by regression over 150 of them.
_SHARES = {"eyes": 0.37, "nose and mouth": 0.16, "base": 0.34}
_TRIES = 400
_LEAST_ALIKE = 4
_PRICE_OF_USE = 0.04


@dataclass(frozen=True)
class Face:
    """A picture with its landmarks.

    Attributes:
        picture_rgb_u8: (256, 256, 3).
        points_xy_px: (468, 2) float64 in px of it.
    """

    picture_rgb_u8: Picture
    points_xy_px: Float64


def compose(base: Face, donors: Mapping[str, Face]) -> Face:
    """The face of ``base`` with the parts of ``donors``, by name of `_PARTS`."""
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
        picture = _joined(part, picture, _mask(name, points))
    rounded = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return Face(rounded, points)


class Parents:
    """People who may be composed: alike enough in sex, age, tone and light, else the seams show.

    Args:
        indices: who of the pool; those who resemble somebody may well be among them, since nobody of them is shown.
    """

    def __init__(self, pool: Pool, indices: Sequence[int]) -> None:
        self.pool = pool
        self._indices = np.asarray(indices)
        rows = [pool.measures[i] | _make_up(pool.picture(i), pool.meshes[i]) for i in indices]
        table = np.array([[row[name] for name in _ALIKE] for row in rows], np.float64)
        self._traits = table / np.array(list(_ALIKE.values()))
        codes = codes_of(pool, self._indices.tolist())
        self._codes = {name: rows for name, rows in codes.items() if rows.shape[1]}
        near = np.abs(self._traits[:, None] - self._traits[None]) <= 1.0
        self._alike = near.all(2)
        np.fill_diagonal(self._alike, False)
        strata = np.array([stratum(pool.measures[i]) for i in indices])
        # Rare people are bases more often than their number, though not as often as common ones.
        share = np.sqrt(np.bincount(strata))[strata] / np.bincount(strata)[strata]
        self._chance = np.where(self._alike.sum(1) >= _LEAST_ALIKE, share, 0.0)
        if not self._chance.any():
            raise EngineError(
                f"no {_LEAST_ALIKE} people alike in the pool to compose others from; examine more"
            )
        self._chance /= self._chance.sum()
        self._uses = np.zeros(len(strata))

    def face(self, index: int) -> Face:
        """Picture and landmarks of somebody of the pool."""
        return Face(self.pool.picture(index), self.pool.meshes[index][:, :2].astype(np.float64))

    def draw(self, random: np.random.Generator, crowd: Crowd) -> tuple[int, int, int]:
        """Base, eyes, nose and mouth (indices into the pool) whose composition promises to resemble nobody."""
        base = int(random.choice(len(self._indices), p=self._chance))
        pairs = random.choice(np.flatnonzero(self._alike[base]), (_TRIES, 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        codes: dict[str, Float] = {}
        for name, rows in self._codes.items():
            mixed = (
                _SHARES["eyes"] * rows[pairs[:, 0]]
                + _SHARES["nose and mouth"] * rows[pairs[:, 1]]
                + _SHARES["base"] * rows[base]
            )
            codes[name] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        close = crowd.closeness(codes, groups=("codebook",))
        over = [cosines - crowd.limits[key[0]][key[1]] for key, cosines in close.items()]
        # Those unlike everybody are foretold well with any base, and their compositions resemble each other.
        price = _PRICE_OF_USE * self._uses[pairs].sum(1)
        best = int(np.argmin(np.max(over, 0) + price)) if over else 0
        eyes, mouth = pairs[best]
        self._uses[[eyes, mouth]] += 1
        return int(self._indices[base]), int(self._indices[eyes]), int(self._indices[mouth])


def composed_candidates(
    parents: Parents,
    examiner: FaceExaminer,
    crowd: Crowd,
    record: Record,
    *,
    seed: int,
) -> Iterator[Portrait]:
    """Portraits of composed people; who resembles somebody is dropped at once and counted in the record."""
    random = np.random.default_rng(seed)
    while True:
        base, eyes, mouth = parents.draw(random, crowd)
        face = compose(
            parents.face(base), {"eyes": parents.face(eyes), "nose and mouth": parents.face(mouth)}
        )
        record.tally["composed"] += 1
        low, high = face.points_xy_px.min(0), face.points_xy_px.max(0)
        reading = read_face(
            face.picture_rgb_u8,
            examiner.mesh_model,
            box_xyxy_px=np.concatenate([low, high]).astype(np.float32),
        )
        code, second = examiner.encode(face.picture_rgb_u8, reading.mesh_xyz_px)
        resembled = crowd.too_close({"first": code[None], "second": second[None]})
        if resembled is not None:
            record.tally[f"composed: like somebody of the {resembled}"] += 1
            continue
        portrait = examiner.measured(face.picture_rgb_u8, reading, code, second, parents.pool.boxes[base])
        yield replace(portrait, composed=True)


def parents_of(pool: Pool, refused: frozenset[str]) -> list[int]:
    """Who may be a parent: passed every screen, was not thrown out by eye, and is not composed."""
    return [
        i
        for i in range(len(pool))
        if not pool.composed[i]
        and pool.names[i] not in refused
        and not screens.failed_screens(pool.measures[i])
    ]


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
    canonical = canonical_mesh()[:, :2]
    near = cdist(canonical, canonical[np.concatenate(_PARTS[part])]).min(1)
    return np.asarray(np.clip(1.0 - near / _FADE_CM, 0.0, 1.0), np.float64)


def _bent(face: Face, points: Float64, similarity: Float64) -> Float:
    """The face's picture so that its landmarks come to ``points``; its rim moves by the similarity alone."""
    back = cv2.invertAffineTransform(similarity)
    goals = np.concatenate([points[_CARRIERS], _RIM])
    rim = _RIM @ back[:, :2].T + back[:, 2]
    sources = np.concatenate([face.points_xy_px[_CARRIERS], rim])
    # The spline carries only what the similarity leaves over, which keeps it calm outside the face.
    left_over = sources - (goals @ back[:, :2].T + back[:, 2])
    grid = np.linspace(0, PICTURE_PX - 1, 33)
    ys, xs = np.meshgrid(grid, grid, indexing="ij")
    spline = RBFInterpolator(goals, left_over, kernel="thin_plate_spline", smoothing=1.0)
    coarse = spline(np.stack([xs.ravel(), ys.ravel()], 1)).reshape(33, 33, 2)
    coarse += np.stack([xs, ys], -1) @ back[:, :2].T + back[:, 2]
    # Corners of the grid lie on pixel centres, so the coarse map is sampled, not resized.
    steps = np.arange(PICTURE_PX, dtype=np.float32) * np.float32(32.0 / (PICTURE_PX - 1))
    at_x, at_y = np.meshgrid(steps, steps)
    field = cv2.remap(
        coarse.astype(np.float32), at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    bent = cv2.remap(
        face.picture_rgb_u8, field[..., 0], field[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(bent, np.float32)


def _in_light_of(part: Float, base: Float) -> Float:
    """The part with the base's colours at low frequencies."""
    own = cv2.GaussianBlur(part, (0, 0), _LIGHT_PX) + 8.0
    asked = cv2.GaussianBlur(base, (0, 0), _LIGHT_PX) + 8.0
    return np.asarray(np.clip((part + 8.0) * np.clip(asked / own, 0.4, 2.5) - 8.0, 0.0, 255.0), np.float32)


def _mask(part: str, points: Float64) -> Float:
    """(256, 256) soft mask of a part, 1 inside."""
    mask = np.zeros((PICTURE_PX, PICTURE_PX), np.float32)
    for outline in _PARTS[part]:
        hull = cv2.convexHull(np.rint(points[outline]).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, (1.0,))
    side = 2 * _GROW_PX + 1
    grown = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), _FEATHER_PX), np.float32)


def _joined(part: Float, base: Float, mask: Float) -> Float:
    """Multi-band blend: ``part`` where the mask is 1."""
    parts, bases, masks = [part], [base], [mask]
    for _ in range(_LEVELS):
        for pyramid in (parts, bases, masks):
            pyramid.append(np.asarray(cv2.pyrDown(pyramid[-1]), np.float32))
    weight = masks[-1][..., None]
    joined = parts[-1] * weight + bases[-1] * (1 - weight)
    for level in range(_LEVELS - 1, -1, -1):
        size = (parts[level].shape[1], parts[level].shape[0])
        weight = masks[level][..., None]
        fine = (parts[level] - cv2.pyrUp(parts[level + 1], dstsize=size)) * weight
        fine += (bases[level] - cv2.pyrUp(bases[level + 1], dstsize=size)) * (1 - weight)
        joined = cv2.pyrUp(joined, dstsize=size) + fine
    return np.asarray(joined, np.float32)


def _make_up(picture_rgb_u8: Picture, mesh_xyz_px: Float) -> dict[str, float]:
    """``beard``: how much darker (CIE L*) the skin about the mouth is than the cheeks; ``lipstick``: how much redder
    (CIE a*) the lips are."""
    lab = cv2.cvtColor(
        cv2.GaussianBlur(picture_rgb_u8, (0, 0), 3.0).astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB
    )

    def tone(indices: Sequence[int]) -> Float:
        places = np.clip(np.rint(mesh_xyz_px[list(indices), :2]).astype(int), 0, PICTURE_PX - 1)
        return np.asarray(lab[places[:, 1], places[:, 0]].mean(0), np.float32)

    cheeks = tone(_CHEEKS)
    return {"beard": float((cheeks - tone(_BEARD))[0]), "lipstick": float((tone(_LIPS) - cheeks)[1])}
