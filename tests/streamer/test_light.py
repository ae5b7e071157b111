"""The pulse does not cross with the light of the face; light itself does."""

from __future__ import annotations

import numpy as np

from engines.face.conditioning import GRID_LEVELS, cell_colours
from streamer.render.light import SteadyGrid

FRAMES_PER_SECOND, PULSE_HZ = 25, 1.2


def mean_grids(amplitude_grey: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour per frame of rounded and of steady grids of a still face with noise and a pulse."""
    generator = np.random.default_rng(1)
    face = np.zeros((128, 128), np.uint8)
    face[21:109, 31:97] = 1
    across = np.linspace(0.75, 1.1, 128)[None, :, None]
    skin = np.broadcast_to(np.array([0.72, 0.55, 0.45]) * across, (128, 128, 3))
    steady, rounded, held = SteadyGrid(), [], []
    for frame in range(200):
        beat = amplitude_grey / 255 * np.sin(2 * np.pi * PULSE_HZ * frame / FRAMES_PER_SECOND)
        noisy = skin + beat * np.array([0.5, 1.0, 0.6]) + generator.normal(0, 2 / 255, skin.shape)
        cells = cell_colours(noisy.astype(np.float32), face)
        rounded.append((np.round(cells * (GRID_LEVELS - 1)) / (GRID_LEVELS - 1)).mean(axis=(0, 1)))
        held.append(steady(cells).mean(axis=(0, 1)))
    return np.array(rounded), np.array(held)


def amplitude_grey(signal: np.ndarray) -> float:
    """Of the pulse in green."""
    time = np.arange(len(signal)) / FRAMES_PER_SECOND
    wave = np.exp(-2j * np.pi * PULSE_HZ * time)
    return float(2 * abs(((signal[:, 1] - signal[:, 1].mean()) * wave).mean()) * 255)


def test_the_pulse_stays_behind() -> None:
    rounded, held = mean_grids(0.5)
    assert amplitude_grey(rounded) > 0.2  # what rounding alone lets through
    assert amplitude_grey(held) < 0.01


def test_light_that_changes_crosses() -> None:
    steady = SteadyGrid()
    for brightness in np.linspace(0.3, 0.6, 30):
        out = steady(np.full((8, 8, 3), brightness, np.float32))
        assert np.abs(out - brightness).max() <= 0.9 / (GRID_LEVELS - 1)
