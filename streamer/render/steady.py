"""What the decoder paints, kept from trembling: landmarks that shake by a fraction of a pixel make it paint anew.

Small differences between frames are taken up slowly, large ones at once, so that a mouth opens when it opens. All is in
the crop, which moves with the head.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from streamer.frame import Float32Array

# How fast a small difference is taken up.
SETTLE_SECONDS = 0.2
# A picture of a track from longer ago says nothing of this one.
FORGET_SECONDS = 0.4
# Differences (0..1, mean of a few px) up to the first are trembling, from the second on they are motion.
TREMBLE, MOTION = 0.05, 0.16
_NEAR_PX = 5
# The same of the fields, whose gain is a logarithm.
_FIELD_TREMBLE, _FIELD_MOTION = 0.05, 0.25


class SteadyOutput:
    """Smooths the decoder's outputs for one track over time. Keeps nothing but what was painted."""

    def __init__(self) -> None:
        self._painted: Float32Array | None = None
        self._fields: Float32Array | None = None
        self._seconds = 0.0

    def __call__(
        self, fields: Float32Array, mask: Float32Array, fill: Float32Array, seconds: float
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Fields (6, 16, 16), mask (1, 128, 128) and fill (3, 128, 128) of the frame at ``seconds``, smoothed."""
        passed, self._seconds = seconds - self._seconds, seconds
        painted = np.concatenate([mask, fill])
        if self._painted is None or self._fields is None or not 0.0 < passed < FORGET_SECONDS:
            self._painted, self._fields = painted, fields.copy()
            return fields, mask, fill
        least = 1.0 - math.exp(-passed / SETTLE_SECONDS)
        difference = painted - self._painted
        large = cv2.blur(np.abs(difference).max(axis=0), (_NEAR_PX, _NEAR_PX))
        self._painted = self._painted + _share(large, TREMBLE, MOTION, least) * difference
        change = fields - self._fields
        moved = np.abs(change).max(axis=0)
        self._fields = self._fields + _share(moved, _FIELD_TREMBLE, _FIELD_MOTION, least) * change
        return self._fields, self._painted[:1], self._painted[1:]


def _share(
    change: npt.NDArray[np.floating] | cv2.Mat, tremble: float, motion: float, least: float
) -> Float32Array:
    """How much of a change is taken up."""
    known = np.clip((np.asarray(change) - tremble) / (motion - tremble), 0.0, 1.0)
    return np.asarray(least + (1.0 - least) * known, dtype=np.float32)
