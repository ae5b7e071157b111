"""How long to wait before the next try."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

BASE_SECONDS = 0.5
CAP_SECONDS = 30.0
HEALTHY_SECONDS = 10.0
# Frames further apart than this are no healthy run.
_LARGEST_GAP_SECONDS = 2.0


class Backoff:
    """Exponential back-off with full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015).

    The wait is uniform between 0 and min(cap, base * 2**tries). A connection that is made does not reset it,
    nor does a first frame: a camera that hangs up right after its greeting would be called without end. Ten seconds
    of frames do.

    Args:
        uniform: random number between two bounds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        base_seconds: float = BASE_SECONDS,
        cap_seconds: float = CAP_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._uniform = uniform
        self._clock = clock
        self._tries = 0
        self._healthy_since: float | None = None
        self._last_frame: float | None = None

    def frame(self) -> None:
        """A frame came through."""
        now = self._clock()
        if self._healthy_since is None or self._last_frame is None or self._is_gap(now - self._last_frame):
            self._healthy_since = now
        self._last_frame = now
        if now - self._healthy_since >= HEALTHY_SECONDS:
            self._tries = 0

    def next_seconds(self) -> float:
        """The connection failed or was lost: seconds to wait before the next try."""
        self._healthy_since = None
        # The exponent is bounded so that a month of tries does not overflow a float.
        limit = min(self._cap_seconds, self._base_seconds * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return self._uniform(0.0, limit)

    @staticmethod
    def _is_gap(seconds: float) -> bool:
        return seconds > _LARGEST_GAP_SECONDS
