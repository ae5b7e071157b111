"""The space in which "nearest synthetic person" is measured, fitted on the codebook's own people and nothing
else.

Recognition codes share a large common part (every face resembles every face), which makes raw cosines poor
neighbours. Here the codebook's mean is taken away and its principal axes are scaled to equal variance.
Because only public synthetic codes are used, the fit costs no privacy budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.errors import CodebookError
from calibration.mechanisms.base import unit_vector

Float64Array = npt.NDArray[np.float64]
_SAMPLES_PER_AXIS = 4
_SHRINKAGE = 0.1


@dataclass(frozen=True)
class IdentitySpace:
    """Unit directions of centred, whitened codes.

    Attributes:
        mean: (d,) float64 mean of the codebook's unit codes.
        axes: (d, r) float64, orthonormal columns: the r strongest principal axes.
        scales: (r,) float64 standard deviations the axes are divided by.
        directions: (K, r) float64, the codebook's people in this space, unit rows.
    """

    mean: Float64Array
    axes: Float64Array
    scales: Float64Array
    directions: Float64Array

    @classmethod
    def fit(cls, codes_unit: npt.NDArray[np.floating]) -> IdentitySpace:
        """From the codebook's codes (K, d). Keeps at most K / 4 axes, so that none is fitted to a handful of
        people.
        """
        codes = np.asarray(codes_unit, dtype=np.float64)
        people = codes.shape[0]
        mean = codes.mean(axis=0)
        _, singular, axes_t = np.linalg.svd(codes - mean, full_matrices=False)
        rank = int(np.count_nonzero(singular > 1e-6))
        if rank == 0:
            raise CodebookError(
                f"a codebook of {people} people with no two different codes has no nearest person"
            )
        kept = min(rank, max(2, people // _SAMPLES_PER_AXIS))
        variance = singular[:kept] ** 2 / people
        # Shrunk towards their mean: an axis of little variance is mostly noise and must not be blown up.
        scales = np.sqrt((1.0 - _SHRINKAGE) * variance + _SHRINKAGE * variance.mean())
        axes = axes_t[:kept].T
        projected = (codes - mean) @ axes / scales
        directions = projected / np.linalg.norm(projected, axis=1, keepdims=True)
        return cls(mean=mean, axes=axes, scales=scales, directions=directions)

    @property
    def dimension(self) -> int:
        return int(self.axes.shape[1])

    def direction(self, code_unit: npt.NDArray[np.floating]) -> Float64Array:
        """(r,) unit direction of a code (d,). Raises CodeError for a wrong shape or a code without
        direction.
        """
        code = unit_vector(np.asarray(code_unit, dtype=np.float64), self.mean.shape[0])
        return unit_vector((code - self.mean) @ self.axes / self.scales, self.dimension)

    def code(self, direction: Float64Array) -> Float64Array:
        """(d,) unit code whose direction is `direction` (r,): where the ray from the mean leaves the unit
        sphere.
        """
        ray = self.axes @ (unit_vector(direction, self.dimension) * self.scales)
        ray /= np.linalg.norm(ray)
        along = float(ray @ self.mean)
        length = -along + np.sqrt(along**2 + 1.0 - float(self.mean @ self.mean))
        return np.asarray(self.mean + length * ray, dtype=np.float64)

    def rank(self, direction: Float64Array, available: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """`available` indices ordered by falling cosine to `direction` (r,); equal cosines by rising
        index.
        """
        scores = self.directions[available] @ direction
        order: npt.NDArray[np.intp] = available[np.lexsort((available, -scores))]
        return order
