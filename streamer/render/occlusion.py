"""Keeps what stands before a face out of its colours: a mask, a microphone, a fringe is no light on the skin.

The synthetic face is always shown whole, and what covered the real one ends at the hole. Its colours come from a coarse
grid of the real face, though, and a blue mask would give a blue chin. Cells that are unlike the track's own skin are
told from it by their chromaticity, which light changes little, and by great steps of brightness; they take the colours
of the cells around them.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamer.frame import Float32Array, Float64Array

# Distance in log chromaticity from the track's skin at which a cell begins to be doubted, and is no longer believed.
# Shade, blush and lamps of two colours stay below .2; cloth and plastic begin at about .4.
CHROMA_DOUBT, CHROMA_REFUSE = 0.22, 0.45
# The same in log brightness. Lit and shaded halves of a face differ by up to a factor of three.
BRIGHTNESS_DOUBT, BRIGHTNESS_REFUSE = 1.0, 1.6
# Share by which a new frame moves what the track's skin is thought to be. Slow: a hand must not become the face.
_MEMORY_SHARE = 0.04
# Where skin is looked for, rows then columns of the 8x8 grid: below a fringe, and mostly above a mask.
_SKIN_CELLS = np.s_[2:5, 2:6]
# When less of these cells is believed, the light has changed and not the face.
_BELIEF_LEAST = 0.3
_SPREAD_CELLS = 1.2
_DARK = 0.02


class SkinGrid:
    """The colour grid of one track, without what is no skin."""

    def __init__(self) -> None:
        self._skin: Float64Array | None = None

    def __call__(self, grid_rgb: Float32Array) -> Float32Array:
        """(8, 8, 3) float32 in 0..1 of steady colours (`streamer.render.light`), and the same."""
        described = _described(grid_rgb)
        skin_now = np.median(described[_SKIN_CELLS].reshape(-1, 3), axis=0)
        if self._skin is None:
            self._skin = skin_now
        belief = _belief(described, self._skin)
        if belief[_SKIN_CELLS].mean() < _BELIEF_LEAST:
            self._skin = skin_now
            belief = _belief(described, self._skin)
        self._skin = self._skin + _MEMORY_SHARE * (skin_now - self._skin)
        if belief.min() > 0.99:
            return grid_rgb
        mean = (grid_rgb * belief[..., None]).sum(axis=(0, 1)) / max(float(belief.sum()), 1e-6)
        total = cv2.GaussianBlur(grid_rgb * belief[..., None], (0, 0), _SPREAD_CELLS)
        share = cv2.GaussianBlur(belief, (0, 0), _SPREAD_CELLS)
        # A faint pull to the mean decides the cells that no believed one is near.
        around = (total + 1e-2 * mean) / (share[..., None] + 1e-2)
        return np.asarray(grid_rgb * belief[..., None] + around * (1.0 - belief[..., None]), dtype=np.float32)


def _described(grid_rgb: Float32Array) -> Float64Array:
    """(8, 8, 3): log of red and of blue over green, and log brightness."""
    logs = np.log(grid_rgb.astype(np.float64) + _DARK)
    return np.stack([logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1], logs.mean(axis=-1)], axis=-1)


def _belief(described: Float64Array, skin: Float64Array) -> Float32Array:
    """(8, 8) in 0..1: how much each cell is taken for skin."""
    away = described - skin
    chroma = np.hypot(away[..., 0], away[..., 1])
    doubts = (
        (chroma - CHROMA_DOUBT) / (CHROMA_REFUSE - CHROMA_DOUBT),
        (np.abs(away[..., 2]) - BRIGHTNESS_DOUBT) / (BRIGHTNESS_REFUSE - BRIGHTNESS_DOUBT),
    )
    return np.asarray(1.0 - np.clip(np.maximum(*doubts), 0.0, 1.0), dtype=np.float32)
