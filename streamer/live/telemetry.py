"""What a camera's threads count, and what others may read of it: numbers and states, nothing of a picture.

Writers call small methods under one lock; readers take a `CameraSnapshot`. Memory is flat: everything kept has a fixed
length, and the keys of the counters are the members of enumerations.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from streamer.live.states import CameraState

DELAY_BUCKETS_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
RECENT_SECONDS = 60.0
HISTORY_SLOT_SECONDS = 2.0
HISTORY_SLOTS = 150
# More than 60 frames a second for a minute; a faster camera has its percentiles over its last frames.
_RECENT_DELAYS = 4096


@dataclass(frozen=True, slots=True)
class StageTotal:
    """Wall-clock seconds spent in a stage, and how often it ran."""

    seconds: float
    runs: int


@dataclass(frozen=True, slots=True)
class QueueFill:
    """Items that wait, of how many may."""

    items: int
    capacity: int


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One slot of `HISTORY_SLOT_SECONDS`. Delays are None where no frame left in it.

    Attributes:
        age_seconds: from the slot's end to the snapshot.
    """

    age_seconds: float
    frames_in_per_second: float
    frames_out_per_second: float
    delay_p50_seconds: float | None
    delay_p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class CameraSnapshot:
    """A camera at one moment. Counters count from the start of the process.

    Attributes:
        state_seconds: how long it has been in its state.
        frames_out: anonymized frames handed to the outputs; `placeholders_out` are counted apart.
        seconds_since_frame_out: since the last anonymized frame; None before the first.
        seconds_since_picture_out: the same, where a placeholder counts as well.
        frames_dropped, fallbacks, fail_closed: by reason.
        faces: faces covered, counted per frame.
        tracks_alive: people followed now.
        delay_buckets: frames whose delay was at most `DELAY_BUCKETS_SECONDS[i]`, cumulative.
        delay_p50_seconds, delay_p99_seconds: from packet arrival to muxer over the last minute; None without frames.
        scope: name under which the ledger sums the camera's epsilon; cameras may share one.
        epsilon_spent: sum in that scope.
        overload: 0 none, 1 looks less often, 2 looks at smaller pictures as well.
    """

    name: str
    scope: str
    state: CameraState
    state_seconds: float
    frames_in: int
    frames_out: int
    placeholders_out: int
    seconds_since_frame_out: float | None
    seconds_since_picture_out: float | None
    frames_dropped: Mapping[str, int]
    faces: int
    tracks_alive: int
    fallbacks: Mapping[str, int]
    fail_closed: Mapping[str, int]
    stages: Mapping[str, StageTotal]
    queues: Mapping[str, QueueFill]
    reconnects: int
    delay_buckets: tuple[int, ...]
    delay_count: int
    delay_sum_seconds: float
    delay_p50_seconds: float | None
    delay_p99_seconds: float | None
    epsilon_spent: float
    overload: int
    history: tuple[HistoryPoint, ...]


@dataclass(slots=True)
class _Slot:
    frames_in: int = 0
    frames_out: int = 0
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=512))


@dataclass(frozen=True, slots=True)
class _ClosedSlot:
    end: float
    frames_in: int
    frames_out: int
    delay_p50: float | None
    delay_p99: float | None


