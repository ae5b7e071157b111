"""What an epsilon promises, in words an operator can check, and the way back from a promise to an epsilon.

Everything follows from P(y | z) <= e^eps P(y | z') + delta for every pair of identity codes z, z' of one
track (delta is 0 for all mechanisms but `gaussian`):

* verification: take the attacker's acceptance region R. TPR = P(R | z) <= e^eps FAR + delta; and for the
  complement 1 - FAR <= e^eps (1 - TPR) + delta. Hence TPR <= min(e^eps FAR + delta, 1 - e^-eps (1 - FAR -
  delta)). (Wasserman and Zhou 2010, Theorem 2.4; Kairouz, Oh and Viswanath 2015.)
* identification among N equally likely people: let s be the mean of P(guess i | z_i). Averaging the
  inequality over j != i gives s <= e^eps (1 - s) / (N - 1) + delta, so s <= (e^eps + (N - 1) delta) / (e^eps
  + N - 1).
* any other knowledge: the posterior odds of an identity hypothesis are at most e^eps times what they were.

They are bounds on what the identity code alone gives away, not on what else a video shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from calibration.errors import EpsilonError
from calibration.exact import EpsilonLike, as_epsilon

WARN_ABOVE = 4
REFUSE_ABOVE = 8
_POLICY_FAR = 1e-3
_LEAST_DIFFERENCE = Fraction(1, 100)
TABLE_EPSILONS = (0.0, 0.5, 1.0, 1.61, 2.3, 3.0, 4.0)


def verification_bound(epsilon: float, far: float, delta: float = 0.0) -> float:
    """Largest true-positive rate of any verification attack at false-acceptance rate `far`."""
    _check_probability("far", far)
    _check_probability("delta", delta)
    lift = math.exp(epsilon)
    bound = min(1.0, lift * far + delta, 1.0 - (1.0 - far - delta) / lift)
    return max(far, bound)  # rounding must not take it below chance


def identification_bound(epsilon: float, people: int, delta: float = 0.0) -> float:
    """Largest rank-1 rate of any attack that names one of `people` equally likely identities."""
    if people < 1:
        raise ValueError(f"people must be at least 1, got {people}")
    _check_probability("delta", delta)
    lift = math.exp(epsilon)
    return min(1.0, (lift + (people - 1) * delta) / (lift + people - 1))


def posterior_bound(epsilon: float, prior: float) -> float:
    """Largest probability of an identity hypothesis after seeing the code, `prior` being that before it."""
    _check_probability("prior", prior)
    lift = math.exp(epsilon)
    return lift * prior / (lift * prior + 1.0 - prior)


def epsilon_for_verification(true_positive_rate: float, far: float) -> float:
    """Largest epsilon whose verification bound at `far` is not above `true_positive_rate` (exact inverse)."""
    _check_probability("far", far)
    if not far <= true_positive_rate < 1.0 or far == 0.0:
        raise EpsilonError(f"a bound at FAR {far} lies from {far} up to 1; got {true_positive_rate}")
    # The bound is the smaller of two rising functions, so its inverse is the larger of their inverses.
    return max(math.log(true_positive_rate / far), math.log((1.0 - far) / (1.0 - true_positive_rate)))


def epsilon_for_identification(rank1: float, people: int) -> float:
    """Largest epsilon whose identification bound among `people` is not above `rank1` (exact inverse)."""
    if people < 2 or not 1.0 / people <= rank1 < 1.0:
        raise EpsilonError(f"a rank-1 bound among {people} people lies from 1/{people} up to 1; got {rank1}")
    return math.log(rank1 * (people - 1) / (1.0 - rank1))


@dataclass(frozen=True)
class BoundRow:
    """One line of the table of bounds: rates are fractions, not percent."""

    epsilon: float
    delta: float
    far: float
    verification: float
    people: int
    identification: float
    odds_factor: float


def bound_row(epsilon: float, *, far: float = 1e-3, people: int = 1000, delta: float = 0.0) -> BoundRow:
    return BoundRow(
        epsilon=epsilon,
        delta=delta,
        far=far,
        verification=verification_bound(epsilon, far, delta),
        people=people,
        identification=identification_bound(epsilon, people, delta),
        odds_factor=math.exp(epsilon),
    )


def bound_table(
    epsilons: Sequence[float] = TABLE_EPSILONS, *, far: float = 1e-3, people: int = 1000
) -> list[BoundRow]:
    """The table of docs/privacy.md, or the same for other settings."""
    return [bound_row(epsilon, far=far, people=people) for epsilon in epsilons]


def check_epsilon(epsilon: EpsilonLike, allow_large: bool = False, *, delta: float = 0.0) -> str | None:
    """A warning to show the user, or None. Raises EpsilonError above 8 unless `allow_large`.

    A delta counts by what it does to the bound at FAR 0.1 %: as the pure epsilon that would promise as little, where
    that is larger by more than 0.01.
    """
    value = as_epsilon(epsilon)
    bound = verification_bound(float(value), _POLICY_FAR, delta)
    promises_as: Fraction | float = value
    if delta and (weaker := _epsilon_of_bound(bound)) > value + _LEAST_DIFFERENCE:
        promises_as = weaker
    if promises_as <= WARN_ABOVE:
        return None
    stated = f"epsilon {float(value):g}" + (f" with delta {delta:g}" if delta else "")
    message = f"{stated} only promises a true-positive rate below {100.0 * bound:.1f} % at FAR 0.1 %"
    if promises_as > REFUSE_ABOVE and not allow_large:
        limit = (
            f"above {REFUSE_ABOVE} it"
            if value > REFUSE_ABOVE
            else f"less than epsilon {REFUSE_ABOVE} promises"
        )
        raise EpsilonError(f"{message}: {limit} must be allowed explicitly (--allow-large-epsilon)")
    return message


def _epsilon_of_bound(bound: float) -> float:
    return math.inf if bound >= 1.0 else epsilon_for_verification(bound, _POLICY_FAR)


def _check_probability(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be a probability, got {value}")
