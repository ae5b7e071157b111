"""Whether a file ends before it says that it does."""

from __future__ import annotations

import contextlib
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamer.errors import InputError
from streamer.source.opening import open_container

# Containers that state how long they are. Of others, and of streams, the length is worked out from what is there.
_STATING = ("matroska", "mov", "avi", "flv", "asf", "mxf")
# What muxers round, or leave out at the end.
_ROUNDED_SECONDS = 0.5
_ROUNDED_FRAMES = 3


def missing_end(
    path: Path, container: InputContainer, stream: VideoStream, begin_seconds: float, end_seconds: float
) -> str | None:
    """Says what is missing of a file that was read to its end; None where nothing is known to be.

    Args:
        begin_seconds, end_seconds: of the pictures in it, as the file stamps them.
    """
    if container.duration is None or container.format.name.split(",")[0] not in _STATING:
        return None
    stated = container.duration / av.time_base
    rate = stream.average_rate or stream.guessed_rate
    least = stated - max(_ROUNDED_SECONDS, _ROUNDED_FRAMES / float(rate) if rate else 0.0)
    # Some count from the first picture, some from zero.
    end = max(end_seconds, end_seconds - begin_seconds)
    if end >= least or _end_of_others(path, stream, least) >= least:
        return None
    return f"the file announces {stated:.2f} s, its pictures end after {end:.2f} s; it was cut off"


def _end_of_others(path: Path, stream: VideoStream, from_seconds: float) -> float:
    """Where sound, subtitles and further videos end: the stated length is that of the longest track."""
    end = 0.0
    with contextlib.suppress(av.error.FFmpegError, OSError, InputError), open_container(path) as container:
        others = [item for item in container.streams if item.index != stream.index]
        if not others:
            return 0.0
        with contextlib.suppress(av.error.FFmpegError, OSError):
            container.seek(int(max(0.0, from_seconds) * av.time_base))
        for packet in container.demux(others):
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end
