"""`codebook styles`: finds out how the people of a codebook were made, for rendering them anew at a larger size.

Who was rendered has a style in the pool. Of who was composed the pool knows the base by the box of its picture; whose
eyes and whose nose and mouth are in it is searched by looks and proven by composing the three again: the stored picture
must come out byte by byte. The result is a file beside the codebook, see `engines.appearance.styles`.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.appearance.parts import EYES, NOSE_AND_MOUTH, PARTS, Face, compose
from engines.appearance.picture import PICTURE_PX
from engines.appearance.styles import NOBODY, POINTS_PER_PX, StyleBook
from engines.errors import EngineError
from engines.face.template import CROP_SIDE_PX
from engines.face.warp import apply_field, warp_field
from engines.training.codebook_pool import Pool, encode_webp, load_pool

Float = NDArray[np.float32]

_LOOK_SIGMA_PX = 5.0
# So many that look most alike are composed in all pairs; else so many with the rest held, and the best in all pairs.
_PAIRED = 3
_LOOKED_AT = (60, 800)


def run(options: argparse.Namespace) -> int:
    """The command; see `engines.training.codebook_build.register`."""
    pool = load_pool(options.pool)
    data = options.codebook.read_bytes()
    book = _write_up(pool, _people(pool, options.codebook), hashlib.sha256(data).hexdigest())
    book.save(str(options.out))
    known = int((book.recipes[:, 0] != NOBODY).sum())
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {known} of {len(book.recipes)} people, {len(book.styles)} styles, {size:.2f} MB")
    return 0


class Origins:
    """Who of a pool somebody was composed of."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parents = [i for i in range(len(pool)) if not pool.composed[i]]
        self._bases = {pool.boxes[i].tobytes(): i for i in self._parents}
        self._target = pool.meshes[self._parents].mean(0) * (CROP_SIDE_PX / PICTURE_PX)
        self._masks = {name: self._mask(name) for name in PARTS}
        looks = [self._looks(i) for i in self._parents]
        self._looks_of_parents = {name: np.stack([look[name] for look in looks]) for name in PARTS}

    def of(self, index: int) -> tuple[int, int, int] | None:
        """Base, eyes, nose and mouth of a composed person; None when no three give the stored picture."""
        pool = self._pool
        base = self._bases.get(pool.boxes[index].tobytes())
        if base is None:
            return None
        near = {}
        for name, look in self._looks(index).items():
            order = np.argsort(-(self._looks_of_parents[name] @ look))
            near[name] = [self._parents[i] for i in order if self._parents[i] != base]
        found = self._proven(index, base, near[EYES][:_PAIRED], near[NOSE_AND_MOUTH][:_PAIRED])
        for count in _LOOKED_AT:
            if found is None:
                likely = {EYES: near[EYES][0], NOSE_AND_MOUTH: near[NOSE_AND_MOUTH][0]}
                for name in PARTS:
                    near[name] = self._nearest(index, base, name, near[name], likely, count)
                    likely[name] = near[name][0]
                found = self._proven(index, base, near[EYES][:_PAIRED], near[NOSE_AND_MOUTH][:_PAIRED])
        return found

    def _proven(
        self, index: int, base: int, eyes: list[int], mouths: list[int]
    ) -> tuple[int, int, int] | None:
        stored = self._pool.images[index].tobytes()
        for pair in sorted(
            itertools.product(eyes, mouths), key=lambda p: eyes.index(p[0]) + mouths.index(p[1])
        ):
            if encode_webp(self._composed(base, dict(zip(PARTS, pair, strict=True)))).tobytes() == stored:
                return (base, *pair)
        return None

    def _nearest(
        self, index: int, base: int, name: str, candidates: list[int], likely: dict[str, int], count: int
    ) -> list[int]:
        """The candidates for a part; of the first ``count`` those first that make it look most like the picture."""
        outline = self._pool.meshes[index][np.concatenate(PARTS[name]), :2]
        (left, top), (right, bottom) = outline.min(0).astype(int) + 4, outline.max(0).astype(int) - 4
        stored = self._pool.picture(index)[top:bottom, left:right].astype(np.float32)

        def miss(candidate: int) -> float:
            made = self._composed(base, {**likely, name: candidate})[top:bottom, left:right]
            return float(np.abs(made - stored).mean())

        return sorted(candidates[:count], key=miss) + candidates[count:]

    def _composed(self, base: int, donors: dict[str, int]) -> NDArray[np.uint8]:
        # The order of the parts is that of the first composition.
        faces = {name: self._face(donors[name]) for name in PARTS}
        return compose(self._face(base), faces).picture_rgb_u8

    def _face(self, index: int) -> Face:
        return Face(self._pool.picture(index), self._pool.meshes[index][:, :2].astype(np.float64))

    def _mask(self, name: str) -> NDArray[np.bool_]:
        mask = np.zeros((CROP_SIDE_PX, CROP_SIDE_PX), np.uint8)
        for outline in PARTS[name]:
            hull = cv2.convexHull(np.rint(self._target[outline, :2]).astype(np.int32))
            cv2.fillConvexPoly(mask, hull, (1,))
        return mask > 0

    def _looks(self, index: int) -> dict[str, Float]:
        """Detail of each part, in the mean shape, as a vector of unit length."""
        field = warp_field(self._target, self._pool.meshes[index][:, :2])
        warped = apply_field(field.source_xy_px, self._pool.picture(index))
        grey = cv2.cvtColor(warped, cv2.COLOR_RGB2GRAY).astype(np.float32)
        detail = grey - cv2.GaussianBlur(grey, (0, 0), _LOOK_SIGMA_PX)
        looks = {}
        for name, mask in self._masks.items():
            values = detail[mask] - detail[mask].mean()
            looks[name] = np.asarray(values / np.linalg.norm(values), np.float32)
        return looks


def _people(pool: Pool, codebook: Path) -> list[int]:
    """Where the people of a codebook are in the pool."""
    places = {image.tobytes(): i for i, image in enumerate(pool.images)}
    with np.load(codebook, allow_pickle=False) as archive:
        images, offsets = archive["images"], archive["image_offsets"]
    try:
        return [places[image.tobytes()] for image in np.split(images, offsets[1:-1])]
    except KeyError:
        raise EngineError(
            f"{codebook}: somebody in it is not in the pool; give the pool it was built of"
        ) from None


def _write_up(pool: Pool, people: list[int], codebook_sha256: str) -> StyleBook:
    origins = Origins(pool)
    makers: list[tuple[int, ...]] = []
    for index in people:
        if pool.composed[index]:
            makers.append(origins.of(index) or ())
        else:
            makers.append((index,) if np.any(pool.styles[index]) else ())
        if not makers[-1]:
            print(f"{pool.names[index]}: nobody knows how this person was made", flush=True)
    models = sorted({maker for row in makers for maker in row})
    places: dict[int, int] = {maker: place for place, maker in enumerate(models)}
    recipes = np.full((len(people), 3), NOBODY, np.int16)
    for row, made_of in zip(recipes, makers, strict=True):
        row[: len(made_of)] = [places[maker] for maker in made_of]
    return StyleBook(
        codebook_sha256=codebook_sha256,
        styles=pool.styles[models].astype(np.float16),
        boxes_xyxy_px=pool.boxes[models].astype(np.float32),
        points_64=np.rint(pool.meshes[models][:, :, :2] * POINTS_PER_PX).astype(np.int16),
        recipes=recipes,
    )


def add_arguments(parser: Any) -> None:
    """Options of the command."""
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--codebook", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="file to write, .npz")
