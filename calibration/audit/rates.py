"""Rates with their intervals, and what is read from a table of scores: verification, area, rank-1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.audit.vectors import Float64Array, IntArray
from calibration.special import clopper_pearson_low, clopper_pearson_up

CONFIDENCE_ERROR = 0.05


@dataclass(frozen=True)
class Rate:
    """A proportion with its 95 % interval: that of Clopper and Pearson at the effective number of trials (Korn,
    Graubard 1998).

    Attributes:
        effective: how many independent trials these are worth; None where all are independent.
    """

    successes: int
    trials: int
    effective: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.trials or self.trials == 0:
            raise ValueError(f"a rate needs trials: {self.successes} of {self.trials}")

    @property
    def value(self) -> float:
        return self.successes / self.trials

    @property
    def worth(self) -> float:
        """In independent trials."""
        return self.trials if self.effective is None else self.effective

    @property
    def low(self) -> float:
        return clopper_pearson_low(self.value * self.worth, self.worth, CONFIDENCE_ERROR / 2)

    @property
    def high(self) -> float:
        return clopper_pearson_up(self.value * self.worth, self.worth, CONFIDENCE_ERROR / 2)

    @property
    def at_most(self) -> float:
        """The one-sided upper bound, at 95 %."""
        return clopper_pearson_up(self.value * self.worth, self.worth, CONFIDENCE_ERROR)


@dataclass(frozen=True)
class Verification:
    """True acceptances at a threshold that accepts at most `far` of the impostors.

    Attributes:
        far: what was asked.
        resolved: False when there are fewer than 1/far impostors, so that the threshold is above them all and the
            rate is a lower one than asked for.
    """

    far: float
    threshold: float
    tar: Rate
    resolved: bool


def split_scores(
    scores: Float64Array, probe_people: IntArray, gallery_people: IntArray
) -> tuple[Float64Array, Float64Array]:
    """(genuine, impostor) scores of a (p, g) table, by whether both pictures show the same person."""
    same = same_person(probe_people, gallery_people)
    return scores[same], scores[~same]


def same_person(probe_people: IntArray, gallery_people: IntArray) -> npt.NDArray[np.bool_]:
    """(p, g)."""
    return np.asarray(np.asarray(probe_people)[:, None] == np.asarray(gallery_people)[None, :])


def effective_trials(hits: npt.NDArray[np.bool_], people: IntArray) -> float:
    """How many independent trials these are worth, of which those of one person go together.

    The number over the design effect: the variance of the proportion as the people show it, over that of as many
    independent trials, and 1 at least. Where all trials end alike and so nothing is known of it, each person counts
    once.

    Args:
        hits: (n,) outcomes.
        people: (n,) whose trial each is.
    """
    _, whose = np.unique(people, return_inverse=True)
    counts, sums = np.bincount(whose).astype(np.float64), np.bincount(whose, weights=hits)
    share = float(np.mean(hits))
    if share in (0.0, 1.0):
        return float(len(counts))
    clustered = float(np.sum((sums - share * counts) ** 2))
    return len(hits) / max(1.0, clustered / (len(hits) * share * (1.0 - share)))


def tar_at_far(
    genuine: Float64Array, impostor: Float64Array, far: float, people: IntArray | None = None
) -> Verification:
    """Share of genuine scores above the threshold that at most `far` of the impostor scores exceed.

    Args:
        people: whose each genuine score is; None where no person has two.
    """
    if genuine.size == 0 or impostor.size == 0:
        raise ValueError(f"verification needs scores of both kinds, got {genuine.size} and {impostor.size}")
    allowed = int(far * impostor.size)
    threshold = float(np.sort(impostor)[::-1][min(allowed, impostor.size - 1)])
    hits = genuine > threshold
    effective = None if people is None else effective_trials(hits, people)
    tar = Rate(int(np.count_nonzero(hits)), int(genuine.size), effective)
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
    asked = np.asarray(probe_people)[known]
    hits = gallery[np.argmax(scores[known], axis=1)] == asked
    return Rate(int(np.count_nonzero(hits)), len(asked), effective_trials(hits, asked))


def trials_needed(limit: float) -> int:
    """Trials of which none may succeed for a rate above `limit` to be ruled out at 95 %, one-sided.

    598 at 0.5 % and 149 at 2 %: (1 - limit)^n <= 0.05.
    """
    return math.ceil(math.log(CONFIDENCE_ERROR) / math.log1p(-limit))
