"""Contact sheets: every candidate and every person of a codebook has to be looked at before it ships."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

_LABEL_RGB = (255, 255, 0)


def write_sheets(
    folder: Path,
    stem: str,
    indices: Sequence[int],
    picture: Callable[[int], Picture],
    *,
    columns: int = 14,
    rows: int = 8,
    tile_px: int = 112,
) -> list[Path]:
    """Writes PNG sheets of numbered pictures; returns their paths in order."""
    folder.mkdir(parents=True, exist_ok=True)
    per_sheet = columns * rows
    paths: list[Path] = []
    for start in range(0, len(indices), per_sheet):
        part = indices[start : start + per_sheet]
        sheet = np.zeros((-(-len(part) // columns) * tile_px, columns * tile_px, 3), np.uint8)
        for place, index in enumerate(part):
            tile = cv2.resize(picture(index), (tile_px, tile_px), interpolation=cv2.INTER_AREA)
            cv2.putText(tile, str(index), (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _LABEL_RGB, 1, cv2.LINE_AA)
            row, column = divmod(place, columns)
            sheet[row * tile_px : (row + 1) * tile_px, column * tile_px : (column + 1) * tile_px] = tile
        paths.append(folder / f"{stem}-{start // per_sheet:02d}.png")
        cv2.imwrite(str(paths[-1]), sheet[..., ::-1])
    return paths
