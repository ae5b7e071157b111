"""Re-identification attacks on pictures that went through the product as tracks of one frame.

Every picture is read and its face found once; then each row covers it, each recogniser looks, and only codes are kept,
in memory. The attacks of `calibration.audit.reid` follow: naive, the parrots, after learned reversal, and linkage. The
parrots have several coverings of each gallery picture, as whoever has the product can make as many as he likes; and
each probe may be covered several times, since rates as small as these differ much from draw to draw.

Pictures come in the order of the pairs, so that a run that is stopped still has a table of what it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from calibration.audit.reid import (
    FINE_TUNED,
    MAX_COSINE_SHIFT,
    MAX_NAIVE_TAR,
    MAX_PARROT_TAR,
    NAIVE,
    AttackResult,
    broken_bars,
    linkage_attack,
    missing_rows,
    naive_attack,
    parrot_attacks,
    reversal_attack,
    unresolved_bars,
)
from calibration.audit.svg import Series, line_chart
from calibration.audit.vectors import FloatArray, IntArray
from calibration.bounds import verification_bound
from streamer.audit.lfw import Portrait, ProbesAndGallery
from streamer.audit.pictures import CentralFace
from streamer.audit.recognisers import Recogniser
from streamer.audit.rows import ORIGINAL, Row
from streamer.errors import InputError

JUDGED_UP_TO_EPSILON = 1.0
LEAST_TAR_ON_ORIGINALS = 0.5
LEAST_HELD_OUT = 2
LEAST_SYNTHETIC = 0.95
"""Share of the judged pictures that a synthetic person must stand in: 99.8 % on LFW."""
PORTRAITS_PER_PART = 500


@dataclass
class RowCount:
    """How many pictures a row has, in how many stands a synthetic person, and where a face is found again."""

    row: str
    pictures: int = 0
    synthetic: int = 0
    found_again: int = 0


@dataclass(frozen=True)
class ReidOutcome:
    """Everything one run found.

    Attributes:
        held_out: recognisers that took no part in training.
        portraits: pictures looked at; `portraits_asked`, those that were to be.
        faceless: pictures left out because the detector finds no face in them.
        judged: which bars, of which pictures, by which recognisers.
        broken: one line per bar that was missed.
        unresolved: one line for whatever keeps this run from being evidence. The claim holds when both are empty.
    """

    results: list[AttackResult]
    counts: list[RowCount]
    held_out: list[str]
    portraits: int
    portraits_asked: int
    probes: int
    gallery: int
    faceless: int
    judged: str
    broken: list[str]
    unresolved: list[str]

    @property
    def holds(self) -> bool:
        return not self.broken and not self.unresolved


def run_reid(
    pictures: ProbesAndGallery,
    central: CentralFace,
    rows: Sequence[Row],
    recognisers: Sequence[Recogniser],
    on_picture: Callable[[str], None] = lambda _row: None,
    on_part: Callable[[ReidOutcome], None] = lambda _outcome: None,
) -> ReidOutcome:
    """All attacks on all rows.

    Args:
        rows: the first must be the originals.
        on_picture: hears the row of each picture made.
        on_part: hears from time to time what has been found so far.

    Raises:
        InputError: faces are found in both pictures of fewer than two people.
    """
    asked = len(pictures.probes) + len(pictures.gallery)
    seen = _Seen(central, rows, recognisers, on_picture)
    for number, (portrait, is_probe) in enumerate(_in_order_of_pairs(pictures), start=1):
        seen.look_at(portrait, is_probe)
        if number % PORTRAITS_PER_PART == 0 and number < asked and seen.people_in_both() >= 2:
            on_part(_attacked(seen, rows, recognisers, number, asked))
    if seen.people_in_both() < 2:
        raise InputError("faces are found in both pictures of fewer than two people")
    return _attacked(seen, rows, recognisers, asked, asked)


def judged_rows(rows: Sequence[Row]) -> list[str]:
    """Names of the rows that the claim is about: ours, with an epsilon up to 1."""
    return [row.name for row in rows if row.epsilon is not None and row.epsilon <= JUDGED_UP_TO_EPSILON]


def no_evidence(
    results: Sequence[AttackResult],
    counts: Sequence[RowCount],
    judged: Sequence[str],
    held_out: Collection[str],
) -> list[str]:
    """Whatever keeps a run from being evidence, one line each with what is needed.

    Args:
        counts: pictures of each row.
        judged: rows that are judged.
        held_out: recognisers that took no part in training.
    """
    lines = [f"the row {name!r} is missing" for name in missing_rows(results)]
    if len(held_out) < LEAST_HELD_OUT:
        lines.append(
            f"{len(held_out)} recognisers that took no part in training, {LEAST_HELD_OUT} are needed: veilstream models"
            " fetch attacker-fr-feature attacker-dlib attacker-dlib-points; pip install 'veilstream[audit]'"
        )
    for count in counts:
        if count.row in judged and count.synthetic < LEAST_SYNTHETIC * count.pictures:
            lines.append(
                f"{count.row}: a synthetic person stands in {count.synthetic} of {count.pictures} pictures, the others"
                f" are plainly covered; it takes {100 * LEAST_SYNTHETIC:g} %"
            )
    for result in results:
        if (result.row, result.attack) == (ORIGINAL, NAIVE):
            tar = result.tar_far_1e3.tar.value
            if tar < LEAST_TAR_ON_ORIGINALS:
                lines.append(f"{result.recogniser} knows only {100 * tar:.1f} % of the originals")
    return lines + unresolved_bars([one for one in results if one.recogniser in held_out], judged)


def reid_chart(outcome: ReidOutcome) -> str:
    """SVG: TAR at FAR 0.1 % of the naive attack and of the parrot's head against epsilon, under the bound."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in outcome.results:
        kind, _, value = result.row.partition(" ")
        if kind == "epsilon" and result.attack in (NAIVE, FINE_TUNED) and math.isfinite(float(value)):
            rate = result.tar_far_1e3.tar.value
            lines.setdefault(f"{result.recogniser}, {result.attack}", []).append((float(value), rate))
    top = max((x for points in lines.values() for x, _ in points), default=1.0)
    grid = np.linspace(0.0, max(top, 1.0), 41).tolist()
    bound = Series("bound", tuple((x, verification_bound(x, 1e-3)) for x in grid), dashed=True)
    series = [bound, *(Series(name, tuple(points)) for name, points in lines.items())]
    return line_chart("Re-identification", "epsilon", "TAR at FAR 0.1 %", series)


