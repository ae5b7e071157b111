"""What every mechanism states about itself, and the two kinds: over an index, over a unit vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import ClassVar

import numpy as np

from calibration.bounds import BoundRow, bound_row
from calibration.cost import Cost
from calibration.errors import CodeError
from calibration.exact import EpsilonLike, as_epsilon, epsilon_text, rational
from calibration.randomness import Float64Array, RandomSource


class Exactness(Enum):
    """How literally the stated epsilon is meant."""

    INTEGER = "exact: every probability is a ratio of integers"
    DOUBLE = "up to double-precision sampling"


@dataclass(frozen=True)
class DrawParameters:
    """The public numbers of one draw, as they stand in the ledger.

    Attributes:
        weight_inside: A, weight of each of the `nearest` entries.
        weight_outside: B, weight of each other entry.
        available: K, entries that could be drawn.
        nearest: m, entries that have the weight A.
    """

    weight_inside: int
    weight_outside: int
    available: int
    nearest: int

    @property
    def total(self) -> int:
        """M = m A + (K - m) B."""
        return self.nearest * self.weight_inside + (self.available - self.nearest) * self.weight_outside


class Mechanism(ABC):
    """An epsilon-LDP choice of a synthetic identity for one track.

    The object that makes the draw is the object that states what it costs: `epsilon` (never less than the
    true one), `delta`, `unit`, `exactness`, and the table of what they bound.
    """

    name: ClassVar[str]
    exactness: ClassVar[Exactness]
    needs_code: ClassVar[bool] = True
    unit: ClassVar[str] = "one track (all its frames)"
    delta: float = 0.0

    def __init__(self, epsilon: EpsilonLike) -> None:
        self.epsilon: Fraction = as_epsilon(epsilon)

    @property
    def cost(self) -> Cost:
        """What one draw takes from a budget."""
        return Cost(self.epsilon, rational(self.delta))

    def bound_table(self, fars: Sequence[float] = (1e-3, 1e-2), people: int = 1000) -> list[BoundRow]:
        """What the stated epsilon bounds, per false-acceptance rate."""
        return [bound_row(float(self.epsilon), far=far, people=people, delta=self.delta) for far in fars]

    def describe(self) -> dict[str, str | float | bool]:
        """The statement for reports and tables."""
        return {
            "mechanism": self.name,
            "epsilon": epsilon_text(self.epsilon),
            "delta": self.delta,
            "unit": self.unit,
            "exactness": self.exactness.value,
            "needs_code": self.needs_code,
        }


class DiscreteMechanism(Mechanism):
    """Chooses one of the available entries of the codebook."""

    exactness = Exactness.INTEGER

    @abstractmethod
    def parameters(self, available: int) -> DrawParameters:
        """The public numbers of a draw among `available` entries: functions of that and epsilon only."""

    @abstractmethod
    def draw(self, ranked: Sequence[int], random: RandomSource) -> int:
        """One of `ranked`: the available entries, the nearest to the track's code first."""

    def probabilities(self, available: int) -> list[Fraction]:
        """Exact probability of each rank, nearest first; they sum to one."""
        p = self.parameters(available)
        inside = [Fraction(p.weight_inside, p.total)] * p.nearest
        return inside + [Fraction(p.weight_outside, p.total)] * (p.available - p.nearest)


class VectorMechanism(Mechanism):
    """Perturbs a unit vector. Shown is the nearest available synthetic person: post-processing, free."""

    exactness = Exactness.DOUBLE

    def __init__(self, epsilon: EpsilonLike, dimension: int) -> None:
        super().__init__(epsilon)
        if dimension < 2:
            raise CodeError(f"{self.name} needs codes of at least 2 dimensions, got {dimension}")
        self.dimension = dimension

    @abstractmethod
    def _noised(self, code_unit: Float64Array, count: int, random: RandomSource) -> Float64Array:
        """(count, d) independent outputs of the private step for a checked unit vector (d,)."""

    def draw_noised(self, code_unit: Float64Array, count: int, random: RandomSource) -> Float64Array:
        """(count, d) float64: independent outputs before they are brought back to the sphere. For audits."""
        return self._noised(unit_vector(code_unit, self.dimension), count, random)

    def draw(self, code_unit: Float64Array, random: RandomSource) -> Float64Array:
        """(d,) float64 unit vector for the unit vector `code_unit` (d,)."""
        return unit_vector(self.draw_noised(code_unit, 1, random)[0], self.dimension)

    def describe(self) -> dict[str, str | float | bool]:
        return {**super().describe(), "dimension": self.dimension}


def unit_vector(code: Float64Array, dimension: int) -> Float64Array:
    """`code` as float64 (d,) of norm one. Raises CodeError for another shape or no direction."""
    vector = np.asarray(code, dtype=np.float64)
    if vector.shape != (dimension,):
        raise CodeError(f"an identity code must have shape ({dimension},), got {vector.shape}")
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm < 1e-9:
        raise CodeError("an identity code has no direction: its norm is zero or not finite")
    return vector / norm
