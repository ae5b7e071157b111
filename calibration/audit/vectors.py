"""Codes of pictures as arrays: what every attack starts from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


def unit_rows(embeddings: FloatArray) -> Float64Array:
    """(n, d) float64 rows of norm one. Raises ValueError for rows with no direction."""
    rows = np.asarray(embeddings, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    if rows.ndim != 2 or not np.all(np.isfinite(norms)) or np.any(norms < 1e-12):
        raise ValueError(f"embeddings must be (n, d) with a direction each, got {rows.shape = }")
    return np.asarray(rows / norms, dtype=np.float64)


def cosines(probes: FloatArray, gallery: FloatArray) -> Float64Array:
    """(p, g) cosines of probes (p, d) and gallery (g, d)."""
    return np.asarray(unit_rows(probes) @ unit_rows(gallery).T, dtype=np.float64)


class LinearMap:
    """Ridge regression from (n, d) to (n, e), with centring."""

    def __init__(self, inputs: Float64Array, outputs: Float64Array, strength: float = 1e-2) -> None:
        self._input_mean, self._output_mean = inputs.mean(axis=0), outputs.mean(axis=0)
        centred = inputs - self._input_mean
        gram = centred.T @ centred
        penalty = strength * float(np.trace(gram)) / len(gram) + 1e-9
        self._weights = np.linalg.solve(
            gram + penalty * np.eye(len(gram)), centred.T @ (outputs - self._output_mean)
        )

    def __call__(self, inputs: Float64Array) -> Float64Array:
        outputs: Float64Array = (inputs - self._input_mean) @ self._weights + self._output_mean
        return outputs
