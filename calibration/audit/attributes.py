"""What an attribute vector (pose, expression, colour grid, ...) says about who the face is.

Epsilon covers the identity code alone. What crosses beside it is measured here by probes: classifiers and
regressions that are trained on attribute vectors of known people and tried on other tracks of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.audit.rates import (
    Rate,
    area_under_curve,
    effective_trials,
    rank1,
    same_person,
    split_scores,
    tar_at_far,
)
from calibration.audit.vectors import Float64Array, FloatArray, IntArray, LinearMap, cosines

LINKED_AT_FAR = 1e-2
LINK_METRICS = ("learned", "cosine")
_LOGISTIC_STEPS = 400
# Of the mean variance within people, added in every direction: few pictures of each do not show all of it.
_WITHIN_SHRINKAGE = 0.01


@dataclass(frozen=True)
class ProbeResult:
    """How well a probe names people from attributes.

    Attributes:
        probe: ridge or logistic.
        people: number of people; chance is 1 / people.
        rank1: how often it names the right one, on tracks it was not trained on.
        area: verification from its scores; 0.5 is chance.
    """

    probe: str
    people: int
    rank1: Rate
    area: float

    @property
    def times_chance(self) -> float:
        return self.rank1.value * self.people


def probe_identity(
    attributes: FloatArray, people: IntArray, tracks: IntArray, *, probe: str = "ridge", folds: int = 4
) -> ProbeResult:
    """Cross-validated over tracks: all rows of a track are either trained on or tried, never both.

    Args:
        attributes: (n, f) one row per frame or track.
        people: (n,) who it is.
        tracks: (n,) which track it is from; each person needs at least two.
        probe: "ridge" (one linear score per person) or "logistic" (softmax regression).
    """
    if probe not in ("ridge", "logistic"):
        raise ValueError(f"a probe is 'ridge' or 'logistic', got {probe!r}")
    values, names = np.asarray(attributes, dtype=np.float64), np.unique(people)
    fold_of_row = _folds_by_track(np.asarray(people), np.asarray(tracks), folds)
    scores = np.zeros((len(values), len(names)))
    for fold in np.unique(fold_of_row):
        trained, tried = fold_of_row != fold, fold_of_row == fold
        mean, deviation = values[trained].mean(axis=0), values[trained].std(axis=0) + 1e-9
        targets = (np.asarray(people)[trained, None] == names[None, :]).astype(np.float64)
        fit = _ridge if probe == "ridge" else _logistic
        scores[tried] = fit((values[trained] - mean) / deviation, targets, (values[tried] - mean) / deviation)
    genuine, impostor = split_scores(scores, people, names)
    return ProbeResult(probe, len(names), rank1(scores, people, names), area_under_curve(genuine, impostor))


@dataclass(frozen=True)
class LinkResult:
    """How well two tracks of one unknown person are linked by attributes.

    Attributes:
        metric: learned or cosine.
        people: number of people; `chance` is the rank-1 rate of a guess.
        tar: true acceptances at a false-acceptance rate of `LINKED_AT_FAR`.
        rank1: how often the nearest other track is one of the same person.
        area: 0.5 is chance.
    """

    metric: str
    people: int
    tar: Rate
    rank1: Rate
    chance: float
    area: float


def link_tracks(attributes: FloatArray, people: IntArray, *, metric: str = "learned") -> LinkResult:
    """Compare tracks (n, f) of people (n,) that nothing was learned on.

    Args:
        metric: "learned" is Fisher's: directions in which people differ count by how much more they do so than tracks
            of one person. "cosine" takes the mean away and nothing else, which is right for codes of a recogniser.
            People are split in two halves; each is compared by what the other one taught.
    """
    if metric not in LINK_METRICS:
        raise ValueError(f"a metric is one of {LINK_METRICS}, got {metric!r}")
    compare = _fisher_scores if metric == "learned" else _cosine_scores
    values, who = np.asarray(attributes, dtype=np.float64), np.asarray(people)
    half = np.searchsorted(np.unique(who), who) % 2
    genuine, impostor, hits, chances = [], [], [], []
    linked, asked = [], []
    for tried in (half == 0, half == 1):
        scores = compare(values[~tried], who[~tried], values[tried])
        same = same_person(who[tried], who[tried])
        above = np.triu(np.ones(same.shape, dtype=bool), k=1)
        genuine.append(scores[above & same])
        impostor.append(scores[above & ~same])
        linked.append(who[tried][np.nonzero(above & same)[0]])
        np.fill_diagonal(scores, -np.inf)
        hits.append(same[np.arange(len(same)), scores.argmax(axis=1)])
        asked.append(who[tried])
        chances.append((same.sum(axis=1) - 1) / (len(same) - 1))
    genuine_scores, impostor_scores = np.concatenate(genuine), np.concatenate(impostor)
    nearest = np.concatenate(hits)
    return LinkResult(
        metric=metric,
        people=len(np.unique(who)),
        tar=tar_at_far(genuine_scores, impostor_scores, LINKED_AT_FAR, np.concatenate(linked)).tar,
        rank1=Rate(int(nearest.sum()), len(who), effective_trials(nearest, np.concatenate(asked))),
        chance=float(np.concatenate(chances).mean()),
        area=area_under_curve(genuine_scores, impostor_scores),
    )


def _fisher_scores(known: Float64Array, people: IntArray, tried: Float64Array) -> Float64Array:
    rows = tried @ _fisher_metric(known, people)
    squares = (rows**2).sum(axis=1)
    return np.asarray(2.0 * rows @ rows.T - squares[:, None] - squares[None, :])


def _cosine_scores(known: Float64Array, people: IntArray, tried: Float64Array) -> Float64Array:
    centred = tried - known.mean(axis=0)
    return cosines(centred, centred)


def _fisher_metric(values: Float64Array, people: IntArray) -> Float64Array:
    """(f, f) map after which distances count as in Fisher's discriminant analysis."""
    _, own = np.unique(people, return_inverse=True)
    counts = np.bincount(own)
    means = np.stack([np.bincount(own, column) / counts for column in values.T], axis=1)
    deviations = values - means[own]
    within = deviations.T @ deviations / len(values)
    within += np.eye(len(within)) * (_WITHIN_SHRINKAGE * np.trace(within) / len(within) + 1e-12)
    centred = means - means.mean(axis=0)
    whitening = np.linalg.cholesky(np.linalg.inv(within))
    gains, axes = np.linalg.eigh(whitening.T @ (centred.T @ centred / len(means)) @ whitening)
    return np.asarray(whitening @ axes * np.sqrt(np.maximum(gains, 0.0)))


