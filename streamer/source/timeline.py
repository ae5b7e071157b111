"""Time stamps that never go back, changed no more than that takes."""

from __future__ import annotations

from fractions import Fraction

# A step back by less than this is one bad stamp; by more, a new time line (files concatenated, a clock set).
_GLITCH_SECONDS = 1.0


class Timeline:
    """Makes pts strictly increasing: good stamps pass untouched, missing and bad ones are filled in.

    A stamp that steps back by less than a second is a damaged one: it becomes the smallest that is
    allowed, so that the next good one passes again. A larger step back starts a new time line: from there
    on, a constant is added.

    Args:
        time_base: unit of the stamps, seconds.
        frame_duration: used where a frame states none, in units of `time_base`, at least 1.
    """

    def __init__(self, time_base: Fraction, frame_duration: int) -> None:
        self._step = max(1, frame_duration)
        self._glitch = max(1, int(_GLITCH_SECONDS / time_base))
        self._last: int | None = None
        self._last_duration = self._step
        self._offset = 0
        self.repaired = 0
        self.jumps = 0

    def place(self, pts: int | None, duration: int | None) -> tuple[int, bool]:
        """Give the frame's place on the time line, and whether a new time line begins with it."""
        jumped = False
        if self._last is None:
            placed = 0 if pts is None else pts
            self.repaired += pts is None
        else:
            expected = self._last + self._last_duration
            placed = expected if pts is None else pts + self._offset
            if pts is None:
                self.repaired += 1
            elif placed <= self._last - self._glitch:
                self._offset = expected - pts
                placed, jumped = expected, True
                self.jumps += 1
            elif placed <= self._last:
                placed = self._last + 1
                self.repaired += 1
        self._last = placed
        self._last_duration = duration if duration and duration > 0 else self._step
        return placed, jumped