def _in_order_of_pairs(pictures: ProbesAndGallery) -> Iterator[tuple[Portrait, bool]]:
    """Each portrait once, with whether it is a probe."""
    for probe, other in zip_longest(pictures.probes, pictures.gallery):
        if probe is not None:
            yield probe, True
        if other is not None:
            yield other, False


@dataclass
class _Side:
    """Codes of the probes, or of the gallery, as they come in.

    Attributes:
        people: who is on each portrait.
        codes: by row and recogniser, for each portrait its copies.
    """

    people: list[str] = field(default_factory=list)
    codes: dict[tuple[str, str], list[list[npt.NDArray[np.float32]]]] = field(default_factory=dict)

    def stacked(self, row: str, recogniser: str) -> FloatArray:
        """(copies * n, d): a round of all portraits for each copy."""
        portraits = self.codes[row, recogniser]
        return np.stack([copies[at] for at in range(len(portraits[0])) for copies in portraits])


class _Seen:
    """Makes the pictures of every row, looks at them with every recogniser, and keeps nothing but codes and counts."""

    def __init__(
        self,
        central: CentralFace,
        rows: Sequence[Row],
        recognisers: Sequence[Recogniser],
        on_picture: Callable[[str], None],
    ) -> None:
        self._central, self._rows, self._recognisers, self._on_picture = (
            central,
            rows,
            recognisers,
            on_picture,
        )
        self.probes, self.gallery = _Side(), _Side()
        self.counts = {row.name: RowCount(row.name) for row in rows}
        self.faceless = 0

    def people_in_both(self) -> int:
        return len(set(self.probes.people) & set(self.gallery.people))

    def look_at(self, portrait: Portrait, is_probe: bool) -> None:
        picture = portrait.read()
        face = self._central.find(picture)
        if face is None:
            self.faceless += 1
            return
        side = self.probes if is_probe else self.gallery
        side.people.append(portrait.person)
        for row in self._rows:
            count = self.counts[row.name]
            copies: dict[str, list[npt.NDArray[np.float32]]] = {item.name: [] for item in self._recognisers}
            for _ in range(row.draws if is_probe else row.copies):
                covered = row.make(picture, face)
                # Where the attacker's detector sees no face he still knows the place: it is the one that was covered.
                again = self._central.find_again(covered.picture_rgb_u8, face)
                count.pictures += 1
                count.synthetic += covered.synthetic
                count.found_again += again is not None
                for recogniser in self._recognisers:
                    copies[recogniser.name].append(recogniser.encode(covered.picture_rgb_u8, again or face))
                self._on_picture(row.name)
            for name, codes in copies.items():
                side.codes.setdefault((row.name, name), []).append(codes)


