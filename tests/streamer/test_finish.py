"""Protects: the face takes on the blur and grain of what surrounds it, of that alone, and repeatably."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamer.render.finish import MEASURE_EVERY_FRAMES, Look, TrackFinish, measure_look, outside_hole

SIDE = 160
EVERYTHING = np.ones((SIDE, SIDE), dtype=np.bool_)


def edges(blur_px: float = 0.0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """(160, 160) uint8: overlapping squares, blurred, with grain of this deviation (0..1)."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE * 4, SIDE * 4), 120.0, np.float32)
    for _ in range(30):
        x, y = rng.integers(0, SIDE * 4, 2)
        width, height = rng.integers(60, 240, 2)
        picture[y : y + height, x : x + width] = rng.integers(40, 210)
    picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if blur_px:
        picture = cv2.GaussianBlur(picture, (0, 0), blur_px)
    picture = picture + rng.standard_normal(picture.shape) * noise * 255.0
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def as_patch(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def look_of(patch: np.ndarray) -> Look:
    shown = patch if patch.dtype == np.uint8 else (patch * 255.0 + 0.5).astype(np.uint8)
    look = measure_look(shown[..., 1].copy(), EVERYTHING)
    assert look is not None
    return look


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.04])
def test_noise_is_measured_among_edges(noise: float) -> None:
    look = measure_look(edges(noise=noise), EVERYTHING)
    assert look is not None
    assert look.noise == pytest.approx(noise, rel=0.25)


@pytest.mark.parametrize("blur_px", [0.8, 1.4, 2.2])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_blur_is_measured_from_edges(blur_px: float, noise: float) -> None:
    look = measure_look(edges(blur_px, noise), EVERYTHING)
    assert look is not None
    assert look.blur_px == pytest.approx(blur_px, abs=0.35)


def test_a_plain_wall_tells_nothing_of_blur_and_too_little_tells_nothing() -> None:
    wall = measure_look(np.full((SIDE, SIDE), 130, np.uint8), EVERYTHING)
    assert wall is not None
    assert wall.blur_px is None
    assert wall.noise < 1e-6
    corner = np.zeros((SIDE, SIDE), dtype=np.bool_)
    corner[:10, :10] = True
    assert measure_look(edges(), corner) is None


def test_what_is_in_the_hole_decides_nothing() -> None:
    known = EVERYTHING.copy()
    known[40:120, 40:120] = False
    first = edges(1.0, 0.01)
    second = first.copy()
    second[40:120, 40:120] = np.random.default_rng(1).integers(0, 255, (80, 80))
    assert measure_look(first, known) == measure_look(second, known)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_crisp_face_in_a_soft_and_grainy_picture_becomes_soft_and_grainy(dtype: type) -> None:
    patch = as_patch(edges(seed=5))
    patch = patch if dtype is np.uint8 else (patch / np.float32(255.0)).astype(np.float32)
    finish = TrackFinish()
    assert finish.is_due(0)
    finish.measure(0, edges(2.4), EVERYTHING, patch, 1.0)
    made = finish.apply(patch, 0)
    assert made.shape == patch.shape
    assert made.dtype == dtype
    before, after = look_of(patch), look_of(made)
    assert before.blur_px is not None
    assert after.blur_px is not None
    assert before.blur_px + 0.7 < after.blur_px < 2.6  # writing into the planes blurs, too
    grainy = TrackFinish()
    grainy.measure(0, edges(0.0, 0.02), EVERYTHING, patch, 1.0)
    # More than asked for: writing into the planes takes a part away.
    assert 0.02 < look_of(grainy.apply(patch, 0)).noise < 0.04


def test_a_soft_face_in_a_crisp_clean_picture_is_left_alone() -> None:
    patch = as_patch(edges(1.5, seed=5))
    finish = TrackFinish()
    finish.measure(0, edges(), EVERYTHING, patch, 1.0)
    np.testing.assert_array_equal(finish.apply(patch, 0), patch)


def test_grain_differs_from_frame_to_frame_and_is_repeatable() -> None:
    patch, finish = as_patch(edges(seed=5)), TrackFinish()
    finish.measure(0, edges(0.0, 0.02), EVERYTHING, patch, 1.0)
    first, again, later = (finish.apply(patch, index) for index in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - later.astype(int)).mean() > 1.0
    assert np.ptp(first.astype(int) - patch.astype(int), axis=2).max() <= 1  # grain is grey


def test_surroundings_are_measured_now_and_then() -> None:
    finish, patch = TrackFinish(), as_patch(edges())
    finish.measure(10, edges(), EVERYTHING, patch, 1.0)
    assert not finish.is_due(11)
    assert finish.is_due(10 + MEASURE_EVERY_FRAMES)


def test_nothing_measured_changes_nothing() -> None:
    patch = as_patch(edges())
    np.testing.assert_array_equal(TrackFinish().apply(patch, 0), patch)


def test_the_hole_is_found_in_the_region_however_it_lies() -> None:
    hole = np.zeros((128, 128), np.uint8)
    hole[40:80, 50:70] = 1
    region_from_crop = np.array([[2.0, 0.0, 10.0], [0.0, 2.0, -20.0]])
    known = outside_hole((200, 300), region_from_crop, hole)
    assert known.shape == (200, 300)
    assert not known[60:138, 112:148].any()
    assert known[:58].all()
    assert known[:, 152:].all()
