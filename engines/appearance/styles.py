"""How the people of a codebook can be rendered anew: the side file ``codebook-v1-styles``.

Who was rendered from one style has that style; who was composed of three has the styles of all three and which part is
whose. The file is keyed to its codebook by sha256 and changes nothing of it: who does not stand in it keeps the
codebook's picture. A ``.npz`` without pickles, with the arrays

* ``codebook_sha256``: () str;
* ``styles`` (P, 512) float16, ``boxes_xyxy_px`` (P, 4) float32 and ``points_64`` (P, 468, 2) int16, of all models that
  people are made of: style, where the picture is cut out of the teacher's 1,024 px, and landmarks in 64ths of a px of
  the cut at 256 px;
* ``recipes`` (K, 3) int16: rows of face, eyes, and nose and mouth of each person of the codebook; (row, -1, -1) for who
  was rendered from one style, (-1, -1, -1) for who cannot be rendered.

Written by `engines.training.codebook_styles`.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.appearance.parts import EYES, NOSE_AND_MOUTH
from engines.errors import EngineError

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]

POINTS_PER_PX = 64.0
NOBODY = -1


@dataclass(frozen=True)
class Model:
    """A portrait of the teacher.

    Attributes:
        style: (512,) float32.
        box_xyxy_px: (4,) where the codebook's picture is cut out of the teacher's.
        points_xy_px: (468, 2) landmarks in px of the cut at 256 px.
    """

    style: Float
    box_xyxy_px: Float
    points_xy_px: Float64


@dataclass(frozen=True)
class Recipe:
    """What a person is made of: the face, and whose parts are in it, by name of `engines.appearance.parts.PARTS`."""

    base: Model
    donors: dict[str, Model]


@dataclass(frozen=True)
class StyleBook:
    """The side file of a codebook; see the module for the arrays."""

    codebook_sha256: str
    styles: NDArray[np.float16]
    boxes_xyxy_px: Float
    points_64: NDArray[np.int16]
    recipes: NDArray[np.int16]

    @classmethod
    def read(cls, data: bytes) -> StyleBook:
        """From the bytes of a file.

        Raises:
            EngineError: it is not such a file.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                book = cls(
                    str(archive["codebook_sha256"]),
                    archive["styles"],
                    archive["boxes_xyxy_px"],
                    archive["points_64"],
                    archive["recipes"],
                )
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise EngineError(f"the styles of the codebook cannot be read: {error}") from None
        models = len(book.styles)
        fits = (
            book.boxes_xyxy_px.shape == (models, 4)
            and book.points_64.shape[0] == models
            and book.recipes.ndim == 2
            and book.recipes.shape[1] == 3
            and bool(((book.recipes >= NOBODY) & (book.recipes < models)).all())
        )
        if not fits:
            raise EngineError("the styles of the codebook do not fit together; reinstall veilstream")
        return book

    def save(self, path: str) -> None:
        """Write the file."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    def knows(self, index: int) -> bool:
        """It is known how person ``index`` of the codebook is made."""
        return bool(self.recipes[index, 0] != NOBODY)

    def recipe(self, index: int) -> Recipe | None:
        """Of person ``index`` of the codebook; None when there is none."""
        if not self.knows(index):
            return None
        rows = self.recipes[index].tolist()
        parts = zip((EYES, NOSE_AND_MOUTH), rows[1:], strict=True)
        return Recipe(self._model(rows[0]), {name: self._model(row) for name, row in parts if row != NOBODY})

    def _model(self, row: int) -> Model:
        return Model(
            self.styles[row].astype(np.float32),
            self.boxes_xyxy_px[row],
            self.points_64[row] / POINTS_PER_PX,
        )
