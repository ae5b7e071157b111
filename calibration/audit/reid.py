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

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.audit.heads import Enrolment, FineTunedHead
from calibration.audit.vectors import Float64Array, FloatArray, IntArray, LinearMap, cosines, unit_rows
from calibration.special import clopper_pearson_low, clopper_pearson_up

CONFIDENCE_ERROR = 0.05
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
class Rate:
    """A proportion with its exact 95 % interval."""

    successes: int
    trials: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.trials or self.trials == 0:
            raise ValueError(f"a rate needs trials: {self.successes} of {self.trials}")

    @property
    def value(self) -> float:
        return self.successes / self.trials

    @property
    def low(self) -> float:
        return clopper_pearson_low(self.successes, self.trials, CONFIDENCE_ERROR / 2)

    @property
    def high(self) -> float:
        return clopper_pearson_up(self.successes, self.trials, CONFIDENCE_ERROR / 2)


@dataclass(frozen=True)
class Verification:
    """True acceptances at a threshold that accepts at most `far` of the impostors.

    Attributes:
        far: what was asked.
        resolved: False when there are fewer than 1/far impostors, so that the threshold is above them all and
        the rate
            is a lower one than asked for.
    """

    far: float
    threshold: float
    tar: Rate
    resolved: bool


@dataclass(frozen=True)
class CosineShift:
    """Mean cosine of an original to its own anonymization, less that to anonymizations of others.

    Attributes:
        own, strangers: the two means.
        shift: their difference; the aim is 0, from both sides.
        standard_error: of the shift, over the probes.
    """

    own: float
    strangers: float
    shift: float
    standard_error: float

    @property
    def interval(self) -> float:
        """Half the width of the 95 % interval of the shift."""
        return 1.96 * self.standard_error


def split_scores(
    scores: Float64Array, probe_people: IntArray, gallery_people: IntArray
) -> tuple[Float64Array, Float64Array]:
    """(genuine, impostor) scores of a (p, g) table, by whether both pictures show the same person."""
    same = np.asarray(probe_people)[:, None] == np.asarray(gallery_people)[None, :]
    return scores[same], scores[~same]


def tar_at_far(genuine: Float64Array, impostor: Float64Array, far: float) -> Verification:
    """Share of genuine scores above the threshold that at most `far` of the impostor scores exceed."""
    if genuine.size == 0 or impostor.size == 0:
        raise ValueError(f"verification needs scores of both kinds, got {genuine.size} and {impostor.size}")
    allowed = int(far * impostor.size)
    threshold = float(np.sort(impostor)[::-1][min(allowed, impostor.size - 1)])
    tar = Rate(int(np.count_nonzero(genuine > threshold)), int(genuine.size))
    return Verification(far=far, threshold=threshold, tar=tar, resolved=allowed >= 1)


def area_under_curve(genuine: Float64Array, impostor: Float64Array) -> float:
    """Probability that a genuine score is above an impostor's, ties by half; 0.5 is chance."""
    ordered = np.sort(impostor)
    below, not_above = np.searchsorted(ordered, genuine, "left"), np.searchsorted(ordered, genuine, "right")
    return float((below + not_above).mean() / (2.0 * impostor.size))


def rank1(scores: Float64Array, probe_people: IntArray, gallery_people: IntArray) -> Rate:
    """How often the best of the gallery is the probe's person. Probes whose person is not in it are left
    out.
    """
    gallery = np.asarray(gallery_people)
    known = np.isin(probe_people, gallery)
    best = gallery[np.argmax(scores[known], axis=1)]
    return Rate(int(np.count_nonzero(best == np.asarray(probe_people)[known])), int(known.sum()))


