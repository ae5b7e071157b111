"""Reads Labeled Faces in the Wild: `pairs.txt` and the pictures it names.

Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild (University of Massachusetts, report 07-49, 2007).
For benchmarks only: nothing of it is shipped or trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamer.errors import InputError
from streamer.frame import UInt8Array

_PAIRS_FILE = "pairs.txt"
_PICTURE_FOLDERS = ("images", "lfw-deepfunneled", "lfw_funneled", "lfw", ".")


@dataclass(frozen=True)
class Portrait:
    """One picture file and who is on it."""

    path: Path
    person: str

    def read(self) -> UInt8Array:
        """(H, W, 3) uint8 RGB. Raises InputError."""
        picture_bgr = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if picture_bgr is None:
            raise InputError(f"cannot read the picture {self.path}")
        return np.ascontiguousarray(picture_bgr[:, :, ::-1]).astype(np.uint8, copy=False)


@dataclass(frozen=True)
class ProbesAndGallery:
    """Pictures to be anonymized and attacked, and other pictures of the same people that the attacker has."""

    probes: tuple[Portrait, ...]
    gallery: tuple[Portrait, ...]


def read_matched_pairs(folder: Path, limit: int) -> ProbesAndGallery:
    """The first pictures of at most `limit` matched pairs as probes, the second ones as gallery.

    Pairs are taken evenly from the whole list. Every other combination of people is an impostor, which makes far
    more of them than the list's mismatched pairs. A pair is left out when one of its pictures already has the
    other part: a probe must not be found by the very picture it was made from.

    Raises:
        InputError: no such list, a damaged one, or pictures that are missing.
    """
    pictures = next(
        (folder / name for name in _PICTURE_FOLDERS if any((folder / name).glob("*/*_0001.*"))), None
    )
    if pictures is None:
        raise InputError(f"{folder} has no pictures NAME/NAME_0001.jpg in it or in {_PICTURE_FOLDERS[0]}/")
    probes: set[Portrait] = set()
    gallery: set[Portrait] = set()
    pairs: list[tuple[Portrait, Portrait]] = []
    for person, first, second in _matched(folder / _PAIRS_FILE):
        probe, other = _portrait(pictures, person, first), _portrait(pictures, person, second)
        if probe not in gallery and other not in probes:
            probes.add(probe)
            gallery.add(other)
            pairs.append((probe, other))
    if len(pairs) > limit:
        pairs = [pairs[round(at)] for at in np.linspace(0, len(pairs) - 1, limit)]
    # A picture may stand in two pairs; it is one probe, or one entry of the gallery, all the same.
    return ProbesAndGallery(
        tuple(dict.fromkeys(probe for probe, _ in pairs)), tuple(dict.fromkeys(other for _, other in pairs))
    )


def _matched(path: Path) -> list[tuple[str, int, int]]:
    """(person, picture, other picture) of each line that has three fields; mismatched pairs have four."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read the list of pairs {path}: {error.strerror}") from None
    fields = [line.split() for line in lines]
    try:
        pairs = [(row[0], int(row[1]), int(row[2])) for row in fields if len(row) == 3]
    except ValueError:
        raise InputError(f"{path} is not a list of LFW pairs") from None
    if len({person for person, _, _ in pairs}) < 2:
        raise InputError(f"{path} has matched pairs of fewer than two people")
    return pairs


def _portrait(pictures: Path, person: str, number: int) -> Portrait:
    path = pictures / person / f"{person}_{number:04d}.jpg"
    if not path.is_file():
        raise InputError(f"the list of pairs names {path.name}, which is not in {pictures}")
    return Portrait(path, person)
