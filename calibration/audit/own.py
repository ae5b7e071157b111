"""The mechanisms that add noise to a vector, audited as they are used: the object itself, its dimension, its delta.

In many dimensions no event of a probability that can be counted shows all of epsilon, so two things are asked:

* an event that tells z from -z as well as likelihood ratios do at this size of noise: how many coordinates lie
  beyond both codes (`laplace`), <y, z> above a threshold (`gaussian`, `vmf`). It must not show more than epsilon, and
  it must occur as often as the law that the mechanism states says;
* the size of the noise. The proofs tie epsilon to it (b = 2 sqrt(d) / epsilon, sigma by the delta, kappa =
  epsilon / 2), so the noise measured says what epsilon is spent. The formulas here are not those of the mechanisms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibration.audit.cases import (
    AuditCase,
    cap_case,
    chunks,
    favoured_code,
    half_space,
    most_telling,
    needed_sigma,
    polar_law,
    vector_case,
    vector_label,
)
from calibration.audit.lower_bound import POWER_DEVIATIONS, SAFE_DEVIATIONS
from calibration.mechanisms import (
    GaussianMechanism,
    LaplaceMechanism,
    Mechanism,
    VectorMechanism,
    VmfMechanism,
)
from calibration.randomness import Float64Array, RandomSource
from calibration.special import incomplete_beta

_THRESHOLDS = np.linspace(0.0, 4.0, 81)
_LARGEST_EPSILON = 600.0


@dataclass(frozen=True)
class NoiseCase:
    """The size of a mechanism's noise, as the mean of a statistic that rises with epsilon.

    Attributes:
        label: what is audited.
        epsilon, delta: the claim.
        mean: (trials, random) -> mean of the statistic over so many draws under each of two codes.
        expected: epsilon -> that mean by the theory, rising.
        spread: epsilon -> standard deviation of the statistic of one draw.
    """

    label: str
    epsilon: float
    delta: float
    mean: Callable[[int, RandomSource], float]
    expected: Callable[[float], float]
    spread: Callable[[float], float]

    def epsilon_of(self, mean: float) -> float:
        """The epsilon whose noise has this mean; at least 0. By bisection."""
        low, high = 1e-6, _LARGEST_EPSILON
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.expected(middle) < mean else (low, middle)
        return high if high > 2e-6 else 0.0

    def lower_bound(self, mean: float, trials: int) -> float:
        """What epsilon the noise surely stands for."""
        error = self.spread(self.epsilon_of(mean)) / math.sqrt(2.0 * trials)
        return self.epsilon_of(mean - SAFE_DEVIATIONS * error)

    def required(self, trials: int) -> float:
        """What a correct mechanism shows, all but once in thirty thousand audits."""
        error = self.spread(self.epsilon) / math.sqrt(2.0 * trials)
        return self.epsilon_of(self.expected(self.epsilon) - 2.0 * SAFE_DEVIATIONS * error)

    def refutes_twice(self, trials: int) -> bool:
        """True when noise that spends twice epsilon is told from what is stated."""
        twice = 2.0 * self.epsilon
        error = self.spread(twice) / math.sqrt(2.0 * trials)
        surely = self.expected(twice) - (SAFE_DEVIATIONS + POWER_DEVIATIONS) * error
        return surely > self.expected(self.epsilon)


def own_cases(mechanism: Mechanism, trials: int) -> tuple[AuditCase | NoiseCase, ...]:
    """The event and the size of the noise; none for mechanisms whose worst case shows all of epsilon as it is."""
    if isinstance(mechanism, LaplaceMechanism):
        return _laplace_event(mechanism, trials), _laplace_noise(mechanism)
    if isinstance(mechanism, GaussianMechanism):
        return _gaussian_event(mechanism, trials), _gaussian_noise(mechanism)
    if isinstance(mechanism, VmfMechanism):
        return cap_case(mechanism, trials), _vmf_noise(mechanism)
    return ()


def _laplace_event(mechanism: LaplaceMechanism, trials: int) -> AuditCase:
    """Each coordinate lies beyond both codes with probability 1/2 under z, and e^(-eps/d)/2 under -z."""
    dimension, epsilon = mechanism.dimension, float(mechanism.epsilon)
    counts = np.arange(1, dimension + 1)

    def at_least(probability: float) -> Float64Array:
        return np.array([incomplete_beta(k, dimension - k + 1, probability) for k in counts.tolist()])

    near, far = at_least(0.5), at_least(0.5 * math.exp(-epsilon / dimension))
    best = most_telling(near, far, trials)
    least = int(counts[best])
    return vector_case(
        mechanism,
        (float(near[best]), float(far[best])),
        lambda outputs, code: np.count_nonzero(outputs >= code, axis=1) >= least,
    )


def _gaussian_event(mechanism: GaussianMechanism, trials: int) -> AuditCase:
    sigma = needed_sigma(float(mechanism.epsilon), mechanism.delta)
    thresholds = sigma * _THRESHOLDS
    near, far = np.array([half_space(sigma, threshold) for threshold in thresholds]).T
    best = most_telling(near, far, trials, mechanism.delta)
    threshold = float(thresholds[best])
    return vector_case(
        mechanism, (float(near[best]), float(far[best])), lambda outputs, code: outputs @ code >= threshold
    )


def _laplace_noise(mechanism: LaplaceMechanism) -> NoiseCase:
    """|y_i - z_i| is exponential with mean b and standard deviation b."""
    sensitivity = 2.0 * math.sqrt(mechanism.dimension)
    return _noise_case(
        mechanism,
        lambda outputs, code: -np.abs(outputs - code).mean(axis=1),
        expected=lambda epsilon: -sensitivity / epsilon,
        spread=lambda epsilon: sensitivity / epsilon / math.sqrt(mechanism.dimension),
    )


def _gaussian_noise(mechanism: GaussianMechanism) -> NoiseCase:
    """(y_i - z_i)^2 has the mean sigma^2 and the standard deviation sqrt(2) sigma^2."""
    return _noise_case(
        mechanism,
        lambda outputs, code: -np.square(outputs - code).mean(axis=1),
        expected=lambda epsilon: -(needed_sigma(epsilon, mechanism.delta) ** 2),
        spread=lambda epsilon: (
            needed_sigma(epsilon, mechanism.delta) ** 2 * math.sqrt(2.0 / mechanism.dimension)
        ),
    )


def _vmf_noise(mechanism: VmfMechanism) -> NoiseCase:
    """The mean of <y, z> says all there is to know of kappa; by integration over the angle."""

    def moments(epsilon: float) -> tuple[float, float]:
        angles, share = polar_law(epsilon / 2.0, mechanism.dimension)
        cosines = np.cos(0.5 * (angles[1:] + angles[:-1]))
        mean = float(np.diff(share) @ cosines)
        return mean, math.sqrt(float(np.diff(share) @ (cosines - mean) ** 2))

    return _noise_case(
        mechanism,
        lambda outputs, code: outputs @ code,
        expected=lambda epsilon: moments(epsilon)[0],
        spread=lambda epsilon: moments(epsilon)[1],
    )


def _noise_case(
    mechanism: VectorMechanism,
    statistic: Callable[[Float64Array, Float64Array], Float64Array],
    *,
    expected: Callable[[float], float],
    spread: Callable[[float], float],
) -> NoiseCase:
    """`statistic`: (outputs (n, d), code (d,)) -> (n,)."""

    def mean(trials: int, random: RandomSource) -> float:
        total = 0.0
        for code in (favoured_code(mechanism), -favoured_code(mechanism)):
            for count in chunks(trials, mechanism.dimension):
                total += float(statistic(mechanism.draw_noised(code, count, random), code).sum())
        return total / (2.0 * trials)

    label = f"{vector_label(mechanism)}, noise"
    return NoiseCase(label, float(mechanism.epsilon), mechanism.delta, mean, expected, spread)
