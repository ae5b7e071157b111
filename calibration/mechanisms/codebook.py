"""`codebook` (default): nearest-m randomized response over the synthetic people, exact in integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist

from calibration.errors import EpsilonError
from calibration.exact import EpsilonLike, floor_scaled_exp, log_of_ratio
from calibration.mechanisms.base import DiscreteMechanism, DrawParameters
from calibration.randomness import RandomSource

WEIGHT_OUTSIDE = 1 << 64
"""B. Large, so that A / B is within 2^-63 of e^eps."""


class CodebookMechanism(DiscreteMechanism):
    """One of the m available people nearest to the track's code has weight A, every other has weight B.

    Proof. Let S(z) be the m nearest, |S(z)| = m for every z. P(y | z) = A/M for y in S(z), else B/M, and
    M = m A + (K - m) B is the same for every z. So P(y | z) / P(y | z') is A/B, 1 or B/A, and
    A = floor(B e^eps) - 1 gives A/B < e^eps: the mechanism is ln(A/B)-LDP, whatever "nearest" means and
    however the ranking was computed. Only integers are compared; r is uniform below M, so the probabilities
    are exact.

    Draws one after another from what is not in use: the available set is a function of identities already
    shown, so given the past each draw has its own epsilon, and k draws compose to k epsilon (Dwork and Roth
    2014, 3.5).

    Subset selection: Ye and Barg 2018, Wang et al. 2016 (arXiv 1607.08025); m is the discrete counterpart of
    PrivUnit's cap (Bhowmick et al. 2018, arXiv 1812.00984); m = 1 is k-ary randomized response.
    """

    name = "codebook"

    def __init__(self, epsilon: EpsilonLike = 1) -> None:
        super().__init__(epsilon)
        self._weight_inside = floor_scaled_exp(self.epsilon, WEIGHT_OUTSIDE) - 1
        if self._weight_inside <= WEIGHT_OUTSIDE:
            raise EpsilonError(f"epsilon {epsilon} is too small for `codebook`: use the mechanism `uniform`")
        self._parameters: dict[int, DrawParameters] = {}

    @property
    def odds(self) -> Fraction:
        """A / B, the largest ratio of two probabilities, exactly."""
        return Fraction(self._weight_inside, WEIGHT_OUTSIDE)

    @property
    def exact_epsilon(self) -> Decimal:
        """ln(A / B) to 40 digits; not above `epsilon`."""
        return log_of_ratio(self._weight_inside, WEIGHT_OUTSIDE)

    def parameters(self, available: int) -> DrawParameters:
        if available not in self._parameters:
            self._parameters[available] = DrawParameters(
                weight_inside=self._weight_inside,
                weight_outside=WEIGHT_OUTSIDE,
                available=available,
                nearest=nearest_count(available, self.epsilon),
            )
        return self._parameters[available]

    def draw(self, ranked: Sequence[int], random: RandomSource) -> int:
        p = self.parameters(len(ranked))
        inside = p.nearest * p.weight_inside
        r = random.randbelow(p.total)
        if r < inside:
            return ranked[r // p.weight_inside]
        return ranked[p.nearest + (r - inside) // p.weight_outside]

    def describe(self) -> dict[str, str | float | bool]:
        return {**super().describe(), "exact_epsilon": str(self.exact_epsilon), "odds": str(self.odds)}


def nearest_count(available: int, epsilon: Fraction) -> int:
    """m, a function of K and epsilon only: about q K, at least 1, and below K so that there is an outside.

    0 for K = 1, where the one entry is certain.
    """
    if available < 1:
        raise ValueError(f"a draw needs at least one available entry, got {available}")
    return min(max(1, round(available * best_fraction(epsilon))), available - 1)


@lru_cache(maxsize=256)
def best_fraction(epsilon: Fraction) -> float:
    """q, the share of the codebook inside S that makes the drawn person most like the code on average.

    In many dimensions the cosines of the people to a code are close to normal. With t = Phi^-1(1 - q) the
    mean score is phi(t) (e^eps - 1) / (1 + q (e^eps - 1)); its derivative in q has the sign of
    t (1 + q c) - c phi(t), c = e^eps - 1, which falls from +inf at q = 0 to below 0 at q = 1/2. Any q would
    be as
    private: only resemblance depends on it.
    """
    normal = NormalDist()
    growth = math.expm1(epsilon)
    low, high = 1e-12, 0.5
    for _ in range(60):
        middle = 0.5 * (low + high)
        t = -normal.inv_cdf(middle)
        if t * (1.0 + middle * growth) > growth * normal.pdf(t):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
