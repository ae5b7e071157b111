"""Which way up: display matrices of containers and orientation tags of pictures."""

from __future__ import annotations

import math
import struct
from typing import Any

import av

# Quarter turns clockwise -> (a, b, c, d) of x' = a x + c y, y' = b x + d y.
_QUARTERS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def side_data_of(frame: av.VideoFrame) -> dict[str, bytes]:
    """The frame's side data by FFmpeg's name; empty where PyAV cannot read it.

    PyAV (17.1 to 18.1) raises ValueError on the whole list when one entry is of a type younger than
    itself, such as Exif.
    """
    try:
        # By number: iterating gives values before PyAV 19, and keys from then on.
        entries: Any = frame.side_data
        items = [entries[index] for index in range(len(entries))]
        return {item.type.name: bytes(memoryview(item)) for item in items}
    except ValueError:
        return {}


def display_matrix_of(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine integers of the frame's display matrix (ISO 14496-12, 8.3.2), or None."""
    data = side_data_of(frame).get("DISPLAYMATRIX")
    if data is not None:
        return struct.unpack("=9i", data[:36])
    # PyAV's rotation is counter-clockwise.
    return matrix_of_turn(-frame.rotation % 360, mirrored=False) if frame.rotation else None


def matrix_of_turn(clockwise_degrees: int, *, mirrored: bool) -> tuple[int, ...]:
    """Display matrix that mirrors left and right when asked, then turns by the nearest quarter."""
    a, b, c, d = _QUARTERS[round(clockwise_degrees / 90) * 90 % 360]
    if mirrored:
        a, b = -a, -b
    return (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


def clockwise_turn(matrix: tuple[int, ...] | None) -> int:
    """The clockwise turn, 0, 90, 180 or 270 degrees, that the matrix asks a player for.

    PyAV's `frame.rotation` is counter-clockwise, and wrong for mirrored pictures (front cameras): for
    those, this is the turn that puts the picture upright, though mirrored, which is all a face detector
    needs. A turn by another angle counts as the nearest quarter.
    """
    if matrix is None:
        return 0
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if a * d - b * c < 0:
        a = -a
    if a == 0 and b == 0:
        return 0
    return round(math.degrees(math.atan2(b, a)) / 90.0) * 90 % 360
