"""Opening a camera, a stream or a file with what each kind needs, and telling why it failed without its URL."""

from __future__ import annotations

import re
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamer.live.settings import Transport
from streamer.live.urls import SourceUrl
from streamer.redact import reason_of
from streamer.source.opening import is_cover

OPEN_TIMEOUT_SECONDS = 5.0
_DEVICE_FORMAT = "video4linux2,v4l2"
# How long packets may wait for one that UDP delivers out of order, and how many bytes the kernel may hold for us.
_REORDER_MICROSECONDS = "200000"
_UDP_BUFFER_BYTES = "1048576"


class LinkError(Exception):
    """A connection failed. Its text is for the log, and holds no URL.

    Attributes:
        is_final: trying again is of no use.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


def is_paced(url: SourceUrl) -> bool:
    """True where frames may come faster than they were taken, and must be slowed down to their own pace."""
    return url.scheme in ("file", "http", "https")


def ends(url: SourceUrl) -> bool:
    """True for what has an end. That of anything else is a lost link."""
    return url.scheme == "file"


def has_protocol(scheme: str) -> bool:
    """False where this FFmpeg was built without it; the wheels of PyAV have no SRT, for one."""
    if scheme != "srt":
        return True
    try:
        # Without a host nothing is connected to.
        av.open(f"{scheme}://").close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.error.FFmpegError, OSError, ValueError):
        return True
    return True


def open_link(url: SourceUrl, transport: Transport, read_timeout_seconds: float) -> InputContainer:
    """Connect. No call on what is returned takes longer than its time-out. Raises LinkError."""
    is_file = url.scheme == "file"
    if is_file and not Path(url.reveal()).is_file():
        raise LinkError("no such file", is_final=True)
    place = str(Path(url.reveal()).absolute()) if is_file else url.reveal()
    try:
        container: InputContainer = av.open(
            place,
            "r",
            format=_DEVICE_FORMAT if url.scheme == "device" else None,
            options=_options(url, transport),
            timeout=None if is_file else (OPEN_TIMEOUT_SECONDS, read_timeout_seconds),
        )
        return container
    except Exception as error:
        # Whatever it is, its text or a later traceback would show the URL.
        raise LinkError(link_reason(error), is_final=is_file) from None


def link_reason(error: BaseException) -> str:
    """Why a link failed, in a few words without a URL."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    if isinstance(error, av.error.EOFError):
        return "the other end has closed"
    if isinstance(error, (av.error.FFmpegError, OSError)):
        return reason_of(error)
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()


def choose_stream(container: InputContainer) -> VideoStream:
    """The first video track that is no cover picture, its decoder set to give each frame as soon as it can.

    Raises LinkError.
    """
    for stream in container.streams.video:
        if not is_cover(stream) and stream.codec_context is not None:
            # Frame threads would each hold a frame back; beside slice threads the H.264 decoder does not look for what
            # was lost (its error resilience is unsafe there), and cameras rarely cut their pictures into slices.
            stream.thread_count = 1
            return stream
    raise LinkError("there is no video that can be decoded in it")


def _options(url: SourceUrl, transport: Transport) -> dict[str, str]:
    if url.scheme in ("rtsp", "rtsps"):
        return {
            "rtsp_transport": transport.value,
            "allowed_media_types": "video",
            "max_delay": _REORDER_MICROSECONDS,
            "buffer_size": _UDP_BUFFER_BYTES,
        }
    if url.scheme in ("udp", "rtp"):
        return {"buffer_size": _UDP_BUFFER_BYTES}
    return {}
