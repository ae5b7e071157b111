"""Mode `hide` from outside: who can match what, with the key, with another key, and without one.

Both pictures of each pair are hidden under one key and under another. The attacker reads each output with the
recogniser the codebook was made with, takes the nearest of its people, and turns that person's direction back with the
key he has. He compares it with the real faces, or with other outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.audit.rates import trials_needed
from calibration.audit.reid import MAX_NAIVE_TAR, AttackResult, compared
from calibration.audit.vectors import Float64Array, IntArray
from calibration.hide import KeyedRotation
from calibration.identity_space import IdentitySpace
from streamer.audit.lfw import Portrait, ProbesAndGallery
from streamer.audit.pictures import CentralFace, FoundFace
from streamer.audit.recognisers import Recogniser
from streamer.audit.rows import Row, mechanism_row
from streamer.errors import InputError
from streamer.frame import UInt8Array
from streamer.toolkit import SyntheticTools

WITH_KEY, WRONG_KEY, NO_KEY = "real faces, key", "real faces, wrong key", "real faces, no key"
ONE_KEY, TWO_KEYS, BOTH_KEYS = "outputs of one key", "outputs of two keys", "outputs of two keys, both held"
ORIGINALS = "real faces to real faces"
NOTHING_WITHOUT = (WRONG_KEY, NO_KEY, TWO_KEYS)
"""What must be chance. `ONE_KEY` is not among them: pseudonyms of one key can be linked by everybody."""

LEAST_AREA_WITH_KEY = 0.6
LEAST_TAR_ON_ORIGINALS = 0.5
LEAST_SYNTHETIC = 0.95
"""Share of the outputs that a synthetic person must stand in."""
JUDGED = (
    f"TAR at FAR 0.1 % with a wrong key, without a key and between two keys not surely above {100 * MAX_NAIVE_TAR:g} %,"
    f" area with the key at least {LEAST_AREA_WITH_KEY:g}"
)


@dataclass(frozen=True)
class HiddenOutcome:
    """What one run found.

    Attributes:
        results: one per thing that is compared, `row` saying which.
        pictures: pairs of pictures hidden; `synthetic`, outputs in which a synthetic person stands.
        broken: one line per claim that does not hold.
        unresolved: one line for whatever keeps this run from being evidence. The claim holds when both are empty.
    """

    results: list[AttackResult]
    pictures: int
    synthetic: int
    broken: list[str]
    unresolved: list[str]


def audit_hidden(
    pictures: ProbesAndGallery,
    central: CentralFace,
    tools: SyntheticTools,
    recogniser: Recogniser,
    keys: tuple[KeyedRotation, KeyedRotation],
    on_picture: Callable[[], None] = lambda: None,
) -> HiddenOutcome:
    """Hide every picture under both keys and compare. `recogniser` is the one the codebook was made with.

    Raises:
        InputError: too few people with a face in both pictures.
    """
    space = tools.codebook.space
    one, two = keys
    rows = (mechanism_row("one key", tools, one), mechanism_row("another key", tools, two))
    seen = _Seen(central, rows, recogniser, space, on_picture)
    probes, gallery = seen.all_of(pictures.probes), seen.all_of(pictures.gallery)
    names = {name: number for number, name in enumerate(sorted({*probes.people, *gallery.people}))}
    who: IntArray = np.array([names[name] for name in probes.people])
    gallery_who: IntArray = np.array([names[name] for name in gallery.people])
    if len(set(who.tolist()) & set(gallery_who.tolist())) < 2:
        raise InputError("faces are found in both pictures of fewer than two people")
    first, second = probes.hidden[0], gallery.hidden[1]
    sides: dict[str, tuple[Float64Array, Float64Array]] = {
        ORIGINALS: (probes.real, gallery.real),
        WITH_KEY: (_revealed(one, first), gallery.real),
        WRONG_KEY: (_revealed(two, first), gallery.real),
        NO_KEY: (first, gallery.real),
        ONE_KEY: (first, gallery.hidden[0]),
        TWO_KEYS: (first, second),
        BOTH_KEYS: (_revealed(one, first), _revealed(two, second)),
    }
    results = [
        compared(name, recogniser.name, left, who, right, gallery_who)
        for name, (left, right) in sides.items()
    ]
    count = len(who) + len(gallery_who)
    unresolved = no_evidence(results, 2 * count, seen.synthetic)
    return HiddenOutcome(results, count, seen.synthetic, claims_broken(results), unresolved)


def claims_broken(results: Sequence[AttackResult]) -> list[str]:
    """One line for each claim that does not hold: matching with the key, nothing without."""
    broken = []
    for result in results:
        tar = result.tar_far_1e3.tar
        if result.row in NOTHING_WITHOUT and tar.low > MAX_NAIVE_TAR:
            broken.append(
                f"{result.row}: TAR at FAR 0.1 % is at least {100 * tar.low:.2f} %, more than {100 * MAX_NAIVE_TAR:g} %"
            )
        if result.row == WITH_KEY and result.area < LEAST_AREA_WITH_KEY:
            broken.append(f"{result.row}: area {result.area:.3f} is next to chance: the key matches nothing")
    return broken


def no_evidence(results: Sequence[AttackResult], outputs: int, synthetic: int) -> list[str]:
    """Whatever keeps a run from being evidence, one line each with what is needed.

    Args:
        outputs: pictures made; `synthetic`, those in which a synthetic person stands.
    """
    lines = []
    if synthetic < LEAST_SYNTHETIC * outputs:
        lines.append(
            f"a synthetic person stands in {synthetic} of {outputs} outputs, the others are plainly covered; it takes"
            f" {100 * LEAST_SYNTHETIC:g} %"
        )
    originals = [result.tar_far_1e3.tar for result in results if result.row == ORIGINALS]
    if not any(tar.value >= LEAST_TAR_ON_ORIGINALS for tar in originals):
        lines.append("the recogniser does not know the originals")
    found = [result.tar_far_1e3 for result in results if result.row in NOTHING_WITHOUT]
    fewest, needed = min(int(one.tar.worth) for one in found), trials_needed(MAX_NAIVE_TAR)
    if fewest < needed:
        lines.append(
            f"TAR <= {100 * MAX_NAIVE_TAR:g} % takes {needed} independent pairs of one person, those here are worth"
            f" {fewest}: more --pairs"
        )
    if not all(one.resolved for one in found):
        lines.append("FAR 0.1 % takes 1,000 pairs of strangers, fewer are here: more --pairs")
    return lines


@dataclass(frozen=True)
class _Side:
    """Directions (n, r) of the real faces, and of the people read from the outputs of each key."""

    people: list[str]
    real: Float64Array
    hidden: tuple[Float64Array, Float64Array]


class _Seen:
    """Hides pictures under both keys and reads what comes out; keeps directions only."""

    def __init__(
        self,
        central: CentralFace,
        rows: tuple[Row, Row],
        recogniser: Recogniser,
        space: IdentitySpace,
        on_picture: Callable[[], None],
    ) -> None:
        self._central, self._rows, self._recogniser = central, rows, recogniser
        self._space, self._on_picture = space, on_picture
        self.synthetic = 0

    def all_of(self, portraits: Sequence[Portrait]) -> _Side:
        people: list[str] = []
        real: list[Float64Array] = []
        hidden: tuple[list[Float64Array], list[Float64Array]] = ([], [])
        for portrait in portraits:
            picture = portrait.read()
            face = self._central.find(picture)
            self._on_picture()
            if face is None:
                continue
            people.append(portrait.person)
            real.append(self._space.direction(self._recogniser.encode(picture, face)))
            for row, directions in zip(self._rows, hidden, strict=True):
                directions.append(self._shown(row, picture, face))
        if not people:
            raise InputError("no face is found in the pictures")
        return _Side(people, np.stack(real), (np.stack(hidden[0]), np.stack(hidden[1])))

    def _shown(self, row: Row, picture_rgb_u8: UInt8Array, face: FoundFace) -> Float64Array:
        """Direction of the codebook's person nearest to what is seen in the output."""
        covered = row.make(picture_rgb_u8, face)
        self.synthetic += covered.synthetic
        again = self._central.find_again(covered.picture_rgb_u8, face) or face
        seen = self._space.direction(self._recogniser.encode(covered.picture_rgb_u8, again))
        nearest = self._space.rank(seen, np.arange(len(self._space.directions)))[0]
        return np.asarray(self._space.directions[nearest])


def _revealed(key: KeyedRotation, directions: Float64Array) -> Float64Array:
    return np.stack([key.reveal(direction) for direction in directions])
