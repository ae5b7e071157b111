"""What gives way when there is too much to do: first how often is looked, then at what size; never what is covered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamer.analysis import DetectionCadence

_log = logging.getLogger(__name__)

# Detection at least this often; between detections faces are followed, and the look-ahead fills in.
LARGEST_INTERVAL_FRAMES = 6
# The look-ahead covers a face from before it was found, as far back as it reaches; some of it is kept in reserve.
_SHARE_OF_LOOK_AHEAD = 0.8
PICTURE_SCALES = (1.0, 0.75, 0.5)
_SMALLEST_SIDE_PX = 256
_LATE_SECONDS = 1.0
_BEHIND_SECONDS = 3.0
_CALM_SECONDS = 15.0


class LiveCadence(DetectionCadence):
    """A cadence that adapts to the load, and in which no face can appear and stay unseen beyond the look-ahead.

    Attributes:
        limit_seconds: the next frame is looked at when it would come later than this after the last look.

    Args:
        interval: detect on every n-th frame while there is time.
        look_ahead_seconds: with none, every frame is looked at, however long it takes.
    """

    def __init__(self, interval: int, look_ahead_seconds: float) -> None:
        adapts = look_ahead_seconds > 0.0
        super().__init__(interval, largest_interval=max(interval, LARGEST_INTERVAL_FRAMES if adapts else 1))
        self.limit_seconds = _SHARE_OF_LOOK_AHEAD * look_ahead_seconds
        self._now_seconds = 0.0
        self._next_seconds = 0.0
        self._detected_seconds: float | None = None

    def frame_at(self, pts_seconds: float) -> None:
        """Call before `is_due`, with the frame's time."""
        step = max(0.0, pts_seconds - self._now_seconds)
        self._now_seconds = pts_seconds
        self._next_seconds = pts_seconds + step

    def is_due(self, *, scene_cut: bool) -> bool:
        """As `DetectionCadence`; also when the next frame would come too late after the last detection.

        Frames that were let go count by the time they stood for.
        """
        late = self._detected_seconds is None or (
            self._next_seconds - self._detected_seconds > self.limit_seconds
        )
        due = super().is_due(scene_cut=scene_cut or late)
        if due:
            self._detected_seconds = self._now_seconds
        return due


class OverloadControl:
    """Follows what analysis costs, and cuts it in steps.

    Levels, as in the telemetry: 0 as configured, 1 looks less often, 2 looks at smaller pictures as well. When even
    that is not enough, the source's queue lets frames go: fewer are shown, and all that are shown are covered.

    Args:
        camera: name for the log.
        cadence: its interval is adapted.
        interval: the configured one.
        long_side_px: of the analysis picture while there is time.
        on_level: told of each change.
    """

    def __init__(
        self,
        camera: str,
        cadence: LiveCadence,
        interval: int,
        long_side_px: int,
        on_level: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._camera = camera
        self._cadence = cadence
        self._interval = interval
        self._full_side_px = long_side_px
        self._on_level = on_level
        self._clock = clock
        self._step = 0
        self._level = 0
        self._late_since: float | None = None
        self._behind_since: float | None = None
        self._calm_since: float | None = None

    @property
    def long_side_px(self) -> int:
        """Of the analysis picture now."""
        smallest = min(self._full_side_px, _SMALLEST_SIDE_PX)
        return max(smallest, round(self._full_side_px * PICTURE_SCALES[self._step]))

    @property
    def level(self) -> int:
        return self._level

    @property
    def is_late(self) -> bool:
        """True while frames have been let go for a second: those that still wait only make the others late."""
        return self._late_since is not None and self._clock() - self._late_since >= _LATE_SECONDS

    def measured(
        self, *, detect_seconds: float | None, other_seconds: float, frame_seconds: float, behind: bool
    ) -> None:
        """Tell what a frame cost; see `DetectionCadence.measured`.

        Args:
            behind: the source's queue has let frames go since the last call.
        """
        cadence = self._cadence
        cadence.measured(
            detect_seconds=detect_seconds, other_seconds=other_seconds, frame_seconds=frame_seconds
        )
        now = self._clock()
        self._late_since = (self._late_since or now) if behind else None
        at_most = cadence.interval >= cadence.largest_interval
        self._behind_since = (self._behind_since or now) if behind and at_most else None
        calm = not behind and cadence.interval <= max(self._interval, cadence.largest_interval // 2)
        self._calm_since = (self._calm_since or now) if calm else None
        if self._behind_since is not None and now - self._behind_since >= _BEHIND_SECONDS:
            self._move(1, now)
        elif self._calm_since is not None and now - self._calm_since >= _CALM_SECONDS:
            self._move(-1, now)
        self._tell(2 if self._step else 1 if cadence.interval > self._interval else 0)

    def _move(self, by: int, now: float) -> None:
        self._step = min(max(self._step + by, 0), len(PICTURE_SCALES) - 1)
        self._behind_since = self._calm_since = now

    def _tell(self, level: int) -> None:
        if level == self._level:
            return
        self._level = level
        self._on_level(level)
        # The first step comes and goes with every busy moment; what lasts is for the log.
        weight = logging.WARNING if level == 2 else logging.DEBUG
        _log.log(
            weight,
            "camera %s: overload level %d (detection on every %d. frame, pictures of %d px)",
            self._camera,
            level,
            self._cadence.interval,
            self.long_side_px,
        )
