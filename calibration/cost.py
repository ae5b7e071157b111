"""What a draw costs and what a scope may spend, in both numbers of (epsilon, delta)-LDP, as exact rationals.

Draws compose by adding epsilons and deltas (Dwork and Roth 2014, Theorem 3.16).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from calibration.errors import CalibrationError
from calibration.exact import EpsilonLike, epsilon_text, rational


@dataclass(frozen=True)
class Cost:
    """Epsilon and delta of one draw, or in sum. Delta is 0 for every pure mechanism."""

    epsilon: Fraction = Fraction(0)
    delta: Fraction = Fraction(0)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.epsilon + other.epsilon, self.delta + other.delta)

    def __str__(self) -> str:
        epsilon = f"epsilon {epsilon_text(self.epsilon)}"
        return f"{epsilon}, delta {epsilon_text(self.delta)}" if self.delta else epsilon


@dataclass(frozen=True)
class Budget:
    """The most a scope may spend of each; None for no limit (it is still added up)."""

    epsilon: Fraction | None = None
    delta: Fraction | None = None

    @classmethod
    def of(cls, epsilon: EpsilonLike | None, delta: EpsilonLike | None = None) -> Budget:
        """From numbers or text. A budget is a sum of draws, so it may be larger than any one of them.

        Raises:
            CalibrationError: one of them is no number, or negative.
        """
        return cls(_limit("budget", epsilon), _limit("delta budget", delta))

    def allows(self, spent: Cost) -> bool:
        """Whether a scope may have spent this much."""
        return (self.epsilon is None or spent.epsilon <= self.epsilon) and (
            self.delta is None or spent.delta <= self.delta
        )

    def __str__(self) -> str:
        parts = [
            f"{name} {epsilon_text(limit)}"
            for name, limit in (("epsilon", self.epsilon), ("delta", self.delta))
            if limit is not None
        ]
        return ", ".join(parts) or "no limit"


def _limit(name: str, value: EpsilonLike | None) -> Fraction | None:
    if value is None:
        return None
    try:
        limit = rational(value)
    except (ValueError, ZeroDivisionError):
        raise CalibrationError(f"a {name} must be a number, got {value!r}") from None
    if limit < 0:
        raise CalibrationError(f"a {name} cannot be negative, got {value}")
    return limit
