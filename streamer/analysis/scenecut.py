"""Hard cuts between shots, found on a picture of a few thousand pixels.

Two pictures of one shot can be laid over each other block by block: content moves (people, camera), gets
brighter or darker (flash, exposure), but stays itself. Across a cut it does not. So the measure is how well
blocks of the new picture are found again *near their place* in an earlier one, by normalised
cross-correlation, which is blind to gain and offset; block matching makes it blind to pans. Plain frame
differences and histograms, alone, take a flash or a fast pan for a cut; they serve only as a cheap gate here.
Motive and measures: Boreczky and Rowe, "Comparison of video shot boundary detection techniques", 1996.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from streamer.frame import UInt8Array

Float32Array = npt.NDArray[np.float32]

_WIDTH_PX, _HEIGHT_PX = 64, 36
_BLOCK_WIDTH_PX, _BLOCK_HEIGHT_PX = 16, 12
_REACH_PX = 8
_FLAT_DEVIATION = 4.0
_HISTOGRAM_BINS = 16
_CHROMA_SHARE = 0.35


class SceneCutDetector:
    """Says, frame by frame, whether a new shot begins.

    A nearly uniform picture (a white flash, black between two shots) has nothing to compare and is never
    called a cut itself; the first picture with content after it is compared with the last one before it.

    Args:
        minimum_change: changes below this (0 same, 1 nothing in common) are never a cut.
        rise: a cut must also exceed the shot's own recent changes by this factor, so that a shaking camera or
            confetti does not cut on every frame.
        memory: number of earlier pictures a new one may resemble; more than one forgives a flash or a torn
            frame.
    """

    def __init__(self, *, minimum_change: float = 0.33, rise: float = 2.0, memory: int = 3) -> None:
        if not 0.0 < minimum_change < 1.0 or rise < 1.0 or memory < 1:
            raise ValueError(
                f"need 0 < minimum_change < 1, rise >= 1, memory >= 1: {minimum_change=} {rise=} {memory=}"
            )
        self._minimum_change = minimum_change
        self._rise = rise
        self._earlier: deque[UInt8Array] = deque(maxlen=memory)
        self._usual_change = 0.0
        self.last_change = 0.0

    def reset(self) -> None:
        """Forget the past: the next picture begins a shot that nobody needs to be told of."""
        self._earlier.clear()
        self._usual_change = self.last_change = 0.0

    def is_cut(self, picture_rgb_u8: UInt8Array) -> bool:
        """True when `picture_rgb_u8` (H, W, 3) does not continue the pictures before it."""
        small = _shrink(picture_rgb_u8)
        if float(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).std()) < _FLAT_DEVIATION:
            self.last_change = 0.0
            return False
        if not self._earlier:
            self._earlier.append(small)
            return False
        limit = max(self._minimum_change, self._rise * self._usual_change)
        change = 1.0
        for earlier in reversed(self._earlier):
            change = min(change, _change(small, earlier))
            if change <= limit:
                break
        self.last_change = change
        cut = change > limit
        if cut:
            self._earlier.clear()
            self._usual_change = 0.0
        else:
            self._usual_change += 0.2 * (change - self._usual_change)
        self._earlier.append(small)
        return cut


def _shrink(picture_rgb_u8: UInt8Array) -> UInt8Array:
    """(H, W, 3) to a small RGB picture of about 64x36 px, upright pictures turned on their side's size."""
    height, width = picture_rgb_u8.shape[:2]
    size = (_WIDTH_PX, _HEIGHT_PX) if width >= height else (_HEIGHT_PX, _WIDTH_PX)
    return np.asarray(cv2.resize(picture_rgb_u8, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _change(new_rgb_u8: UInt8Array, old_rgb_u8: UInt8Array) -> float:
    """0 where the pictures show the same, towards 1 where they have nothing in common."""
    if new_rgb_u8.shape != old_rgb_u8.shape:
        return 1.0
    if float(np.abs(new_rgb_u8.astype(np.int16) - old_rgb_u8).mean()) < 4.0:
        return 0.0
    return _lost_blocks(new_rgb_u8, old_rgb_u8) + _CHROMA_SHARE * _chroma_distance(new_rgb_u8, old_rgb_u8)


def _chroma_distance(new_rgb_u8: UInt8Array, old_rgb_u8: UInt8Array) -> float:
    """Half the L1 distance of the Cb-Cr histograms, 0..1; neither a flash nor a pan changes them much."""
    histograms = []
    for picture in (new_rgb_u8, old_rgb_u8):
        chroma = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
        counts = cv2.calcHist([chroma], [1, 2], None, [_HISTOGRAM_BINS] * 2, [64, 192, 64, 192])
        histograms.append(cv2.GaussianBlur(counts, (3, 3), 0) / max(1.0, float(counts.sum())))
    return 0.5 * float(np.abs(histograms[0] - histograms[1]).sum())


def _lost_blocks(new_rgb_u8: UInt8Array, old_rgb_u8: UInt8Array) -> float:
    """Mean over the blocks, weighted by their contrast, of 1 - best correlation within reach."""
    new = cv2.cvtColor(new_rgb_u8, cv2.COLOR_RGB2GRAY)
    old = cv2.cvtColor(old_rgb_u8, cv2.COLOR_RGB2GRAY)
    height, width = new.shape
    total, weights = 0.0, 0.0
    for top in range(0, height - _BLOCK_HEIGHT_PX + 1, _BLOCK_HEIGHT_PX):
        for left in range(0, width - _BLOCK_WIDTH_PX + 1, _BLOCK_WIDTH_PX):
            block = new[top : top + _BLOCK_HEIGHT_PX, left : left + _BLOCK_WIDTH_PX]
            weight = min(float(block.std()), 30.0)
            if weight < 2.0:
                continue
            window = old[
                max(0, top - _REACH_PX) : top + _BLOCK_HEIGHT_PX + _REACH_PX,
                max(0, left - _REACH_PX) : left + _BLOCK_WIDTH_PX + _REACH_PX,
            ]
            best = float(cv2.matchTemplate(window, block, cv2.TM_CCOEFF_NORMED).max())
            total += weight * (1.0 - min(1.0, max(0.0, best)))
            weights += weight
    return total / weights if weights else 1.0
