"""What n trials show of an epsilon: the lower bound, what a correct mechanism surely reaches, and how many trials
are enough to say anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from calibration.special import clopper_pearson_low, clopper_pearson_up

DEFAULT_ALPHA = 1e-3
TIGHTNESS = 0.9
SAFE_DEVIATIONS = 4.0
POWER_DEVIATIONS = 2.33
"""A binomial count is beyond so many standard deviations in one case of a hundred."""
_MOST_TRIALS = 10**9


def epsilon_lower_bound(
    near_hits: int, far_hits: int, trials: int, alpha: float, delta: float = 0.0
) -> float:
    """eps_LB, at least 0: true with probability 1 - alpha whatever the mechanism."""
    near = clopper_pearson_low(near_hits, trials, alpha / 2.0) - delta
    far = clopper_pearson_up(far_hits, trials, alpha / 2.0)
    return max(0.0, math.log(near / far)) if near > 0.0 else 0.0


def required_bound(
    near: float, far: float, epsilon: float, delta: float, trials: int, alpha: float
) -> tuple[float, bool]:
    """What a correct mechanism shows at its expected counts, against the 0.9 epsilon that is asked.

    `near` and `far` are the probabilities of the event. The second value is True when 0.9 epsilon is required.
    """
    near_hits, far_hits = round(near * trials), round(far * trials)
    expected = epsilon_lower_bound(near_hits, far_hits, trials, alpha, delta)
    relative_near = math.sqrt(near_hits * (1.0 - near_hits / trials)) / max(1.0, near_hits - delta * trials)
    deviation = math.hypot(relative_near, math.sqrt(1.0 / max(1, far_hits)))
    asked = TIGHTNESS * epsilon
    surely_shown = max(0.0, expected - SAFE_DEVIATIONS * deviation)
    return (asked, True) if surely_shown >= asked else (surely_shown, False)


def refutes(near: float, far: float, epsilon: float, delta: float, trials: int, alpha: float) -> bool:
    """True when a mechanism under which the event has these probabilities is found to spend more than epsilon, in
    98 of 100 audits or more.
    """
    low = trials * near - POWER_DEVIATIONS * math.sqrt(trials * near * (1.0 - near))
    high = trials * far + POWER_DEVIATIONS * math.sqrt(trials * far * (1.0 - far))
    hits = max(0, math.floor(low)), min(trials, math.ceil(high))
    return epsilon_lower_bound(*hits, trials, alpha, delta) > epsilon


def fits(hits: int, trials: int, probability: float, error: float = 1e-5) -> bool:
    """Could the event have this probability? A true one is denied with probability 2 * error at most."""
    low, high = clopper_pearson_low(hits, trials, error), clopper_pearson_up(hits, trials, error)
    return low <= probability <= high


def trials_needed(enough: Callable[[int], bool]) -> int:
    """About the fewest trials that are enough, rounded up to two digits; a billion where even that is not."""
    trials = 10
    while trials < _MOST_TRIALS and not enough(trials):
        following = trials + max(1, trials // 20)
        unit = 10 ** (len(str(following)) - 2)
        trials = -(-following // unit) * unit
    return trials