def explained_identity(
    attributes: FloatArray, codes: FloatArray, people: IntArray, *, folds: int = 4
) -> float:
    """Share of the variance of identity codes (n, d) that a ridge map from attributes (n, f) explains.

    Tried on people it was not trained on; 0 or less means that it says nothing about strangers' identity.
    """
    values, targets = np.asarray(attributes, dtype=np.float64), np.asarray(codes, dtype=np.float64)
    names = np.unique(people)
    fold_of_row = np.searchsorted(names, people) % folds
    left = total = 0.0
    for fold in range(folds):
        trained, tried = fold_of_row != fold, fold_of_row == fold
        if not tried.any() or not trained.any():
            raise ValueError(f"{len(names)} people cannot be split into {folds} folds")
        deviation = values[trained].std(axis=0) + 1e-9
        guess = LinearMap(values[trained] / deviation, targets[trained])(values[tried] / deviation)
        left += float(((targets[tried] - guess) ** 2).sum())
        total += float(((targets[tried] - targets[trained].mean(axis=0)) ** 2).sum())
    return 1.0 - left / total


def _folds_by_track(people: IntArray, tracks: IntArray, folds: int) -> IntArray:
    """(n,) fold of each row: a person's tracks are dealt out in turn."""
    fold_of_row = np.zeros(len(people), dtype=np.intp)
    for person in np.unique(people):
        rows = people == person
        own_tracks = np.unique(tracks[rows])
        if len(own_tracks) < 2:
            raise ValueError(f"person {person} has one track: a probe needs another one to be tried on")
        fold_of_row[rows] = np.searchsorted(own_tracks, tracks[rows]) % folds
    return fold_of_row


def _ridge(inputs: Float64Array, targets: Float64Array, tried: Float64Array) -> Float64Array:
    return LinearMap(inputs, targets)(tried)


def _logistic(inputs: Float64Array, targets: Float64Array, tried: Float64Array) -> Float64Array:
    """Softmax regression by gradient descent with momentum and a step from the largest curvature."""
    weights, velocity = np.zeros((inputs.shape[1], targets.shape[1])), 0.0
    curvature = float(np.linalg.norm(inputs, 2) ** 2) / (2.0 * len(inputs)) + 1e-3
    for _ in range(_LOGISTIC_STEPS):
        logits = inputs @ weights
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        gradient = inputs.T @ (shares - targets) / len(inputs) + 1e-3 * weights
        velocity = 0.9 * velocity - gradient / curvature
        weights = weights + velocity
    return np.asarray(tried @ weights, dtype=np.float64)
