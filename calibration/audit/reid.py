"""Re-identification attacks, on arrays of embeddings: naive, parrot, after learned reversal, linkage.

An embedding here is one recogniser's code of one picture, (d,); `people` are integer names of who is on it.
The attacks differ in what the attacker has:

* naive: a clean gallery. Score = cosine of the anonymized probe to the clean gallery picture.
* parrot (Newton, Sweeney, Malin 2005): anonymized pictures of known people, enrolled as the gallery or used to
  fine-tune a classifier head.
* reversal (Fantomas; Todt, Hanisch, Strufe 2022): pairs of original and anonymization of other people, from
  which a map back is learned.
* linkage: anonymized against anonymized, of different draws.

"As far as possible from the original" is no aim: an attacker negates it. `cosine_shift` compares with strangers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.audit.heads import Enrolment, FineTunedHead
from calibration.audit.rates import (
    Rate,
    Verification,
    area_under_curve,
    rank1,
    same_person,
    split_scores,
    tar_at_far,
    trials_needed,
)
from calibration.audit.vectors import Float64Array, FloatArray, IntArray, LinearMap, cosines, unit_rows

MAX_NAIVE_TAR = 0.005
MAX_PARROT_TAR = 0.02
MAX_COSINE_SHIFT = 0.05
NAIVE = "naive"
ENROLLED = "parrot, enrolled"
FINE_TUNED = "parrot, head"
COMPARED = "cosine"
TAR_LIMITS = {NAIVE: MAX_NAIVE_TAR, ENROLLED: MAX_PARROT_TAR, FINE_TUNED: MAX_PARROT_TAR}
"""Largest TAR at FAR 0.1 % of the attacks that are judged."""
REQUIRED_ROWS = ("original", "epsilon 0", "blur", "solid")
"""Beside the rows of ours; `report.reid_table` adds chance."""


@dataclass(frozen=True)
class CosineShift:
    """Mean cosine of an original to its own anonymization, less that to anonymizations of others.

    Attributes:
        own, strangers: the two means.
        shift: their difference; the aim is 0, from both sides.
        standard_error: of the shift, over the people.
    """

    own: float
    strangers: float
    shift: float
    standard_error: float

    @property
    def interval(self) -> float:
        """Half the width of the 95 % interval of the shift."""
        return 1.96 * self.standard_error


def cosine_shift(originals: FloatArray, anonymized: FloatArray, people: IntArray) -> CosineShift:
    """Row i of `anonymized` (n, d) is the anonymization of row i of `originals` (n, d), who is
    `people[i]`.
    """
    before, after = unit_rows(originals), unit_rows(anonymized)
    _, whose = np.unique(people, return_inverse=True)
    counts = np.bincount(whose)
    if len(counts) < 2:
        raise ValueError("a cosine shift needs at least two people")
    sums = np.zeros((len(counts), after.shape[1]))
    np.add.at(sums, whose, after)
    # The mean over all anonymizations of others, without a table of all cosines.
    others = (sums.sum(axis=0) - sums)[whose] / (len(after) - counts[whose])[:, None]
    own, strangers = np.sum(before * after, axis=1), np.sum(before * others, axis=1)
    shifts = own - strangers
    # Pictures of one person go together (and draws of one picture): the spread of the people's sums.
    beyond = np.bincount(whose, weights=shifts - shifts.mean())
    spread = float(np.sum(beyond**2)) * len(counts) / (len(counts) - 1)
    return CosineShift(
        own=float(own.mean()),
        strangers=float(strangers.mean()),
        shift=float(shifts.mean()),
        standard_error=float(np.sqrt(spread)) / len(shifts),
    )


def linkage_scores(
    anonymized: FloatArray, people: IntArray, draws: IntArray
) -> tuple[Float64Array, Float64Array, IntArray]:
    """(genuine, impostor) cosines of pairs of anonymized pictures of different draws, and whose each genuine one is.

    `draws` names the draw (the track) a picture belongs to: frames of one track wear one identity and are no
    pair.
    """
    table = cosines(anonymized, anonymized)
    above = np.triu(np.ones(table.shape, dtype=bool), k=1)
    other_draw = np.asarray(draws)[:, None] != np.asarray(draws)[None, :]
    pairs, same = above & other_draw, same_person(people, people)
    first, _ = np.nonzero(pairs & same)
    return table[pairs & same], table[pairs & ~same], np.asarray(people)[first]


@dataclass(frozen=True)
class AttackResult:
    """What one attack with one recogniser got.

    Attributes:
        row: what the pictures are (original, blur, epsilon 1, ...).
        attack: naive, `ENROLLED` or `FINE_TUNED` (the parrots), reversal, linkage, or `COMPARED`.
        people: size of the gallery or of the head; rank-1 chance is 1 / people.
        rank1: None for linkage.
        shift: for naive only.
    """

    row: str
    recogniser: str
    attack: str
    people: int
    tar_far_1e3: Verification
    tar_far_1e2: Verification
    area: float
    rank1: Rate | None = None
    shift: CosineShift | None = None


def naive_attack(
    row: str,
    recogniser: str,
    anonymized: FloatArray,
    people: IntArray,
    gallery: FloatArray,
    gallery_people: IntArray,
    originals: FloatArray | None = None,
) -> AttackResult:
    """Anonymized probes against a clean gallery of other pictures. `originals`: the probes before, for the
    shift.
    """
    table = cosines(anonymized, gallery)
    shift = None if originals is None else cosine_shift(originals, anonymized, people)
    return _result(row, recogniser, NAIVE, table, people, gallery_people, shift)


def compared(
    row: str,
    recogniser: str,
    codes: FloatArray,
    people: IntArray,
    others: FloatArray,
    other_people: IntArray,
) -> AttackResult:
    """Codes of one kind against codes of another, by cosine, each code once."""
    return _result(row, recogniser, COMPARED, cosines(codes, others), people, other_people, None)


def parrot_attacks(
    row: str,
    recogniser: str,
    training: FloatArray,
    training_people: IntArray,
    probes: FloatArray,
    probe_people: IntArray,
) -> list[AttackResult]:
    """Anonymized pictures of known people, enrolled and learned from, against other anonymized pictures of them."""
    attackers: dict[str, Enrolment | FineTunedHead] = {
        ENROLLED: Enrolment(training, training_people),
        FINE_TUNED: FineTunedHead(training, training_people),
    }
    return [
        _result(row, recogniser, name, known.scores(probes), probe_people, known.people, None)
        for name, known in attackers.items()
    ]


def reversal_attack(
    row: str,
    recogniser: str,
    training: tuple[FloatArray, FloatArray, IntArray],
    probes: FloatArray,
    probe_people: IntArray,
    gallery: FloatArray,
    gallery_people: IntArray,
) -> AttackResult:
    """A map from anonymized to original embeddings, then the naive attack.

    `training` holds pairs: anonymized (n, d), original (n, d), and who it is (n,). People are split in two halves;
    the map that a probe goes through was learned on the half its person is not in.
    """
    anonymized, originals, trained_people = training
    names = np.unique(np.concatenate([probe_people, trained_people]))
    half = np.arange(len(names)) % 2
    half_of_probe = half[np.searchsorted(names, probe_people)]
    half_of_pair = half[np.searchsorted(names, trained_people)]
    sources, targets, tried = unit_rows(anonymized), unit_rows(originals), unit_rows(probes)
    reversed_probes = np.zeros_like(tried)
    for number in (0, 1):
        known, asked = half_of_pair != number, half_of_probe == number
        if not known.any():
            raise ValueError("a reversal needs at least two people to learn from")
        reversed_probes[asked] = LinearMap(sources[known], targets[known])(tried[asked])
    table = cosines(reversed_probes, gallery)
    return _result(row, recogniser, "reversal", table, probe_people, gallery_people, None)


def linkage_attack(
    row: str, recogniser: str, anonymized: FloatArray, people: IntArray, draws: IntArray
) -> AttackResult:
    """Do two anonymizations of one person look more alike than those of two people?"""
    genuine, impostor, whose = linkage_scores(anonymized, people, draws)
    return AttackResult(
        row=row,
        recogniser=recogniser,
        attack="linkage",
        people=len(np.unique(people)),
        tar_far_1e3=tar_at_far(genuine, impostor, 1e-3, whose),
        tar_far_1e2=tar_at_far(genuine, impostor, 1e-2, whose),
        area=area_under_curve(genuine, impostor),
    )


def _result(
    row: str,
    recogniser: str,
    attack: str,
    table: Float64Array,
    probe_people: IntArray,
    gallery_people: IntArray,
    shift: CosineShift | None,
) -> AttackResult:
    genuine, impostor = split_scores(table, probe_people, gallery_people)
    whose = np.asarray(probe_people)[np.nonzero(same_person(probe_people, gallery_people))[0]]
    return AttackResult(
        row=row,
        recogniser=recogniser,
        attack=attack,
        people=len(np.unique(gallery_people)),
        tar_far_1e3=tar_at_far(genuine, impostor, 1e-3, whose),
        tar_far_1e2=tar_at_far(genuine, impostor, 1e-2, whose),
        area=area_under_curve(genuine, impostor),
        rank1=rank1(table, probe_people, gallery_people),
        shift=shift,
    )


def missing_rows(results: Sequence[AttackResult]) -> list[str]:
    """Rows that a table of re-identification must show and `results` lack."""
    shown = {result.row for result in results}
    return [row for row in REQUIRED_ROWS if row not in shown]


def broken_bars(results: Sequence[AttackResult], judged_rows: Sequence[str]) -> list[str]:
    """One line for each bar that a result of the judged rows misses.

    Judged are the rows of ours at epsilon <= 1 with recognisers held out of training: naive TAR at FAR 1e-3
    at most 0.5 %, both parrots at most 2 %, cosine shift within .05 of strangers. Linkage and reversal are
    reported, not judged. Where a run is too small (`unresolved_bars`), only what its interval leaves no doubt of is
    missed; so no line is no proof that the bars hold.
    """
    missed = []
    for result in results:
        if result.row not in judged_rows:
            continue
        where = f"{result.row}, {result.recogniser}, {result.attack}"
        limit = TAR_LIMITS.get(result.attack)
        if limit is not None:
            found, tar = result.tar_far_1e3, result.tar_far_1e3.tar
            resolved = found.resolved and tar.worth >= trials_needed(limit)
            if (tar.value if resolved else tar.low) > limit:
                missed.append(
                    f"{where}: TAR at FAR 0.1 % is {100 * tar.value:.2f} %, more than {100 * limit:g} %"
                )
        if result.shift is not None:
            interval = result.shift.interval
            doubt = 0.0 if interval <= MAX_COSINE_SHIFT else interval
            if abs(result.shift.shift) - doubt > MAX_COSINE_SHIFT:
                missed.append(f"{where}: cosine shift {result.shift.shift:+.3f}, beyond {MAX_COSINE_SHIFT}")
    return missed


def unresolved_bars(results: Sequence[AttackResult], judged_rows: Sequence[str]) -> list[str]:
    """One line for each bar that these results cannot tell to hold, with what it takes; empty when they can.

    A rate needs as many independent pairs of one person as rule the limit out when none is accepted, and a threshold
    that is resolved; a shift, a 95 % interval no wider than its bar.
    """
    judged = [result for result in results if result.row in judged_rows]
    lines = []
    for attack, limit in TAR_LIMITS.items():
        found = [result.tar_far_1e3 for result in judged if result.attack == attack]
        if not found:
            lines.append(f"{attack}: was not tried on any picture that is judged")
            continue
        fewest, needed = min(int(one.tar.worth) for one in found), trials_needed(limit)
        if fewest < needed:
            lines.append(
                f"{attack}: TAR <= {100 * limit:g} % takes {needed} independent pairs of one person, those here are"
                f" worth {fewest}"
            )
        if not all(one.resolved for one in found):
            lines.append(f"{attack}: FAR 0.1 % takes 1,000 pairs of strangers, fewer are here")
    shifts = [result.shift for result in judged if result.attack == NAIVE]
    # Written so that an interval that is no number counts as too wide.
    if not all(shift is not None and shift.interval <= MAX_COSINE_SHIFT for shift in shifts):
        lines.append(f"cosine shift: known less well than to {MAX_COSINE_SHIFT}; it takes more probes")
    return lines