def _attacked(
    seen: _Seen, rows: Sequence[Row], recognisers: Sequence[Recogniser], portraits: int, asked: int
) -> ReidOutcome:
    names = {
        person: number for number, person in enumerate(sorted({*seen.probes.people, *seen.gallery.people}))
    }
    results: list[AttackResult] = []
    for row in rows:
        for recogniser in recognisers:
            results += _attacks(row, recogniser, seen, names)
    counts, judged = list(seen.counts.values()), judged_rows(rows)
    held_out = [recogniser.name for recogniser in recognisers if recogniser.held_out]
    unresolved = no_evidence(results, counts, judged, held_out)
    if portraits < asked:
        unresolved.insert(0, f"{portraits} of {asked} portraits were looked at so far")
    return ReidOutcome(
        results=results,
        counts=counts,
        held_out=held_out,
        portraits=portraits,
        portraits_asked=asked,
        probes=len(seen.probes.people),
        gallery=len(seen.gallery.people),
        faceless=seen.faceless,
        judged=_judged_line(judged, held_out),
        broken=broken_bars([result for result in results if result.recogniser in held_out], judged),
        unresolved=unresolved,
    )


def _judged_line(judged: Sequence[str], held_out: Sequence[str]) -> str:
    bars = (
        f"naive TAR <= {100 * MAX_NAIVE_TAR:g} % and the parrots' <= {100 * MAX_PARROT_TAR:g} % at FAR 0.1 %, cosine"
        f" shift within {MAX_COSINE_SHIFT}"
    )
    return f"{', '.join(judged) or 'no row'}, by {', '.join(held_out) or 'no recogniser'}: {bars}"


def _attacks(row: Row, recogniser: Recogniser, seen: _Seen, names: dict[str, int]) -> list[AttackResult]:
    """All attacks on one row with one recogniser."""
    name = recogniser.name
    people: IntArray = np.array([names[person] for person in seen.probes.people])
    gallery_people: IntArray = np.array([names[person] for person in seen.gallery.people])
    clean_gallery = seen.gallery.stacked(ORIGINAL, name)
    # The mean code of the attacker's clean gallery, for recognisers that need it taken away.
    common = clean_gallery.mean(axis=0) * float(recogniser.has_common_part)
    clean_gallery = clean_gallery - common
    clean_probes = seen.probes.stacked(ORIGINAL, name) - common
    probes, gallery = (
        seen.probes.stacked(row.name, name) - common,
        seen.gallery.stacked(row.name, name) - common,
    )
    draws, copies = len(probes) // len(people), len(gallery) // len(gallery_people)
    originals = None if row.name == ORIGINAL else np.tile(clean_probes, (draws, 1))
    known, asked = np.tile(gallery_people, copies), np.tile(people, draws)
    # One covering of each picture: two of the same picture would be linked by all that is not covered.
    pool = np.concatenate([probes[: len(people)], gallery[: len(gallery_people)]])
    pool_people = np.concatenate([people, gallery_people])
    results = [
        naive_attack(row.name, name, probes, asked, clean_gallery, gallery_people, originals),
        *parrot_attacks(row.name, name, gallery, known, probes, asked),
    ]
    if row.name != ORIGINAL:
        pairs = (gallery, np.tile(clean_gallery, (copies, 1)), known)
        results.append(reversal_attack(row.name, name, pairs, probes, asked, clean_gallery, gallery_people))
    return [*results, linkage_attack(row.name, name, pool, pool_people, np.arange(len(pool)))]
