"""Light of a track as it crosses to the synthetic person: in steps that the pulse does not reach.

Rounding alone does not keep the pulse out. Noise and the gradient of light over the face dither it, and the mean over
the cells follows changes far below one step (measured: .41 of .63 grey levels). Here a cell changes its step only when
it has left it by most of another one.
"""

from __future__ import annotations

import numpy as np

from engines.face.conditioning import GRID_LEVELS
from streamer.frame import Float32Array, Float64Array

# In steps. Rounding alone would be .5; the rest is far more than noise and pulse of a cell together (about .15).
_HOLD_STEPS = 0.9


class SteadyGrid:
    """Rounds the colour grid of one track to its levels, with hysteresis in every cell."""

    def __init__(self) -> None:
        self._steps: Float64Array | None = None

    def __call__(self, cells_f32: Float32Array) -> Float32Array:
        """(8, 8, 3) colours in 0..1, not rounded, to (8, 8, 3) float32 on the grid's levels."""
        exact = cells_f32.astype(np.float64) * (GRID_LEVELS - 1)
        if self._steps is None:
            self._steps = np.round(exact)
        self._steps = np.where(np.abs(exact - self._steps) > _HOLD_STEPS, np.round(exact), self._steps)
        return np.asarray(self._steps / (GRID_LEVELS - 1), dtype=np.float32)
