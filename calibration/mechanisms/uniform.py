"""`uniform`: epsilon 0. The person is drawn without looking at the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from calibration.mechanisms.base import DiscreteMechanism, DrawParameters
from calibration.randomness import RandomSource


class UniformMechanism(DiscreteMechanism):
    """Uniform draw from the available people.

    Proof: the output does not depend on the code, so P(y | z) = P(y | z'). No embedding of a real face is
    computed at all, which is a stronger statement than any epsilon.
    """

    name = "uniform"
    needs_code: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__(0)

    def parameters(self, available: int) -> DrawParameters:
        return DrawParameters(weight_inside=1, weight_outside=1, available=available, nearest=0)

    def draw(self, ranked: Sequence[int], random: RandomSource) -> int:
        return ranked[random.randbelow(len(ranked))]
