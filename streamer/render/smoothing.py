"""One-Euro filter over arrays (Casiez, Roussel, Vogel: "1 Euro Filter", CHI 2012)."""

from __future__ import annotations

import math

import numpy as np

from streamer.frame import Float64Array


class OneEuroFilter:
    """Low-pass filter whose cut-off rises with speed: still points do not shake, quick ones do not lag.

    Args:
        minimum_cutoff_hz: cut-off for points at rest.
        speed_coefficient: rise of the cut-off (Hz) per unit of speed (units of the values per second).
        derivative_cutoff_hz: cut-off of the speed estimate.
    """

    def __init__(
        self, *, minimum_cutoff_hz: float, speed_coefficient: float, derivative_cutoff_hz: float = 1.0
    ) -> None:
        self._minimum_cutoff_hz = minimum_cutoff_hz
        self._speed_coefficient = speed_coefficient
        self._derivative_cutoff_hz = derivative_cutoff_hz
        self._value: Float64Array | None = None
        self._speed: Float64Array | None = None
        self._time_seconds = 0.0

    def __call__(self, values: Float64Array, time_seconds: float) -> Float64Array:
        """Filter `values` (any shape, the same at every call) seen at `time_seconds`.

        Speed is taken over all the axes but the last as one group per point, so that the coordinates of one point
        share a cut-off and do not bend its path.
        """
        if self._value is None or self._speed is None:
            self._value, self._speed = values.copy(), np.zeros_like(values)
            self._time_seconds = time_seconds
            return np.array(self._value)
        step_seconds = time_seconds - self._time_seconds
        if step_seconds <= 0.0:
            return np.array(self._value)
        speed = (values - self._value) / step_seconds
        self._speed += _alpha(self._derivative_cutoff_hz, step_seconds) * (speed - self._speed)
        magnitude = np.linalg.norm(self._speed, axis=-1, keepdims=True)
        cutoff_hz = self._minimum_cutoff_hz + self._speed_coefficient * magnitude
        ratio = 2.0 * math.pi * cutoff_hz * step_seconds
        self._value = self._value + (ratio / (ratio + 1.0)) * (values - self._value)
        self._time_seconds = time_seconds
        return np.array(self._value)


def _alpha(cutoff_hz: float, step_seconds: float) -> float:
    ratio = 2.0 * math.pi * cutoff_hz * step_seconds
    return ratio / (ratio + 1.0)
