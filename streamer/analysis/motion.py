"""Where a face will be: a Kalman filter of constant velocity in units of the face's own size.

A face of 20 px and one of 400 px move alike when measured in face widths, and a camera of 5 frames a second
sees the same walk as one of 60; so noise is stated in widths and seconds and not in pixels and frames.
"""

from __future__ import annotations

import math

import numpy as np

from streamer.analysis.boxes import BoxArray, Float64Array, centre, from_centre, sides

_MEASUREMENT_WIDTHS = 0.06
_FIRST_SPEED_WIDTHS_PER_SECOND = 2.5
_ACCELERATION_PSD = 12.0  # widths^2 / s^3: a head can change its pace by about 3 widths/s within a second
_SIZE_BLEND = 0.5
_LONGEST_STEP_SECONDS = 1.0


class FaceMotion:
    """Place, velocity and size of one face.

    Attributes:
        centre_xy_px, velocity_xy_px: (2,) float64, px and px per second.
        sides_px: (2,) float64.
        last_centre_xy_px: (2,) float64, middle of the last detection.
    """

    def __init__(self, box_xyxy_px: BoxArray) -> None:
        self.centre_xy_px: Float64Array = centre(box_xyxy_px)
        self.velocity_xy_px: Float64Array = np.zeros(2)
        self.sides_px: Float64Array = sides(box_xyxy_px)
        self.last_centre_xy_px: Float64Array = self.centre_xy_px.copy()
        # One 2x2 covariance for both axes: their noise is the same by construction.
        self._covariance: Float64Array = np.diag([_MEASUREMENT_WIDTHS**2, _FIRST_SPEED_WIDTHS_PER_SECOND**2])

    @property
    def size_px(self) -> float:
        return math.sqrt(max(float(self.sides_px.prod()), 1.0))

    @property
    def spread_widths(self) -> float:
        """Standard deviation of the place, in face widths."""
        return math.sqrt(float(self._covariance[0, 0]))

    @property
    def box_xyxy_px(self) -> Float64Array:
        return from_centre(self.centre_xy_px, self.sides_px)

    def predict(self, step_seconds: float) -> None:
        """Move on by `step_seconds` (at most 1 s is believed)."""
        step = min(max(step_seconds, 0.0), _LONGEST_STEP_SECONDS)
        self.centre_xy_px = self.centre_xy_px + step * self.velocity_xy_px
        forward = np.array([[1.0, step], [0.0, 1.0]])
        noise = _ACCELERATION_PSD * np.array([[step**3 / 3.0, step**2 / 2.0], [step**2 / 2.0, step]])
        self._covariance = forward @ self._covariance @ forward.T + noise

    def correct(self, box_xyxy_px: BoxArray) -> None:
        """Take in a detection."""
        innovation = centre(box_xyxy_px) - self.centre_xy_px
        gain = self._covariance[:, 0] / (self._covariance[0, 0] + _MEASUREMENT_WIDTHS**2)
        self.centre_xy_px = self.centre_xy_px + gain[0] * innovation
        self.velocity_xy_px = self.velocity_xy_px + gain[1] * innovation
        self._covariance = (np.eye(2) - np.outer(gain, [1.0, 0.0])) @ self._covariance
        self.sides_px = self.sides_px + _SIZE_BLEND * (sides(box_xyxy_px) - self.sides_px)
        self.last_centre_xy_px = centre(box_xyxy_px)
