"""`privunit`: a unit vector near the code's cap with probability p, away from it otherwise."""

from __future__ import annotations

import math

import numpy as np

from calibration.errors import EpsilonError
from calibration.exact import EpsilonLike
from calibration.mechanisms.base import VectorMechanism
from calibration.randomness import Float64Array, RandomSource, standard_normals, uniform_doubles
from calibration.special import incomplete_beta, inverse_incomplete_beta


class PrivUnitMechanism(VectorMechanism):
    """With probability p, <y, z> is drawn from its uniform-sphere law above gamma, else from that below
    gamma.

    Proof. Let q = P(<U, z> >= gamma) for U uniform on the sphere. The density of y relative to the uniform
    one is p/q in the cap around z and (1 - p)/(1 - q) outside it, the same two values for every z. Their
    ratio is p (1 - q) / ((1 - p) q) = e^eps by the choice of p, so no output is more than e^eps times
    likelier under one code than under another. Both values occur for z and -z, so epsilon is tight.

    gamma maximises the mean of <y, z>. Bhowmick, Duchi, Freudiger, Kapoor, Rogers 2018 (arXiv 1812.00984);
    choice of p and gamma after Asi, Feldman, Talwar 2022 (arXiv 2205.02466).

    With W = <U, z>, (W + 1)/2 ~ Beta(a, a), a = (d - 1)/2, so q = I_{1 - gamma^2}(a, 1/2) / 2.
    """

    name = "privunit"

    def __init__(self, epsilon: EpsilonLike, dimension: int) -> None:
        super().__init__(epsilon, dimension)
        if self.epsilon == 0:
            raise EpsilonError("`privunit` needs an epsilon above 0: use the mechanism `uniform`")
        self._half = (dimension - 1) / 2.0
        self.gamma = self._best_gamma()
        self.cap_share = self._tail(self.gamma)
        lift = math.exp(self.epsilon)
        self.cap_probability = lift * self.cap_share / (lift * self.cap_share + 1.0 - self.cap_share)

    def _tail(self, gamma: float) -> float:
        """q = P(W >= gamma) for gamma >= 0."""
        return incomplete_beta(self._half, 0.5, 1.0 - gamma * gamma) / 2.0

    def _mean_cosine(self, gamma: float) -> float:
        """E <y, z> = (p/q - (1 - p)/(1 - q)) (1 - gamma^2)^a / (B(1/2, a) (d - 1))."""
        growth = math.expm1(self.epsilon)
        lift = growth / (1.0 + self._tail(gamma) * growth)
        log_beta = math.lgamma(0.5) + math.lgamma(self._half) - math.lgamma(self._half + 0.5)
        log_height = self._half * math.log1p(-gamma * gamma) - log_beta
        return lift * math.exp(log_height) / (2.0 * self._half)

    def _best_gamma(self) -> float:
        """Golden-section search: the mean cosine has one maximum in gamma."""
        low, high, golden = 0.0, 1.0 - 1e-12, (math.sqrt(5.0) - 1.0) / 2.0
        for _ in range(90):
            left, right = high - golden * (high - low), low + golden * (high - low)
            if self._mean_cosine(left) < self._mean_cosine(right):
                low = left
            else:
                high = right
        return 0.5 * (low + high)

    @property
    def expected_cosine(self) -> float:
        """Mean of <y, z>: how much of the code survives."""
        return self._mean_cosine(self.gamma)

    def _noised(self, code_unit: Float64Array, count: int, random: RandomSource) -> Float64Array:
        coin, position = uniform_doubles(random, (2, count))
        in_cap = coin < self.cap_probability
        # The upper tail probability of W, uniform over the tail that the coin has chosen.
        tail = np.where(in_cap, self.cap_share * position, self.cap_share + (1.0 - self.cap_share) * position)
        squared = 1.0 - inverse_incomplete_beta(self._half, 0.5, 2.0 * np.minimum(tail, 1.0 - tail))
        along = np.copysign(np.sqrt(np.maximum(squared, 0.0)), 0.5 - tail)[:, None]
        across = orthogonal_directions(code_unit, count, random)
        outputs: Float64Array = along * code_unit + np.sqrt(np.maximum(1.0 - along**2, 0.0)) * across
        return outputs


def orthogonal_directions(code_unit: Float64Array, count: int, random: RandomSource) -> Float64Array:
    """(count, d) unit vectors, uniform in the orthogonal complement of `code_unit`."""
    normals = standard_normals(random, (count, code_unit.size))
    normals -= (normals @ code_unit)[:, None] * code_unit
    directions: Float64Array = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return directions
