"""What a parrot attacker makes of anonymized pictures of known people: an enrolment, or a classifier head.

Newton, Sweeney, Malin 2005: whoever can run the anonymizer himself compares anonymized with anonymized. Enrolling
keeps the recogniser as it is and takes the people's anonymized pictures for the gallery. Fine-tuning trains a new last
layer on them: one output per person, softmax, cross-entropy. The layers below stay as they are; a whole network
fine-tuned on a few pictures of each person would fit them by heart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.audit.vectors import Float64Array, FloatArray, IntArray, cosines, unit_rows

Float32Array = npt.NDArray[np.float32]

_STEPS = 60
_WEIGHT_DECAY = 1e-4
_SHRINKAGE = 1e-2
_MOMENTUM = 0.9
# Standard deviation of the scores that training starts with: the softmax is neither flat nor decided.
_FIRST_SPREAD = 2.0


class Enrolment:
    """The mean anonymized code of each known person; a probe's score is its cosine to that."""

    def __init__(self, embeddings: FloatArray, people: IntArray) -> None:
        """From codes (n, d) and who is on them (n,)."""
        self.people = np.unique(people)
        rows = unit_rows(embeddings)
        self._means = np.stack([rows[np.asarray(people) == person].mean(axis=0) for person in self.people])

    def scores(self, embeddings: FloatArray) -> Float64Array:
        """(n, people) score of each known person."""
        return cosines(embeddings, self._means)


class FineTunedHead:
    """A linear classifier, started from the closed-form ridge solution and fine-tuned by gradient descent.

    The codes are whitened first. What tells anonymized people apart lies in directions of little variance (the large
    ones are those of the synthetic people), and descent in raw codes forgets them again: it would be a weak attacker.
    """

    def __init__(self, embeddings: FloatArray, people: IntArray, *, steps: int = _STEPS) -> None:
        """From codes (n, d) and who is on them (n,)."""
        self.people = np.unique(people)
        rows = unit_rows(embeddings)
        self._mean = rows.mean(axis=0)
        self._whitening = _whitening(rows - self._mean)
        inputs = (rows - self._mean) @ self._whitening
        truth = np.asarray(people)[:, None] == self.people[None, :]
        targets = truth - truth.mean(axis=0)
        # Of whitened inputs without mean this is the ridge solution.
        start = inputs.T @ targets / len(rows)
        start *= _FIRST_SPREAD / max(float((inputs @ start).std()), 1e-12)
        self._weights = _descend(inputs.astype(np.float32), truth, start, steps)

    def scores(self, embeddings: FloatArray) -> Float64Array:
        """(n, people) score of each known person."""
        return np.asarray((unit_rows(embeddings) - self._mean) @ self._whitening @ self._weights)


def _whitening(centred: Float64Array) -> Float64Array:
    """(d, d) map that brings rows (n, d) without mean to about the identity as covariance, shrunk towards a ball."""
    covariance = centred.T @ centred / len(centred)
    variances, axes = np.linalg.eigh(covariance)
    shrunk = variances + _SHRINKAGE * variances.mean() + 1e-12
    return np.asarray(axes / np.sqrt(shrunk) @ axes.T)


def _descend(
    inputs: Float32Array, truth: npt.NDArray[np.bool_], weights: Float64Array, steps: int
) -> Float64Array:
    """Softmax cross-entropy of inputs (n, d) and truth (n, c) descended from `weights` (d, c)."""
    targets = truth.astype(np.float32)
    values = weights.astype(np.float32)
    velocity = np.zeros_like(values)
    curvature = float(np.linalg.norm(inputs, 2) ** 2) / (2.0 * len(inputs)) + _WEIGHT_DECAY
    for _ in range(steps):
        ahead = values + _MOMENTUM * velocity
        logits = inputs @ ahead
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        logits -= targets
        gradient = inputs.T @ logits / len(inputs) + _WEIGHT_DECAY * ahead
        velocity = _MOMENTUM * velocity - gradient / curvature
        values = values + velocity
    return values.astype(np.float64)
