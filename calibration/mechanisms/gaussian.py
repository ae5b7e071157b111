"""`gaussian`: the analytic Gaussian mechanism, for comparison. It has a delta: a chance that epsilon does
not hold.
"""

from __future__ import annotations

import math

from calibration.errors import EpsilonError
from calibration.exact import EpsilonLike
from calibration.mechanisms.base import VectorMechanism
from calibration.randomness import Float64Array, RandomSource, standard_normals
from calibration.special import normal_below

DEFAULT_DELTA = 1e-6
SENSITIVITY = 2.0
"""Largest L2 distance of two unit vectors."""


class GaussianMechanism(VectorMechanism):
    """y = z + N(0, sigma^2) on each coordinate; bringing y back to the sphere is post-processing.

    Proof. By symmetry the worst pair is z, -z and only the coordinate along z matters; there the privacy loss
    is normal, and P(y | z) <= e^eps P(y | -z) + delta for all events exactly when
    Phi(D/2s - eps s/D) - e^eps Phi(-D/2s - eps s/D) <= delta, D = 2 (Balle and Wang 2018, arXiv 1805.06530,
    Theorem 8). sigma is the smallest that satisfies it.
    """

    name = "gaussian"

    def __init__(self, epsilon: EpsilonLike, dimension: int, delta: float = DEFAULT_DELTA) -> None:
        super().__init__(epsilon, dimension)
        if not 0.0 < delta < 1.0:
            raise EpsilonError(f"delta must lie between 0 and 1, got {delta}")
        self.delta = delta
        self.sigma = smallest_sigma(float(self.epsilon), delta)

    def _noised(self, code_unit: Float64Array, count: int, random: RandomSource) -> Float64Array:
        noise: Float64Array = self.sigma * standard_normals(random, (count, self.dimension))
        return code_unit + noise


def needed_delta(epsilon: float, sigma: float) -> float:
    """The delta that noise of this sigma has at this epsilon."""
    half, slope = SENSITIVITY / (2.0 * sigma), epsilon * sigma / SENSITIVITY
    return normal_below(half - slope) - math.exp(epsilon) * normal_below(-half - slope)


def smallest_sigma(epsilon: float, delta: float) -> float:
    """By bisection: the delta falls as sigma grows. The upper end is returned, so that delta is never
    exceeded.
    """
    low, high = 1e-6, 1.0
    while needed_delta(epsilon, high) > delta:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if needed_delta(epsilon, middle) > delta:
            low = middle
        else:
            high = middle
    return high
