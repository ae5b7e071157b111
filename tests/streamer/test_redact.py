"""No password, token or multi-line text of a library reaches a message."""

from __future__ import annotations

import errno
from pathlib import Path

import av
import pytest

from streamer.redact import reason_of, redact_urls, without_folders


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://admin:s3cret@10.0.0.1:554/live", "rtsp://10.0.0.1:554/live"),
        ("rtsp://admin:p@ss/word@cam/live?token=abc#x", "rtsp://cam/live"),
        ("cannot open 'http://u:p@host/a.mp4?sig=1': no", "cannot open 'http://host/a.mp4': no"),
        ("https://host/path", "https://host/path"),
        ("two\nlines  and\ttabs", "two lines and tabs"),
        ("plain text", "plain text"),
    ],
)
def test_urls_lose_their_credentials(text: str, clean: str) -> None:
    assert redact_urls(text) == clean


def test_reasons_are_one_short_line_of_our_own() -> None:
    with pytest.raises(av.error.FFmpegError) as caught:
        av.open("file:/nonexistent/user:secret@camera.mp4")
    reason = reason_of(caught.value)
    assert reason == "no such file"
    assert reason_of(OSError(errno.ENOSPC, "x", "name")) == "no space left on the disk"
    assert "\n" not in reason_of(ValueError("a\nb"))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("in/anna/a.mp4: no such file; look in it", "a.mp4: no such file; look in it"),
        (f"{Path.cwd()}/in/anna/a.mp4: not a video", "a.mp4: not a video"),
        ("in/anna: cannot be made", "cannot be made"),
        ("in/anna/.a.part: full", ".a.part: full"),
    ],
)
def test_a_report_names_files_and_no_folders(text: str, clean: str) -> None:
    assert without_folders(text, Path("in/anna/a.mp4")) == clean
