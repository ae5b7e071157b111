"""Whether anything has changed before the camera since the detector looked last."""

from __future__ import annotations

import cv2
import numpy as np

from streamer.frame import UInt8Array

BLOCK_PX = 8
# Mean difference of a block, in 8-bit levels. Noise of standard deviation 2 stays below in every block of a picture; a
# face of 8 px that differs from what was there by 12 levels does not.
STILL_LEVELS = 3.0


class StillnessGate:
    """Compares pictures with the last one that was looked at, block by block, so that slow changes add up."""

    def __init__(self) -> None:
        self._looked_at: UInt8Array | None = None

    def looked_at(self, picture_rgb_u8: UInt8Array) -> None:
        """The detector has seen this picture (H, W, 3). It is kept, not copied."""
        self._looked_at = picture_rgb_u8

    def forget(self) -> None:
        """Nothing counts as seen: after a failure, a cut, or a face."""
        self._looked_at = None

    def is_still(self, picture_rgb_u8: UInt8Array) -> bool:
        """True when no block of the picture differs from the one looked at."""
        known = self._looked_at
        if known is None or known.shape != picture_rgb_u8.shape:
            return False
        height, width = picture_rgb_u8.shape[:2]
        size = (-(-width // BLOCK_PX), -(-height // BLOCK_PX))
        # A border that fills no block is repeated, or OpenCV leaves its fast way.
        difference = cv2.copyMakeBorder(
            cv2.absdiff(picture_rgb_u8, known),
            0,
            size[1] * BLOCK_PX - height,
            0,
            size[0] * BLOCK_PX - width,
            cv2.BORDER_REPLICATE,
        )
        blocks = cv2.resize(difference, size, interpolation=cv2.INTER_AREA)
        return bool(np.asarray(blocks).mean(axis=2).max() < STILL_LEVELS)
