"""Time stamps that rise, whatever the camera's do: one clock where frames come in, one where they go out."""

from __future__ import annotations

from streamer.live.frame import TICKS_PER_SECOND

# A step back by less than this is one bad stamp; by more, or ahead by more than the other, the clock was set.
_GLITCH_TICKS = TICKS_PER_SECOND
_LEAP_TICKS = 10 * TICKS_PER_SECOND
# The coarsest tick of a protocol (RTMP) is a millisecond: two frames must not meet in one.
_SMALLEST_STEP_TICKS = TICKS_PER_SECOND // 1000


class LinkClock:
    """Joins the stamps of all connections into one time line without gaps, for analysis.

    Each connection begins where the one before it ended: a camera starts anew at any number, and the first frame of an
    RTSP stream may have no stamp at all. Stamps are in units of `CLOCK`.
    """

    def __init__(self) -> None:
        self._last = -1
        self._offset: int | None = None

    def begin(self) -> None:
        """A new connection."""
        self._offset = None

    def place(self, pts: int | None, interval_ticks: int) -> int:
        """Stamp of the next frame.

        Args:
            pts: the camera's stamp; None where it gave none.
            interval_ticks: usual distance of two frames.
        """
        expected = 0 if self._last < 0 else self._last + max(1, interval_ticks)
        if pts is None:
            placed = expected
        else:
            if self._offset is None:
                self._offset = expected - pts
            placed = pts + self._offset
            if not self._last - _GLITCH_TICKS < placed < self._last + _LEAP_TICKS:
                self._offset, placed = expected - pts, expected
        self._last = max(placed, self._last + 1)
        return self._last


class OutputClock:
    """Places frames of all connections, and the placeholders between them, on one rising time line.

    Within a connection distances between frames are the camera's own, to the tick. At the first frame of a connection
    and after a placeholder the time line is based anew on the clock of this machine, so that output and wall clock do
    not part. Stamps are in units of `CLOCK` and start at 0.
    """

    def __init__(self) -> None:
        self._origin_seconds: float | None = None
        self._last = -1
        self._camera: tuple[int, int] | None = None

    def place(self, pts: int, connection: int, now_seconds: float) -> int:
        """Stamp of a frame of the camera.

        Args:
            pts: of the `LinkClock`.
            connection: number of the connection.
            now_seconds: monotonic clock.
        """
        before, self._camera = self._camera, (connection, pts)
        if before is None or before[0] != connection:
            return self._advance(self._ticks(now_seconds))
        return self._advance(self._last + pts - before[1])

    def fill(self, now_seconds: float) -> int:
        """Stamp of a placeholder."""
        self._camera = None
        return self._advance(self._ticks(now_seconds))

    def _ticks(self, now_seconds: float) -> int:
        if self._origin_seconds is None:
            self._origin_seconds = now_seconds
        return round((now_seconds - self._origin_seconds) * TICKS_PER_SECOND)

    def _advance(self, wanted: int) -> int:
        self._last = wanted if self._last < 0 else max(wanted, self._last + _SMALLEST_STEP_TICKS)
        return self._last
