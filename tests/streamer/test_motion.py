"""Motion transfer: pose and expression cross, the real face's static shape does not."""

from __future__ import annotations

import numpy as np
import pytest

from engines.face.pose import Similarity3D, head_pose
from engines.face.topology import EYE_LEFT, LIPS_INNER, OVAL, POINT_COUNT, canonical_mesh
from streamer.render.motion import (
    PersonShape,
    TrackMotion,
    _mouth_opening_basis,
    _smile_basis,
    clear_of_lashes,
)
from streamer.render.smoothing import OneEuroFilter

FPS = 25.0


def _turn(yaw: float, pitch: float = 0.0) -> np.ndarray:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return about_y @ about_x


def _posed(shape: np.ndarray, yaw: float = 0.0, scale: float = 60.0) -> np.ndarray:
    return Similarity3D(scale, _turn(yaw), np.array([200.0, 150.0, 0.0])).apply(shape).astype(np.float32)


def _another_shape(seed: int) -> np.ndarray:
    """A face of other proportions: smooth random scaling of the mean face."""
    rng = np.random.default_rng(seed)
    mean_face = canonical_mesh()
    return mean_face * (1.0 + 0.08 * rng.standard_normal(3)) + 0.03 * np.sin(mean_face * rng.uniform(1, 3, 3))


def _person() -> PersonShape:
    return PersonShape(_posed(_another_shape(7), scale=75.0))


def _run(meshes: list[np.ndarray], person: PersonShape) -> np.ndarray:
    motion, last = TrackMotion(), None
    for number, mesh in enumerate(meshes):
        last = motion.step(person, mesh, number / FPS)
    assert last is not None
    return last.pose.image_from_canonical.inverse().apply(last.destination_xyz_px)


