"""The mark of synthetic content where FFmpeg's muxers write none, and finding it again in any output.

GIF89a specification, section 24 (comment extension); ITU-T T.81, B.2.4.5 (comment segment of a JPEG); PNG
specification, 11.3.3.3 (`tEXt` chunk).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av

from streamer.sink.containers import SYNTHETIC_MARK

_MARK = SYNTHETIC_MARK.encode("ascii")
_GIF_TRAILER = b"\x3b"
# Far behind the index of a 3GP of hours, whose mark FFmpeg writes but does not read.
_SEARCHED_BYTES = 16 << 20


def marked_picture(payload: bytes, encoder: str) -> bytes | None:
    """A JPEG or PNG with the mark as a comment; None for other formats."""
    if encoder == "mjpeg":
        return _marked_jpeg(payload)
    if encoder == "png":
        return _marked_png(payload)
    return None


def _marked_jpeg(payload: bytes) -> bytes:
    # Behind JFIF's own segment, which must come first.
    at = 2
    if payload[2:4] == b"\xff\xe0":
        at += 2 + struct.unpack(">H", payload[4:6])[0]
    segment = b"\xff\xfe" + struct.pack(">H", 2 + len(_MARK)) + _MARK
    return payload[:at] + segment + payload[at:]


def _marked_png(payload: bytes) -> bytes:
    # Behind the header: 8 bytes of signature, and IHDR with 13 bytes of data.
    at = 8 + 12 + 13
    content = b"tEXt" + b"Comment\0" + _MARK
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return payload[:at] + chunk + payload[at:]


def mark_gif(path: Path) -> None:
    """Put a comment in front of the trailer of a complete GIF. Raises OSError."""
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read(1) != _GIF_TRAILER:
            return
        file.seek(-1, 2)
        file.write(b"\x21\xfe" + bytes([len(_MARK)]) + _MARK + b"\0" + _GIF_TRAILER)


def carries_mark(path: Path) -> bool:
    """Whether a video or picture says that it is synthetic. Raises OSError, av.error.FFmpegError."""
    with av.open(str(path)) as container:
        if any(SYNTHETIC_MARK in value for value in container.metadata.values()):
            return True
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SEARCHED_BYTES)
        file.seek(max(0, size - 256))
        return _MARK in head or _MARK in file.read()
