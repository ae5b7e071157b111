"""Protects: gaze crosses relative to the track's own middle, in steps, not with noise or the head's turn."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.render.gaze import LARGEST, STEP, GazeState


def run(places: np.ndarray, yaw: float = 0.0) -> list[float]:
    state = GazeState()
    return [state.step(np.asarray(place, dtype=np.float64), yaw) for place in places]


def test_a_look_aside_and_back() -> None:
    places = np.tile([0.05, -0.03], (60, 1))
    places[30:36] += 0.1
    shown = run(places)
    assert set(shown[:30]) == {0.0}
    assert shown[33] == pytest.approx(0.1, abs=STEP)
    assert shown[45] == 0.0


def test_noise_is_not_shown_and_steps_are_few() -> None:
    rng = np.random.default_rng(0)
    shown = run(rng.normal(0, 0.008, (100, 2)))
    assert np.mean(np.array(shown) == 0.0) > 0.95
    wild = run(rng.normal(0, 0.3, (100, 2)))
    assert np.abs(wild).max() <= LARGEST
    assert np.allclose(np.round(np.array(wild) / STEP) * STEP, wild)


def test_one_eye_at_a_time_is_enough() -> None:
    places = np.zeros((80, 2))
    places[50:] += 0.08
    places[::2, 0], places[1::2, 1] = np.nan, np.nan
    assert run(places)[54] == pytest.approx(0.08, abs=STEP)


def test_a_turned_head_looks_ahead() -> None:
    places = np.zeros((40, 2))
    places[20:] += 0.12
    assert run(places, yaw=0.8)[-1] == 0.0


def test_the_first_readings_show_nothing() -> None:
    assert run(np.full((5, 2), 0.1)) == [0.0] * 5