def _aligned(shape: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Scale and shift taken out: they follow the outline, which is in the picture anyway."""
    a, b = shape - shape.mean(axis=0), to - to.mean(axis=0)
    return a * ((a * b).sum() / (a * a).sum())


def test_a_still_face_shows_the_person_s_own_shape_whoever_the_real_one_is() -> None:
    person = _person()
    shown = [_run([_posed(_another_shape(seed))] * 30, person) for seed in (1, 2)]
    own = person.canonical - person.canonical.mean(axis=0)
    for result in shown:
        assert np.abs(_aligned(result, own) - own)[:, :2].max() < 0.06
    assert np.abs(_aligned(shown[0], own) - _aligned(shown[1], own))[:, :2].mean() < 0.01


def test_the_person_s_outline_comes_near_the_real_one() -> None:
    person, real = _person(), _another_shape(1)
    real[OVAL, :2] *= 1.12
    shown = _run([_posed(real)] * 10, person)
    width = lambda s: np.ptp(s[OVAL, 0])  # noqa: E731
    assert abs(width(shown) / width(real) - 1) < abs(width(person.canonical) / width(real) - 1)


def test_head_turn_is_followed() -> None:
    person, shape = _person(), _another_shape(3)
    motion = TrackMotion()
    for number, yaw in enumerate(np.linspace(0.0, 0.5, 25)):
        step = motion.step(person, _posed(shape, yaw), number / FPS)
    assert head_pose(step.destination_xyz_px).yaw_radians == pytest.approx(
        head_pose(_posed(shape, 0.5)).yaw_radians, abs=0.05
    )


def test_open_mouth_opens_the_person_s_mouth_even_when_the_track_begins_with_it() -> None:
    person, shape = _person(), _another_shape(4)
    opened = shape + 0.3 * _mouth_opening_basis()
    gap = lambda s: s[14, 1] - s[13, 1]  # noqa: E731
    shown = _run([_posed(opened)] * 5, person)
    assert gap(shown) - gap(person.canonical) == pytest.approx(gap(opened) - gap(shape), abs=0.06)


def test_a_shaking_camera_leaves_no_lag() -> None:
    person, shape = _person(), _another_shape(4)
    motion, late = TrackMotion(), []
    for number in range(60):
        mesh = _posed(shape) + np.array([18 * np.sin(2 * np.pi * 1.5 * number / FPS), 0, 0], np.float32)
        late.append(motion.step(person, mesh, number / FPS).real_xyz_px[0, 0] - mesh[0, 0])
    assert np.abs(late[20:]).mean() < 0.025 * 60


def test_speech_is_followed_at_its_speed() -> None:
    person, shape = _person(), _another_shape(4)
    motion = TrackMotion()
    given, shown = [], []
    for number in range(60):
        opening = 0.06 * (1.0 - np.cos(2 * np.pi * 4.0 * number / FPS))
        moved = motion.step(person, _posed(shape + opening * _mouth_opening_basis()), number / FPS)
        lips = moved.pose.image_from_canonical.inverse().apply(moved.destination_xyz_px)
        given.append(opening)
        shown.append(lips[14, 1] - lips[13, 1])
    assert np.std(shown[20:]) > 0.65 * np.std(given[20:])
    assert max(np.corrcoef(given[20 : 60 - lag], shown[20 + lag :])[0, 1] for lag in (0, 1)) > 0.9


def _mouth_width(shape: np.ndarray) -> float:
    return float(np.linalg.norm(shape[291] - shape[61]))


def test_who_comes_in_smiling_is_shown_smiling_and_at_rest_afterwards() -> None:
    person, shape = _person(), _another_shape(4)
    smiling = shape + 1.2 * _smile_basis()
    rest = _mouth_width(_run([_posed(shape)] * 30, person))
    at_first = _mouth_width(_run([_posed(smiling)] * 3, person))
    wider = 1.2 * _mouth_width(_smile_basis() + canonical_mesh()) - 1.2 * _mouth_width(canonical_mesh())
    assert at_first - rest > 0.5 * wider
    afterwards = _mouth_width(_run([_posed(smiling)] * 60 + [_posed(shape)] * 40, person))
    assert afterwards - rest > -0.2 * wider


def test_a_long_smile_does_not_become_the_new_rest() -> None:
    person, shape = _person(), _another_shape(4)
    smiling = shape + 1.2 * _smile_basis()
    early = _mouth_width(_run([_posed(shape)] * 20 + [_posed(smiling)] * 5, person))
    late = _mouth_width(_run([_posed(shape)] * 20 + [_posed(smiling)] * 300, person))
    rest = _mouth_width(_run([_posed(shape)] * 20, person))
    assert late - rest > 0.5 * (early - rest)


def test_a_blink_closes_the_person_s_eyes() -> None:
    person, shape = _person(), _another_shape(5)
    closed = shape.copy()
    closed[EYE_LEFT, 1] = shape[EYE_LEFT, 1].mean()
    shown = _run([_posed(shape)] * 20 + [_posed(closed)] * 8, person)
    opening = shown[145, 1] - shown[159, 1]
    assert opening < 0.35 * person.lid_opening["left"]


def test_lids_that_shut_are_taken_from_further_out_and_open_ones_from_where_they_are() -> None:
    mesh = (canonical_mesh() * 80.0 + 128.0).astype(np.float32)
    assert np.array_equal(clear_of_lashes(mesh, (1.0, 1.0)), mesh)
    moved = clear_of_lashes(mesh, (0.0, 1.0)) - mesh
    upper, lower, corners = 159, 145, [33, 133]
    width = np.linalg.norm(mesh[133, :2] - mesh[33, :2])
    assert moved[upper, 1] == pytest.approx(-0.13 * width, rel=0.1)
    assert 0.0 < moved[lower, 1] < 0.05 * width
    assert not moved[corners].any()
    untouched = np.ones(len(mesh), bool)
    untouched[EYE_LEFT] = False
    assert not moved[untouched].any()
    half = clear_of_lashes(mesh, (0.5, 1.0)) - mesh
    assert half[upper] == pytest.approx(moved[upper] / 2, abs=1e-4)


def test_jitter_of_the_landmarks_is_damped() -> None:
    person, shape = _person(), _another_shape(6)
    rng = np.random.default_rng(0)
    motion, shown, given = TrackMotion(), [], []
    for number in range(60):
        mesh = _posed(shape) + rng.normal(0, 0.5, (POINT_COUNT, 3)).astype(np.float32)
        shown.append(motion.step(person, mesh, number / FPS).destination_xyz_px)
        given.append(mesh)
    spread = [np.std(np.array(meshes[10:]), axis=0).mean(axis=1) for meshes in (shown, given)]
    # The lips are let go more easily, or they would not follow speech.
    assert spread[0][OVAL].mean() < 0.5 * spread[1][OVAL].mean()
    assert spread[0][LIPS_INNER].mean() < 0.7 * spread[1][LIPS_INNER].mean()


def test_filter_keeps_up_with_fast_motion_and_ignores_repeated_times() -> None:
    one_euro = OneEuroFilter(minimum_cutoff_hz=1.0, speed_coefficient=5.0)
    for number in range(25):
        value = one_euro(np.array([[number * 1.0]]), number / FPS)
    assert abs(float(value[0, 0]) - 24.0) < 0.6
    assert one_euro(np.array([[100.0]]), 24 / FPS)[0, 0] == value[0, 0]


def test_a_mesh_that_is_not_finite_is_refused() -> None:
    mesh = _posed(_another_shape(1))
    mesh[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        TrackMotion().step(_person(), mesh, 0.0)
