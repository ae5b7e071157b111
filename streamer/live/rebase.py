"""The time stamps of an output: they rise, whatever the camera's do."""

from __future__ import annotations

from streamer.live.frame import TICKS_PER_SECOND

# A camera's clock that leaps by more than this against ours was set, and did not run.
_LEAP_TICKS = 5 * TICKS_PER_SECOND


class OutputClock:
    """Places frames of all connections, and the placeholders between them, on one rising time line.

    Within a connection distances between frames are the camera's own, to the tick. At the first frame of a
    connection, after a placeholder and where the camera's clock leaps, the time line is based anew on the clock of
    this machine, so that output and wall clock do not part. Stamps are in units of `CLOCK` and start at 0.
    """

    def __init__(self) -> None:
        self._origin_seconds: float | None = None
        self._last = -1
        self._camera: tuple[int, int] | None = None

    @property
    def started(self) -> bool:
        return self._origin_seconds is not None

    def place(self, pts: int, connection: int, now_seconds: float) -> int:
        """Stamp of a frame of the camera.

        Args:
            pts: the camera's stamp in units of `CLOCK`, rising within a connection.
            connection: number of the connection.
            now_seconds: monotonic clock.
        """
        now = self._ticks(now_seconds)
        before, self._camera = self._camera, (connection, pts)
        if before is None or before[0] != connection:
            return self._advance(now)
        step = pts - before[1]
        if abs(self._last + step - now) > _LEAP_TICKS and abs(step) > _LEAP_TICKS:
            return self._advance(now)
        return self._advance(self._last + step)

    def fill(self, now_seconds: float) -> int:
        """Stamp of a placeholder."""
        self._camera = None
        return self._advance(self._ticks(now_seconds))

    def _ticks(self, now_seconds: float) -> int:
        if self._origin_seconds is None:
            self._origin_seconds = now_seconds
        return round((now_seconds - self._origin_seconds) * TICKS_PER_SECOND)

    def _advance(self, wanted: int) -> int:
        # A millisecond is the coarsest tick of a protocol (RTMP): two frames must not meet in one.
        self._last = wanted if self._last < 0 else max(wanted, self._last + TICKS_PER_SECOND // 1000)
        return self._last
