"""What `resume` takes for done: never the raw input that somebody put at the output's place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.job import _is_complete


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    cv2.imwrite(str(path), np.full((8, 8, 3), 99, np.uint8))
    return path


def test_a_copy_of_the_input_is_no_output(picture: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out.png"
    copy.write_bytes(picture.read_bytes())
    assert not _is_complete(copy, picture)


def test_another_picture_is(picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "out.png"
    cv2.imwrite(str(other), np.full((8, 8, 3), 98, np.uint8))
    assert _is_complete(other, picture)
    picture.unlink()
    assert _is_complete(other, picture)


def test_an_empty_file_or_a_video_without_the_mark_is_not(picture: Path, tmp_path: Path) -> None:
    for name in ("out.png", "out.mp4"):
        path = tmp_path / name
        path.write_bytes(b"")
        assert not _is_complete(path, picture)
