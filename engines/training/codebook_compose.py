"""People composed of three: the eyes of one and the nose and mouth of another in the face of a third.

A recogniser takes such a person for none of the three, at a tenth of the cost of a rendering. How parts are joined is
`engines.appearance.parts`; here is who is joined with whom.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.appearance.parts import EYES, NOSE_AND_MOUTH, Face, compose
from engines.appearance.picture import PICTURE_PX
from engines.errors import EngineError
from engines.training import codebook_screens as screens
from engines.training.codebook_faces import FaceExaminer, Portrait
from engines.training.codebook_pool import Pool, Record
from engines.training.codebook_prospects import Crowd, codes_of
from engines.training.codebook_select import stratum
from engines.training.edits import read_face

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

# Where a beard would show.
_BEARD = (164, 18, 200, 43, 273, 106, 335)
_LIPS = (37, 267, 84, 314, 0, 17)
_CHEEKS = (50, 280, 205, 425)
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
_SHARES = {EYES: 0.37, NOSE_AND_MOUTH: 0.16, "base": 0.34}
_TRIES = 400
_LEAST_ALIKE = 4
_PRICE_OF_USE = 0.04


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
                _SHARES[EYES] * rows[pairs[:, 0]]
                + _SHARES[NOSE_AND_MOUTH] * rows[pairs[:, 1]]
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
        face = compose(parents.face(base), {EYES: parents.face(eyes), NOSE_AND_MOUTH: parents.face(mouth)})
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
