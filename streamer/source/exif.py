"""The orientation tag of a picture file, and nothing else of its Exif data."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_ORIENTATION_TAG = 0x0112
# Exif 2.32, orientation -> (clockwise turn for display, mirrored left to right before the turn).
TURNS = {
    1: (0, False),
    2: (0, True),
    3: (180, False),
    4: (180, True),
    5: (270, True),
    6: (90, False),
    7: (90, True),
    8: (270, False),
}


def orientation_of(data: bytes) -> int:
    """Exif orientation, 1 to 8, of a JPEG, PNG, WebP or TIFF file; 1 where there is none or it is damaged."""
    for tiff in _tiff_blocks(data):
        try:
            value = _orientation_in(tiff)
        except struct.error:
            continue
        if value in TURNS:
            return value
    return 1


def _tiff_blocks(data: bytes) -> Iterator[bytes]:
    if data[:4] in (b"II*\0", b"MM\0*"):
        yield data
    elif data[:2] == b"\xff\xd8":
        for payload in _jpeg_app1(data):
            if payload.startswith(b"Exif\0\0"):
                yield payload[6:]
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _chunks(data, 8, ">", b"eXIf", trailer=4, tag_first=False)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        for payload in _chunks(data, 12, "<", b"EXIF", trailer=0, tag_first=True):
            yield payload.removeprefix(b"Exif\0\0")


def _jpeg_app1(data: bytes) -> Iterator[bytes]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return
        if marker == 0xE1:
            yield data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _chunks(
    data: bytes, at: int, order: str, wanted: bytes, *, trailer: int, tag_first: bool
) -> Iterator[bytes]:
    """Payloads of one kind of chunk: PNG has length, tag, payload, CRC; RIFF has tag, length, payload."""
    while at + 8 <= len(data):
        if tag_first:
            tag, length = struct.unpack_from(f"{order}4sI", data, at)
            length_padded = length + length % 2
        else:
            length, tag = struct.unpack_from(f"{order}I4s", data, at)
            length_padded = length
        if tag == wanted:
            yield data[at + 8 : at + 8 + length]
        at += 8 + length_padded + trailer


def _orientation_in(tiff: bytes) -> int | None:
    """The tag in the first image directory (TIFF 6.0, section 2). Raises struct.error when cut off."""
    order = "<" if tiff[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, at)
    for index in range(count):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, at + 2 + 12 * index)
        if tag == _ORIENTATION_TAG and kind == 3:
            return int(value)
    return None
