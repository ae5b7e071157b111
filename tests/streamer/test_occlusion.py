"""Protects: what is no skin does not colour the face, light does, and nothing depends on the skin's tone."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.render.occlusion import SkinGrid

TONES = [(0.85, 0.66, 0.56), (0.55, 0.38, 0.28), (0.24, 0.16, 0.12)]


def face(tone: tuple[float, float, float]) -> np.ndarray:
    """(8, 8, 3): a face lit from the left, twice as bright there as on the right."""
    light = np.geomspace(1.4, 0.7, 8)[None, :, None]
    return np.clip(np.array(tone) * light * np.ones((8, 1, 1)), 0, 1).astype(np.float32)


@pytest.mark.parametrize("tone", TONES)
def test_light_and_shade_are_left_alone(tone: tuple[float, float, float]) -> None:
    grid = face(tone)
    np.testing.assert_array_equal(SkinGrid()(grid), grid)


@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("cloth", [(0.35, 0.55, 0.8), (0.1, 0.5, 0.2), (0.02, 0.02, 0.02)])
def test_a_mask_gives_no_coloured_chin(
    tone: tuple[float, float, float], cloth: tuple[float, float, float]
) -> None:
    if min(tone) < 0.2 and max(cloth) < 0.1:
        pytest.skip("a black mask on dark skin is a shade of it")
    bare = face(tone)
    masked = bare.copy()
    masked[4:] = cloth
    shown = SkinGrid()(masked)
    before, after = (np.abs(grid - bare)[4:, 2:6].mean() for grid in (masked, shown))
    assert after < 0.45 * before
    np.testing.assert_allclose(shown[:3], bare[:3], atol=0.05)


def test_a_mask_put_on_later_changes_nothing_for_long() -> None:
    skin = SkinGrid()
    bare = face(TONES[0])
    masked = bare.copy()
    masked[4:] = (0.35, 0.55, 0.8)
    for _ in range(10):
        skin(bare)
    for _ in range(200):
        shown = skin(masked)
    assert np.abs(shown - bare)[4:, 2:6].mean() < 0.45 * np.abs(masked - bare)[4:, 2:6].mean()


def test_other_light_is_taken_over_at_once() -> None:
    skin = SkinGrid()
    for _ in range(50):
        skin(face(TONES[0]))
    blue_light = face((0.2, 0.3, 0.8))
    np.testing.assert_allclose(skin(blue_light), blue_light, atol=0.02)


def test_black_is_no_trouble() -> None:
    assert np.isfinite(SkinGrid()(np.zeros((8, 8, 3), np.float32))).all()
