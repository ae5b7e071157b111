"""What `resume` takes for done: never the raw input that somebody put at the output's place, nor another's output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.report import sha256_of_file
from streamer.resume import NotedHashes, why_not_done

from .round_trip import convert

VideoMaker = Callable[..., Path]
MARKED = "3gp 3g2 asf avi flv gif m2ts m4v mkv mov mp4 mts mxf ts webm wmv".split()  # noqa: SIM905


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    cv2.imwrite(str(path), np.full((8, 8, 3), 99, np.uint8))
    return path


@pytest.fixture
def clip(tmp_path: Path, video_maker: VideoMaker) -> Path:
    return video_maker(tmp_path / "in.mp4")


def noted(clip: Path, output: Path) -> NotedHashes:
    return NotedHashes(sha256_of_file(clip), sha256_of_file(output))


def test_a_copy_of_the_input_is_no_output(picture: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out.png"
    copy.write_bytes(picture.read_bytes())
    assert "copy" in (why_not_done(picture, copy) or "")


def test_another_picture_is(picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "out.png"
    cv2.imwrite(str(other), np.full((8, 8, 3), 98, np.uint8))
    assert why_not_done(picture, other) is None
    cv2.imwrite(str(picture), np.full((16, 8, 3), 99, np.uint8))
    assert "another size" in (why_not_done(picture, other) or "")
    picture.unlink()
    assert why_not_done(picture, other) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_was_turned_upright_is_of_the_same_size(
    orientation: int, tmp_path: Path, jpeg_maker: Callable[..., Path]
) -> None:
    picture = jpeg_maker(tmp_path / "in.jpg", np.full((64, 97, 3), 99, np.uint8), orientation)
    convert(picture, tmp_path / "out.jpg")
    assert why_not_done(picture, tmp_path / "out.jpg") is None


def test_an_empty_file_or_a_video_without_the_mark_is_not(picture: Path, clip: Path, tmp_path: Path) -> None:
    for name in ("out.png", "out.mp4"):
        path = tmp_path / name
        path.write_bytes(b"")
        assert "no complete output" in (why_not_done(picture, path) or "")
    assert "no complete output" in (why_not_done(clip, clip) or "")


@pytest.mark.parametrize("name", MARKED)
def test_outputs_of_every_format_with_a_mark_are_known_again(name: str, clip: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out.{name}"
    assert not any("not marked" in notice for notice in convert(clip, output))
    assert why_not_done(clip, output) is None


@pytest.mark.parametrize("name", ["mpg", "vob"])
def test_without_a_mark_only_a_report_tells(name: str, clip: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out.{name}"
    assert any("not marked" in notice for notice in convert(clip, output))
    assert "without marks" in (why_not_done(clip, output) or "")
    assert why_not_done(clip, output, noted(clip, output)) is None


def test_what_was_made_of_another_video_is_not_done(
    clip: Path, tmp_path: Path, video_maker: VideoMaker
) -> None:
    output = tmp_path / "out.mp4"
    convert(clip, output)
    hashes = noted(clip, output)
    longer = video_maker(tmp_path / "longer.mp4", pts=tuple(range(0, 40 * 512, 512)))
    larger = video_maker(tmp_path / "larger.mp4", size=(128, 64))
    assert "lasts 0.5 s, the input 1.6 s" in (why_not_done(longer, output) or "")
    assert "another size" in (why_not_done(larger, output) or "")
    # Of the same size and duration: only the hashes tell.
    alike = video_maker(tmp_path / "alike.mp4", options={"crf": "30"})
    assert "another input" in (why_not_done(alike, output, hashes) or "")
    convert(alike, tmp_path / "other.mp4")
    assert "the report" in (why_not_done(clip, tmp_path / "other.mp4", hashes) or "")
    assert why_not_done(clip, output, hashes) is None


def test_sound_that_outlasts_the_picture_makes_no_difference(tmp_path: Path, video_maker: VideoMaker) -> None:
    """Matroska states how long the longest track lasts, MP4 how long each does."""
    clip = video_maker(tmp_path / "in.mp4", audio=["aac"], pts=(0, 512, 512 * 80, 512 * 81))
    convert(clip, tmp_path / "out.mkv")
    assert why_not_done(clip, tmp_path / "out.mkv") is None
