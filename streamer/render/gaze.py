"""Where the real eyes look, as one number in a few steps: how far the irises are from where this track's mostly are.

Sideways only: up and down the lids follow the eye, and the mesh follows the lids. Relative to the track's own middle,
so that neither the shape of the eyes nor a squint crosses.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from streamer.frame import Float64Array

# In eye widths.
STEP, STILL, LARGEST = 0.02, 0.02, 0.22
MEMORY_READINGS = 150
# With fewer readings than this the middle is not known well enough.
LEAST_READINGS = 8
# Beyond this yaw the irises of the eyes are foreshortened, and their places tell the head's turn.
LARGEST_YAW_RADIANS = 0.45
# Part of a new reading that is believed at once; a saccade is over within two frames.
_SHARE = 0.6


class GazeState:
    """Follows one track's gaze."""

    def __init__(self) -> None:
        self._seen: tuple[deque[float], ...] = (deque(maxlen=MEMORY_READINGS), deque(maxlen=MEMORY_READINGS))
        self._value = 0.0

    def step(self, iris_places: Float64Array, yaw_radians: float) -> float:
        """Eye widths by which the irises are to be moved to the right of the picture, in steps of `STEP`.

        Args:
            iris_places: (2,) how far right of the middle between the corners the iris of the left and the right eye is,
                in eye widths; NaN for an eye that was not read.
        """
        relative = []
        for place, seen in zip(iris_places, self._seen, strict=True):
            if not np.isfinite(place) or abs(yaw_radians) > LARGEST_YAW_RADIANS:
                continue
            seen.append(float(place))
            if len(seen) >= LEAST_READINGS:
                relative.append(float(place) - float(np.median(seen)))
        if relative:
            self._value += _SHARE * (float(np.mean(relative)) - self._value)
        elif abs(yaw_radians) > LARGEST_YAW_RADIANS:
            self._value *= 1.0 - _SHARE
        if abs(self._value) < STILL:
            return 0.0
        return float(np.clip(np.round(self._value / STEP) * STEP, -LARGEST, LARGEST))
