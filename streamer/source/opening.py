"""Opening a file, and saying in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from streamer.errors import InputError
from streamer.redact import reason_of

# Tags in another encoding must not keep a file from being read. PyAV 19 replaces what it cannot decode by itself.
LENIENT_TAGS: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
)
_NOT_VIDEO = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails


def check_readable(path: Path) -> None:
    """Raises InputError for what is no readable, non-empty file."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: this is a folder, not a file; give a file")
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None
    if size == 0 and path.is_file():
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again from where it was recorded")


def open_container(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a video file. Raises InputError."""
    check_readable(path)
    try:
        # The absolute path keeps a name like "a:b.mp4" from being taken for a protocol.
        container: InputContainer = av.open(str(path.absolute()), "r", hwaccel=hwaccel, **LENIENT_TAGS)
        return container
    except (av.error.FFmpegError, OSError, ValueError, EOFError) as error:
        if _starts_like_mp4(path):
            raise InputError(
                f"{path}: this MP4 was cut off, its index (moov) is missing; copy it again or repair it"
            ) from None
        raise InputError(f"{path}: not a video that can be read ({reason_of(error)})") from None


def _starts_like_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[4:8] == b"ftyp"


def is_cover(stream: VideoStream) -> bool:
    """True for pictures that accompany a file (cover, thumbnails) and are no video."""
    return bool(stream.disposition & _NOT_VIDEO)


def choose_video(container: InputContainer, path: Path) -> VideoStream:
    """The first video track that is not a cover picture. Raises InputError."""
    tracks = [stream for stream in container.streams.video if not is_cover(stream)]
    if not tracks:
        if container.streams.video:
            raise InputError(f"{path}: its only picture is a cover, there is no video in it")
        if container.streams.audio:
            raise InputError(f"{path}: has sound but no picture; there is nothing to anonymize")
        raise InputError(f"{path}: has no video track; there is nothing to anonymize")
    if tracks[0].codec_context is None:
        raise InputError(f"{path}: no decoder for its video track; convert it to a common codec first")
    return tracks[0]
