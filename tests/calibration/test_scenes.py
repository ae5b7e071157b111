"""The truth of a synthetic scene is exact: benchmarks of coverage stand on it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from calibration.scenes import (
    SCENES,
    Cutout,
    Keyframe,
    Role,
    Scene,
    SceneFrame,
    drawn_cutout,
    make_scene,
    write_clip,
)

SIZE = (160, 120)


def plain_cutout() -> Cutout:
    """A red face on a red picture: whatever is red in a scene is the head."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack([64 + 30 * np.cos(angles), 64 + 40 * np.sin(angles)], axis=1)
    return Cutout.from_person(np.full((128, 128, 3), (255, 0, 0), np.uint8), outline)


def shot(*roles: Role, frames: int = 1, noise: float = 0.0) -> list[SceneFrame]:
    return list(Scene("test", SIZE, frames, roles, noise=noise).frames())


def test_box_and_mask_lie_where_the_face_is_painted() -> None:
    (frame,) = shot(Role(1, plain_cutout(), (Keyframe(0, 80, 60, 30),)))
    (truth,) = frame.faces
    np.testing.assert_allclose(truth.box_xyxy_px, [65, 40, 95, 80], atol=0.5)
    assert truth.visible == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(frame.picture_rgb_u8[truth.mask], [[255, 0, 0]] * truth.mask.sum(), atol=12)
    rows, columns = np.nonzero(truth.mask)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (65, 40, 95, 80)


def test_turned_and_large_faces_are_painted_where_their_mask_is() -> None:
    key = Keyframe(0, 80, 60, 50, roll_degrees=40, squeeze=0.7)
    (frame,) = shot(Role(1, plain_cutout(), (key,)))
    (truth,) = frame.faces
    assert (frame.picture_rgb_u8[truth.mask] == (255, 0, 0)).mean() > 0.995


def test_a_face_half_outside_is_half_visible_and_its_box_is_clipped() -> None:
    (frame,) = shot(Role(1, plain_cutout(), (Keyframe(0, 0, 60, 30),)))
    (truth,) = frame.faces
    assert truth.box_xyxy_px[0] == -0.5
    assert truth.visible == pytest.approx(0.5, abs=0.06)


def test_a_face_outside_has_no_truth() -> None:
    (frame,) = shot(Role(1, plain_cutout(), (Keyframe(0, -40, 60, 30),)))
    assert frame.faces == []


def test_a_face_behind_another_loses_what_the_other_hides() -> None:
    behind = Role(1, plain_cutout(), (Keyframe(0, 70, 60, 30),), depth=2)
    before = Role(2, plain_cutout(), (Keyframe(0, 90, 60, 30),), depth=1)
    (frame,) = shot(behind, before)
    first, second = frame.faces
    assert second.visible == pytest.approx(1.0, abs=0.03)
    assert 0.05 < first.visible < 0.6
    assert not (first.mask & second.mask).any()


def test_people_come_and_go_with_their_keyframes() -> None:
    keys = (Keyframe(2, 40, 60, 20), Keyframe(6, 80, 60, 20))
    frames = shot(Role(7, plain_cutout(), keys), frames=9)
    assert [[truth.face_id for truth in frame.faces] for frame in frames] == [[]] * 2 + [[7]] * 5 + [[]] * 2
    middles = [frame.faces[0].box_xyxy_px[[0, 2]].mean() for frame in frames[2:7]]
    np.testing.assert_allclose(middles, [40, 50, 60, 70, 80], atol=0.5)


@pytest.mark.parametrize("name", list(SCENES))
def test_every_scene_is_the_same_each_time_and_shows_faces(name: str) -> None:
    cutouts = [drawn_cutout(seed) for seed in range(6)]
    scene = make_scene(name, cutouts, size=(192, 108), seed=5)
    frames = list(scene.frames())
    assert len(frames) == scene.total_frames
    assert sum(bool(frame.faces) for frame in frames) > 0.75 * len(frames)
    again = next(iter(make_scene(name, cutouts, size=(192, 108), seed=5).frames()))
    assert (frames[0].picture_rgb_u8 == again.picture_rgb_u8).all()
    other = next(iter(make_scene(name, cutouts, size=(192, 108), seed=6).frames()))
    assert (frames[0].picture_rgb_u8 != other.picture_rgb_u8).any()
    for frame in frames:
        for truth in frame.faces:
            assert 0.0 <= truth.visible <= 1.0
            assert truth.mask.shape == (108, 192)


def test_cuts_are_where_the_people_change() -> None:
    scene = make_scene("cut", [drawn_cutout(seed) for seed in range(6)], size=(192, 108))
    ids = [{truth.face_id for truth in frame.faces} for frame in scene.frames()]
    assert scene.cuts == [t for t in range(1, len(ids)) if ids[t] != ids[t - 1]] == [30, 60]


def test_a_clip_holds_every_frame_and_the_tone(tmp_path: Path) -> None:
    scene = make_scene("walk", [drawn_cutout(0)], size=(96, 64))
    path = tmp_path / "walk.mp4"
    assert write_clip(path, scene.frames(), tone=True) == scene.total_frames
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == scene.total_frames
    with av.open(str(path)) as container:
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    assert seconds == pytest.approx(scene.total_frames / 25, abs=0.1)


def test_a_clip_of_odd_size_or_without_frames_is_refused(tmp_path: Path) -> None:
    odd = SceneFrame(np.zeros((63, 96, 3), np.uint8), [])
    with pytest.raises(ValueError, match="even"):
        write_clip(tmp_path / "odd.mp4", [odd])
    with pytest.raises(ValueError, match="at least one"):
        write_clip(tmp_path / "none.mp4", [])


def test_unknown_scene_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="crossing"):
        make_scene("nothing", [drawn_cutout(0)])
