"""Linear readouts: apparent attributes from recognition codes, and measures foretold from styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class LinearReadout:
    """``values = (x - centre) @ weight.T + offset``.

    Attributes:
        names: what each value is.
        centre: (D,), weight: (len(names), D), offset: (len(names),), all float32.
    """

    names: tuple[str, ...]
    centre: Float
    weight: Float
    offset: Float

    def __call__(self, x: Float) -> dict[str, Float]:
        """Values by name, each (N,) float32, for rows (N, D)."""
        values = (np.atleast_2d(x) - self.centre) @ self.weight.T + self.offset
        return {name: np.asarray(values[:, i], np.float32) for i, name in enumerate(self.names)}

    def save(self, path: Path) -> None:
        np.savez(path, names=np.array(self.names), centre=self.centre, weight=self.weight, offset=self.offset)

    @classmethod
    def load(cls, path: Path) -> LinearReadout:
        with np.load(path, allow_pickle=False) as archive:
            names = tuple(str(name) for name in archive["names"])
            return cls(names, archive["centre"], archive["weight"], archive["offset"])


def fit_readout(x: Float, targets: Mapping[str, Float], *, ridge: float = 0.1) -> LinearReadout:
    """Ridge regression of each target (N,) on rows (N, D) in their principal components.

    Args:
        ridge: penalty per sample, against components scaled to unit variance.
    """
    centre = x.mean(0)
    _, scale, basis = np.linalg.svd(x - centre, full_matrices=False)
    keep = scale > scale[0] * 0.02
    basis, deviation = basis[keep], scale[keep] / np.sqrt(len(x))
    white = (x - centre) @ basis.T / deviation
    wanted = np.stack([np.asarray(column, np.float64) for column in targets.values()], 1)
    offset = wanted.mean(0)
    gram = white.T @ white + ridge * len(x) * np.eye(len(deviation))
    solution = np.linalg.solve(gram, white.T @ (wanted - offset)).T
    parts = (centre, (solution / deviation) @ basis, offset)
    return LinearReadout(tuple(targets), *(np.asarray(part, np.float32) for part in parts))