class CameraTelemetry:
    """The counters of one camera. Every method may be called from any thread.

    Args:
        clock: monotonic seconds.
        scope: of the ledger; the camera's name unless given.
    """

    def __init__(
        self, name: str, clock: Callable[[], float] = time.monotonic, *, scope: str | None = None
    ) -> None:
        self.name = name
        self._scope = scope or name
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._state, self._state_at = CameraState.CONNECTING, now
        self._frames_in = self._frames_out = self._placeholders_out = self._faces = 0
        self._frame_out_at: float | None = None
        self._picture_out_at: float | None = None
        self._tracks_alive = self._reconnects = self._overload = 0
        self._dropped: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._fail_closed: Counter[str] = Counter()
        self._stages: dict[str, StageTotal] = {}
        self._queues: dict[str, QueueFill] = {}
        self._epsilon = 0.0
        self._delay_bins = [0] * (len(DELAY_BUCKETS_SECONDS) + 1)
        self._delay_sum = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_DELAYS)
        self._slot, self._slot_end = _Slot(), now + HISTORY_SLOT_SECONDS
        self._history: deque[_ClosedSlot] = deque(maxlen=HISTORY_SLOTS)

    def state(self, state: CameraState) -> None:
        """The camera is in this state from now on."""
        with self._lock:
            if state is not self._state:
                self._state, self._state_at = state, self._clock()

    def frame_in(self) -> None:
        """A picture was decoded."""
        with self._lock:
            self._advance(self._clock())
            self._frames_in += 1
            self._slot.frames_in += 1

    def frame_out(self, *, placeholder: bool = False) -> None:
        """A picture was handed to the outputs: an anonymized one, or the placeholder that stands in."""
        with self._lock:
            now = self._clock()
            self._advance(now)
            self._picture_out_at = now
            if placeholder:
                self._placeholders_out += 1
                return
            self._frame_out_at = now
            self._frames_out += 1
            self._slot.frames_out += 1

    def frame_dropped(self, reason: str) -> None:
        """A picture was let go, to stay live."""
        with self._lock:
            self._dropped[_text(reason)] += 1

    def faces(self, count: int) -> None:
        """So many faces were covered in a frame."""
        with self._lock:
            self._faces += count

    def tracks(self, alive: int) -> None:
        """So many people are followed now."""
        with self._lock:
            self._tracks_alive = alive

    def fallback(self, reason: str) -> None:
        """A face got the fallback."""
        with self._lock:
            self._fallbacks[_text(reason)] += 1

    def fail_closed(self, reason: str) -> None:
        """A frame was masked whole, or held back, because something failed."""
        with self._lock:
            self._fail_closed[_text(reason)] += 1

    def stage_seconds(self, stage: str, seconds: float) -> None:
        """A stage ran once and took this long."""
        with self._lock:
            before = self._stages.get(stage, StageTotal(0.0, 0))
            self._stages[stage] = StageTotal(before.seconds + seconds, before.runs + 1)

    def queue_fill(self, queue: str, items: int, capacity: int) -> None:
        """So many items wait in a queue."""
        with self._lock:
            self._queues[queue] = QueueFill(items, capacity)

    def reconnect(self) -> None:
        """A connection was made anew."""
        with self._lock:
            self._reconnects += 1

    def delay(self, seconds: float) -> None:
        """A frame was handed to the muxer so long after its packet had arrived."""
        with self._lock:
            now = self._clock()
            self._advance(now)
            self._delay_bins[bisect_left(DELAY_BUCKETS_SECONDS, seconds)] += 1
            self._delay_sum += seconds
            self._recent.append((now, seconds))
            self._slot.delays.append(seconds)

    def epsilon(self, spent: float) -> None:
        """So much epsilon is spent in the camera's scope, in sum."""
        with self._lock:
            self._epsilon = spent

    def overload(self, level: int) -> None:
        """How far the work was cut to keep up; see `CameraSnapshot.overload`."""
        with self._lock:
            self._overload = int(level)

    def snapshot(self) -> CameraSnapshot:
        """Everything at this moment."""
        with self._lock:
            now = self._clock()
            self._advance(now)
            recent = [delay for at, delay in self._recent if now - at <= RECENT_SECONDS]
            buckets, total = [], 0
            for count in self._delay_bins[:-1]:
                total += count
                buckets.append(total)
            p50, p99 = _percentiles(recent)
            return CameraSnapshot(
                name=self.name,
                scope=self._scope,
                state=self._state,
                state_seconds=now - self._state_at,
                frames_in=self._frames_in,
                frames_out=self._frames_out,
                placeholders_out=self._placeholders_out,
                seconds_since_frame_out=_since(self._frame_out_at, now),
                seconds_since_picture_out=_since(self._picture_out_at, now),
                frames_dropped=_frozen(self._dropped),
                faces=self._faces,
                tracks_alive=self._tracks_alive,
                fallbacks=_frozen(self._fallbacks),
                fail_closed=_frozen(self._fail_closed),
                stages=MappingProxyType(dict(self._stages)),
                queues=MappingProxyType(dict(self._queues)),
                reconnects=self._reconnects,
                delay_buckets=tuple(buckets),
                delay_count=total + self._delay_bins[-1],
                delay_sum_seconds=self._delay_sum,
                delay_p50_seconds=p50,
                delay_p99_seconds=p99,
                epsilon_spent=self._epsilon,
                overload=self._overload,
                history=tuple(_point(slot, now) for slot in self._history),
            )

    def _advance(self, now: float) -> None:
        """Close the slots that are over. A long silence gives empty ones, no more than are kept."""
        if now < self._slot_end:
            return
        missed = int((now - self._slot_end) // HISTORY_SLOT_SECONDS)
        p50, p99 = _percentiles(self._slot.delays)
        closed = _ClosedSlot(self._slot_end, self._slot.frames_in, self._slot.frames_out, p50, p99)
        self._history.append(closed)
        for index in range(max(0, missed - HISTORY_SLOTS), missed):
            end = self._slot_end + (index + 1) * HISTORY_SLOT_SECONDS
            self._history.append(_ClosedSlot(end, 0, 0, None, None))
        self._slot = _Slot()
        self._slot_end += (missed + 1) * HISTORY_SLOT_SECONDS


def _percentiles(delays: Sequence[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile by nearest rank; None for nothing."""
    if not delays:
        return None, None
    ordered = sorted(delays)
    last = len(ordered) - 1
    return ordered[round(0.5 * last)], ordered[round(0.99 * last)]


def _point(slot: _ClosedSlot, now: float) -> HistoryPoint:
    return HistoryPoint(
        now - slot.end,
        slot.frames_in / HISTORY_SLOT_SECONDS,
        slot.frames_out / HISTORY_SLOT_SECONDS,
        slot.delay_p50,
        slot.delay_p99,
    )


def _frozen(counts: Counter[str]) -> Mapping[str, int]:
    return MappingProxyType(dict(sorted(counts.items())))


def _since(at: float | None, now: float) -> float | None:
    return None if at is None else now - at


def _text(reason: str) -> str:
    """The value of a member of an enumeration, which is what readers know it by."""
    return str(reason.value) if isinstance(reason, Enum) else reason
