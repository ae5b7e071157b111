"""Blinks: read from the iris model, relative to the track's own open eyes."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from calibration.codebook import Codebook
from engines.face.gaze import turn_eyes
from engines.face.topology import EYE_LEFT, EYE_RIGHT
from engines.landmarks import IRIS_PATCH_PX, IrisLandmarks
from engines.zoo.registry import model_path
from streamer.frame import Frame, StreamGeometry
from streamer.planes import FaceRegion
from streamer.render.lids import EyeReader, LidState, _eye_patch


def _state(open_value: float = 0.32, frames: int = 30) -> LidState:
    state = LidState()
    for _ in range(frames):
        state.openness(np.array([open_value, open_value]), 0.0)
    return state


@pytest.mark.parametrize("open_value", [0.18, 0.25, 0.35])
def test_eyes_of_any_width_are_open_at_rest_and_shut_in_a_blink(open_value: float) -> None:
    state = _state(open_value)
    assert state.openness(np.array([open_value, open_value]), 0.0) == (1.0, 1.0)
    assert state.openness(np.array([0.45 * open_value, open_value]), 0.0) == (0.0, 1.0)
    half, _ = state.openness(np.array([0.75 * open_value, open_value]), 0.0)
    assert 0.2 < half < 0.8


def test_eyes_are_taken_for_open_in_the_first_frame_unless_they_are_plainly_shut() -> None:
    assert LidState().openness(np.array([0.2, 0.4]), 0.0) == (1.0, 1.0)
    assert LidState().openness(np.array([0.06, 0.06]), 0.0) == (0.0, 0.0)


def test_who_comes_in_blinking_does_not_open_the_eyes_before_they_are_open() -> None:
    state = LidState()
    blink = [
        state.openness(np.array([value, value]), 0.0)[0]
        for value in (0.06, 0.06, 0.05, 0.05, 0.04, 0.06, 0.09)
    ]
    assert blink == [0.0] * len(blink)
    opened = [state.openness(np.array([0.3, 0.3]), 0.0)[0] for _ in range(20)]
    assert opened == [1.0] * len(opened)
    assert state.openness(np.array([0.1, 0.1]), 0.0) == (0.0, 0.0)


def test_blinks_do_not_move_what_open_means() -> None:
    state = _state()
    for _ in range(20):
        for value in (0.32, 0.32, 0.32, 0.32, 0.1):
            state.openness(np.array([value, value]), 0.0)
    assert state.openness(np.array([0.32, 0.32]), 0.0) == (1.0, 1.0)


def test_the_far_eye_of_a_turned_head_follows_the_near_one() -> None:
    assert _state().openness(np.array([0.32, 0.05]), 0.6) == (1.0, 1.0)
    assert _state().openness(np.array([0.05, 0.32]), -0.6) == (1.0, 1.0)


def test_the_eyes_are_read_in_turn_and_blink_together() -> None:
    state = _state()
    assert state.wanted(0.0, 10.0) == (True, True), "nothing is known of a time long ago"
    asked = [state.wanted(0.0, 10.0 + 0.033 * step) for step in range(1, 5)]
    assert sorted(asked[:2]) == [(False, True), (True, False)]
    assert asked[:2] == asked[2:]
    shut, opened = 0.1, 0.32
    assert state.openness(np.array([shut, np.nan]), 0.0) == (0.0, 0.0)
    assert state.openness(np.array([np.nan, shut]), 0.0) == (0.0, 0.0)
    assert state.openness(np.array([opened, np.nan]), 0.0) == (0.5, 0.5)
    assert state.openness(np.array([np.nan, opened]), 0.0) == (1.0, 1.0)


def test_a_wink_is_shown_once_either_eye_was_seen_twice() -> None:
    state = _state()
    shown = [
        state.openness(np.array(pair), 0.0)
        for pair in [(0.1, np.nan), (np.nan, 0.32), (0.1, np.nan), (np.nan, 0.32), (0.1, np.nan)]
    ]
    assert shown[2:] == [(0.0, 1.0)] * 3


def test_of_a_turned_head_only_the_near_eye_is_read() -> None:
    state = _state()
    assert state.wanted(0.6, 10.0) == (True, False)
    assert state.wanted(-0.6, 10.03) == (False, True)
    assert state.openness(np.array([np.nan, 0.1]), -0.6) == (0.0, 0.0)


def test_at_a_low_frame_rate_both_eyes_are_read() -> None:
    state = _state()
    assert [state.wanted(0.0, 0.1 * step) for step in range(3)] == [(True, True)] * 3


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_eye_lies_level_in_the_middle_of_its_patch(mirrored: bool) -> None:
    corners = np.array([[100.0, 50.0], [140.0, 70.0]])
    first, last = (corners[1], corners[0]) if mirrored else (corners[0], corners[1])
    eye = np.tile((first + last) / 2, (16, 1))
    eye[0], eye[8] = first, last
    affine = _eye_patch(eye, mirrored=mirrored)
    placed = eye @ affine[:, :2].T + affine[:, 2]
    assert placed.mean(axis=0) == pytest.approx([(IRIS_PATCH_PX - 1) / 2] * 2)
    # The outer corner comes first and lies on the left in both, as the model was trained on one kind of eye.
    assert placed[0, 0] < placed[8, 0]
    assert placed[0, 1] == pytest.approx(placed[8, 1], abs=1e-6)


def test_painted_lids_are_read_as_shut() -> None:
    person = Codebook.load(model_path("codebook-v1")).person(0)
    pictures = [person.appearance_rgb_u8, person.appearance_rgb_u8.copy()]
    skin = tuple(int(v) for v in np.median(person.appearance_rgb_u8[120:160, 110:146].reshape(-1, 3), axis=0))
    for indices in (EYE_LEFT, EYE_RIGHT):
        points = person.mesh_xyz_px[indices, :2]
        centre, half = points.mean(axis=0), np.ptp(points, axis=0) / 2 * 1.25
        axes = (int(half[0]), int(half[1] + 2))
        middle = (int(centre[0]), int(centre[1]))
        cv2.ellipse(pictures[1], middle, axes, 0, 0, 360, skin, -1)
        cv2.ellipse(pictures[1], (middle[0], middle[1] + axes[1] // 3), axes, 0, 20, 160, (40, 25, 20), 2)
    reader = EyeReader(IrisLandmarks.open())
    readings = []
    for picture in pictures:
        video = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = Frame(0, 0, Fraction(1, 25), video, StreamGeometry(256, 256))
        region = FaceRegion(frame, np.array([0.0, 0.0, 255.0, 255.0]), 1.0)
        openings = reader.read([region], [person.mesh_xyz_px], [(True, True)])[0].openings
        readings.append(openings.mean())
    assert readings[0] > 0.2
    assert readings[1] < 0.8 * readings[0]


@pytest.mark.parametrize("shift", [-0.15, 0.15])
def test_eyes_that_look_aside_are_read_so(shift: float) -> None:
    person = Codebook.load(model_path("codebook-v1")).person(0)
    reader = EyeReader(IrisLandmarks.open())
    places = []
    for asked in (0.0, shift):
        field = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).astype(np.float32)
        turn_eyes(field, person.mesh_xyz_px, person.mesh_xyz_px, asked)
        picture = cv2.remap(person.appearance_rgb_u8, field[..., 0], field[..., 1], cv2.INTER_LINEAR)
        video = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = Frame(0, 0, Fraction(1, 25), video, StreamGeometry(256, 256))
        region = FaceRegion(frame, np.array([0.0, 0.0, 255.0, 255.0]), 1.0)
        places.append(reader.read([region], [person.mesh_xyz_px], [(True, True)])[0].iris_places)
    moved = places[1] - places[0]
    assert (np.sign(moved) == np.sign(shift)).all()
    assert (np.abs(moved) > 0.03).all()


def test_an_eye_that_is_not_wanted_is_not_read() -> None:
    person = Codebook.load(model_path("codebook-v1")).person(0)
    video = av.VideoFrame.from_ndarray(np.ascontiguousarray(person.appearance_rgb_u8), format="rgb24")
    frame = Frame(0, 0, Fraction(1, 25), video, StreamGeometry(256, 256))
    region = FaceRegion(frame, np.array([0.0, 0.0, 255.0, 255.0]), 1.0)
    reader = EyeReader(IrisLandmarks.open())
    left, neither = reader.read([region] * 2, [person.mesh_xyz_px] * 2, [(True, False), (False, False)])
    for values in (left.openings, left.iris_places):
        assert np.isnan(values).tolist() == [False, True]
    assert np.isnan(neither.openings).all()
