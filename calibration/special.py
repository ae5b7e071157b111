"""The few special functions that are needed, typed: incomplete beta and what follows from it, normal
tails. scipy is loaded at the first use: that takes longer than to open all engines, and few jobs need it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibration.randomness import Float64Array


def _scipy_special() -> Any:
    from scipy import special  # type: ignore[import-untyped, unused-ignore]

    return special


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), regularised."""
    return float(_scipy_special().betainc(a, b, x))


def inverse_incomplete_beta(a: float, b: float, probability: Float64Array) -> Float64Array:
    """x with I_x(a, b) = probability, elementwise."""
    return np.asarray(_scipy_special().betaincinv(a, b, probability), dtype=np.float64)


def bessel_ratio(dimension: int, kappa: float) -> float:
    """I_{d/2}(kappa) / I_{d/2 - 1}(kappa): the mean resultant length of a von Mises-Fisher law."""
    # Backward recursion of the continued fraction: the Bessel functions themselves underflow.
    ratio, order = 0.0, dimension / 2.0
    for step in range(int(kappa) + 60, -1, -1):
        ratio = 1.0 / (2.0 * (order + step) / kappa + ratio)
    return ratio


def normal_below(x: float) -> float:
    """Phi(x), accurate in the lower tail."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def clopper_pearson_low(successes: float, trials: float, error: float) -> float:
    """Exact lower confidence bound of a proportion; wrong with probability at most `error` (Clopper, Pearson
    1934).
    """
    if successes == 0:
        return 0.0
    return float(_scipy_special().betaincinv(successes, trials - successes + 1, error))


def clopper_pearson_up(successes: float, trials: float, error: float) -> float:
    """Exact upper confidence bound of a proportion; wrong with probability at most `error`."""
    if successes >= trials:
        return 1.0
    return float(_scipy_special().betaincinv(successes + 1, trials - successes, 1.0 - error))
