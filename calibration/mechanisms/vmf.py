"""`vmf`: von Mises-Fisher noise on the sphere, for comparison. Its epsilon shrinks with the distance of two
codes.
"""

from __future__ import annotations

import math

import numpy as np

from calibration.errors import EpsilonError
from calibration.exact import EpsilonLike
from calibration.mechanisms.base import VectorMechanism
from calibration.mechanisms.privunit import orthogonal_directions
from calibration.randomness import Float64Array, RandomSource, uniform_doubles
from calibration.special import bessel_ratio, inverse_incomplete_beta


class VmfMechanism(VectorMechanism):
    """y with density proportional to exp(kappa <y, z>) on the unit sphere, kappa = eps / 2.

    Proof. The normaliser does not depend on z, so ln p(y | z) / p(y | z') = kappa <y, z - z'>, at most
    kappa |z - z'|_2: kappa d_2-privacy, and since |z - z'|_2 <= 2, epsilon = 2 kappa for every pair
    (Weggenmann and Kerschbaum 2021, "Differential privacy for directional data"). The ratio is reached only
    at y = z, so at the same epsilon it is noisier than `privunit`.

    Sampling: Wood 1994 (rejection for <y, z>, uniform around it).
    """

    name = "vmf"

    def __init__(self, epsilon: EpsilonLike, dimension: int) -> None:
        super().__init__(epsilon, dimension)
        if self.epsilon == 0:
            raise EpsilonError("`vmf` needs an epsilon above 0: use the mechanism `uniform`")
        self.kappa = float(self.epsilon) / 2.0

    @property
    def expected_cosine(self) -> float:
        """Mean of <y, z>."""
        return bessel_ratio(self.dimension, self.kappa)

    def _noised(self, code_unit: Float64Array, count: int, random: RandomSource) -> Float64Array:
        along = self._cosines(count, random)[:, None]
        across = orthogonal_directions(code_unit, count, random)
        outputs: Float64Array = along * code_unit + np.sqrt(np.maximum(1.0 - along**2, 0.0)) * across
        return outputs

    def _cosines(self, count: int, random: RandomSource) -> Float64Array:
        """(count,) values of <y, z>."""
        degrees, kappa = self.dimension - 1, self.kappa
        b = degrees / (2.0 * kappa + math.sqrt(4.0 * kappa**2 + degrees**2))
        x0 = (1.0 - b) / (1.0 + b)
        c = kappa * x0 + degrees * math.log1p(-x0 * x0)
        accepted: list[Float64Array] = []
        missing = count
        while missing > 0:
            first, second = uniform_doubles(random, (2, missing + 8))
            z = inverse_incomplete_beta(degrees / 2.0, degrees / 2.0, first)
            w = (1.0 - (1.0 + b) * z) / (1.0 - (1.0 - b) * z)
            keep = kappa * w + degrees * np.log1p(-x0 * w) - c >= np.log(second)
            accepted.append(w[keep])
            missing -= int(keep.sum())
        return np.concatenate(accepted)[:count]