def cosine_shift(originals: FloatArray, anonymized: FloatArray, people: IntArray) -> CosineShift:
    """Row i of `anonymized` (n, d) is the anonymization of row i of `originals` (n, d), who is
    `people[i]`.
    """
    table = cosines(originals, anonymized)
    others = np.asarray(people)[:, None] != np.asarray(people)[None, :]
    if np.any(others.sum(axis=1) == 0):
        raise ValueError("a cosine shift needs at least two people")
    own = np.diag(table)
    strangers = (table * others).sum(axis=1) / others.sum(axis=1)
    shifts = own - strangers
    return CosineShift(
        own=float(own.mean()),
        strangers=float(strangers.mean()),
        shift=float(shifts.mean()),
        standard_error=float(shifts.std(ddof=1) / np.sqrt(len(shifts))),
    )


def linkage_scores(
    anonymized: FloatArray, people: IntArray, draws: IntArray
) -> tuple[Float64Array, Float64Array]:
    """(genuine, impostor) cosines of pairs of anonymized pictures of different draws.

    `draws` names the draw (the track) a picture belongs to: frames of one track wear one identity and are no
    pair.
    """
    table = cosines(anonymized, anonymized)
    above = np.triu(np.ones(table.shape, dtype=bool), k=1)
    other_draw = np.asarray(draws)[:, None] != np.asarray(draws)[None, :]
    same = np.asarray(people)[:, None] == np.asarray(people)[None, :]
    return table[above & other_draw & same], table[above & other_draw & ~same]


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
    genuine, impostor = linkage_scores(anonymized, people, draws)
    return AttackResult(
        row=row,
        recogniser=recogniser,
        attack="linkage",
        people=len(np.unique(people)),
        tar_far_1e3=tar_at_far(genuine, impostor, 1e-3),
        tar_far_1e2=tar_at_far(genuine, impostor, 1e-2),
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
    return AttackResult(
        row=row,
        recogniser=recogniser,
        attack=attack,
        people=len(np.unique(gallery_people)),
        tar_far_1e3=tar_at_far(genuine, impostor, 1e-3),
        tar_far_1e2=tar_at_far(genuine, impostor, 1e-2),
        area=area_under_curve(genuine, impostor),
        rank1=rank1(table, probe_people, gallery_people),
        shift=shift,
    )


def missing_rows(results: Sequence[AttackResult]) -> list[str]:
    """Rows that a table of re-identification must show and `results` lack."""
    shown = {result.row for result in results}
    return [row for row in REQUIRED_ROWS if row not in shown]


def trials_needed(limit: float) -> int:
    """Trials of which none may succeed for a rate above `limit` to be ruled out at 95 %, one-sided.

    598 at 0.5 % and 149 at 2 %: (1 - limit)^n <= 0.05.
    """
    return math.ceil(math.log(CONFIDENCE_ERROR) / math.log1p(-limit))


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
            resolved = found.resolved and tar.trials >= trials_needed(limit)
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

    A rate needs as many pairs of one person as rule the limit out when none is accepted, and a threshold that is
    resolved; a shift, a 95 % interval no wider than its bar.
    """
    judged = [result for result in results if result.row in judged_rows]
    lines = []
    for attack, limit in TAR_LIMITS.items():
        found = [result.tar_far_1e3 for result in judged if result.attack == attack]
        if not found:
            lines.append(f"{attack}: was not tried on any picture that is judged")
            continue
        fewest, needed = min(one.tar.trials for one in found), trials_needed(limit)
        if fewest < needed:
            lines.append(
                f"{attack}: TAR <= {100 * limit:g} % takes {needed} pairs of one person, {fewest} are here"
            )
        if not all(one.resolved for one in found):
            lines.append(f"{attack}: FAR 0.1 % takes 1,000 pairs of strangers, fewer are here")
    shifts = [result.shift for result in judged if result.attack == NAIVE]
    # Written so that an interval that is no number counts as too wide.
    if not all(shift is not None and shift.interval <= MAX_COSINE_SHIFT for shift in shifts):
        lines.append(f"cosine shift: known less well than to {MAX_COSINE_SHIFT}; it takes more probes")
    return lines
