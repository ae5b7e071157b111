"""On which frames the detector runs."""

from __future__ import annotations

import math

_BLEND = 0.1
_CALM = 0.8


class DetectionCadence:
    """Detect on every n-th frame, and always on the first one, after a cut and after a failure.

    With `largest_interval` above `interval` the cadence adapts, for live use: n is the smallest interval at
    which detection and everything else fit into the time between two frames. It rises as soon as they do not
    fit, and falls only once the lower interval would fit with a fifth to spare, so that it does not swing.

    Args:
        interval: n; 1 detects on every frame.
        largest_interval: how far n may rise; None keeps n fixed.
    """

    def __init__(self, interval: int = 1, *, largest_interval: int | None = None) -> None:
        if interval < 1 or (largest_interval is not None and largest_interval < interval):
            raise ValueError(f"need 1 <= interval <= largest_interval: {interval=} {largest_interval=}")
        self._smallest = interval
        self._largest = interval if largest_interval is None else largest_interval
        self._interval = interval
        self._since_detection: int | None = None
        self._detect_seconds: float | None = None
        self._other_seconds: float | None = None

    @property
    def interval(self) -> int:
        """The present n."""
        return self._interval

    @property
    def largest_interval(self) -> int:
        """The largest n that can occur."""
        return self._largest

    def is_due(self, *, scene_cut: bool) -> bool:
        """Call once for each frame: whether to detect on it."""
        if self._since_detection is None or scene_cut or self._since_detection + 1 >= self._interval:
            self._since_detection = 0
            return True
        self._since_detection += 1
        return False

    def failed(self) -> None:
        """The detection just made is worth nothing: try again on the next frame."""
        self._since_detection = None

    def measured(self, *, detect_seconds: float | None, other_seconds: float, frame_seconds: float) -> None:
        """Tell what a frame cost, and adapt.

        Args:
            detect_seconds: time of the detection, None on a frame without one.
            other_seconds: time of everything else done for a frame (analysis, rendering, encoding in this
                thread).
            frame_seconds: time between two frames of the source.
        """
        self._other_seconds = _blended(self._other_seconds, other_seconds)
        if detect_seconds is not None:
            self._detect_seconds = _blended(self._detect_seconds, detect_seconds)
        if self._detect_seconds is None or frame_seconds <= 0.0:
            return
        if self._interval < self._needed(frame_seconds):
            self._interval = min(self._needed(frame_seconds), self._largest)
        elif self._interval > self._needed(_CALM * frame_seconds):
            self._interval = max(self._interval - 1, self._smallest)

    def _needed(self, frame_seconds: float) -> int:
        left = frame_seconds - (self._other_seconds or 0.0)
        if left <= 0.0 or self._detect_seconds is None:
            return self._largest
        return max(self._smallest, min(self._largest, math.ceil(self._detect_seconds / left)))


def _blended(old: float | None, new: float) -> float:
    return new if old is None else old + _BLEND * (new - old)
