"""Memory that stays flat in a process of many threads."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas. Call before threads are started.

    glibc gives each thread an arena of its own, up to eight per core, and what one of them has freed no other can use:
    with twenty threads that pass frames on, memory grows for hours before it levels off (mallopt(3)). Elsewhere than on
    glibc nothing happens.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    except (OSError, AttributeError):
        return


def give_back() -> None:
    """Give free pages back to the system (malloc_trim(3)). Takes some milliseconds.

    Each connection brings a decoder with buffers of its own; without this, the holes they leave add up to megabytes
    over a few dozen connections.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
