"""Gallery of real people that nobody of the codebook may resemble: codes only, never pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training.codebook_faces import FaceExaminer
from engines.training.codebook_screens import gallery_limit
from engines.training.edits import FaceReading, read_face

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """Codes of a gallery by recogniser, rows in the order of ``people``.

    Attributes:
        codes: unit codes by recogniser: ``first`` (the shipped one) and, where there is one, ``second``.
        people: whose picture it is; two rows of one name are the same person.
    """

    codes: dict[str, Float]
    people: tuple[str, ...]

    def limits(self, far: float) -> dict[str, float]:
        """Cosine at a false accept rate, by recogniser, over the pairs of different people in the gallery."""
        return {name: gallery_limit(codes, self.people, far) for name, codes in self.codes.items()}

    def nearest(self, codes: dict[str, Float]) -> dict[str, Float]:
        """Largest cosine of each row to anybody in the gallery, by recogniser."""
        return {
            name: (codes[name] @ self.codes[name].T).max(1) for name in self.codes if codes[name].shape[1]
        }

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {f"codes_{name}": rows for name, rows in self.codes.items()}
        np.savez(path, people=np.array(self.people), **arrays)

    @classmethod
    def load(cls, path: Path) -> Gallery:
        with np.load(path, allow_pickle=False) as archive:
            codes = {
                key.removeprefix("codes_"): archive[key] for key in archive.files if key.startswith("codes_")
            }
            return cls(codes, tuple(str(name) for name in archive["people"]))


def readings_of(
    paths: Iterable[Path], examiner: FaceExaminer
) -> Iterator[tuple[Path, NDArray[np.uint8], FaceReading]]:
    """Pictures (H, W, 3) RGB, each with its largest face; files that cannot be read or show no face are passed over."""
    for path in paths:
        stored = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if stored is None:
            continue
        picture = np.ascontiguousarray(stored[..., ::-1], np.uint8)
        face = examiner.find(picture)
        if face is not None:
            yield path, picture, read_face(picture, examiner.mesh_model, box_xyxy_px=face.box_xyxy_px)


def encode_gallery(folder: Path, examiner: FaceExaminer) -> Gallery:
    """Codes of the largest face of every picture below a folder; ``Name_0001.jpg`` belongs to ``Name``."""
    first: list[Float] = []
    second: list[Float] = []
    people: list[str] = []
    for path, picture, reading in readings_of(sorted(folder.rglob("*.jpg")), examiner):
        code, other = examiner.encode(picture, reading.mesh_xyz_px)
        first.append(code)
        second.append(other)
        people.append(path.stem.rsplit("_", 1)[0])
    if not people:
        raise EngineError(f"no faces in the pictures (.jpg) below {folder}")
    codes = {"first": np.array(first, np.float32)}
    if second[0].size:
        codes["second"] = np.array(second, np.float32)
    return Gallery(codes, tuple(people))
