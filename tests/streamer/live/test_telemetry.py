"""Counters of a camera: right from any thread, percentiles over the last minute, memory that does not grow."""

from __future__ import annotations

import threading
import tracemalloc

import pytest

from streamer.live.states import CameraState
from streamer.live.telemetry import DELAY_BUCKETS_SECONDS, HISTORY_SLOTS, CameraTelemetry
from streamer.render.compositor import FallbackReason


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_counted_is_what_a_snapshot_says() -> None:
    clock = Clock()
    telemetry = CameraTelemetry("door", clock)
    telemetry.frame_in()
    telemetry.frame_in()
    telemetry.frame_dropped("queue_full")
    telemetry.faces(3)
    telemetry.tracks(2)
    telemetry.fallback(FallbackReason.TOO_SMALL)
    telemetry.fail_closed("detector_failed")
    telemetry.stage_seconds("analysis", 0.25)
    telemetry.stage_seconds("analysis", 0.5)
    telemetry.queue_fill("decoded", 3, 8)
    telemetry.reconnect()
    telemetry.epsilon(2.0)
    telemetry.epsilon(3.0)
    telemetry.overload(1)
    telemetry.frame_out()
    clock.now += 4
    telemetry.frame_out(placeholder=True)
    clock.now += 1
    got = telemetry.snapshot()
    assert (got.frames_in, got.frames_out, got.placeholders_out, got.faces) == (2, 1, 1, 3)
    assert (got.tracks_alive, got.reconnects, got.epsilon_spent, got.overload) == (2, 1, 3.0, 1)
    assert dict(got.frames_dropped) == {"queue_full": 1}
    assert dict(got.fallbacks) == {"too_small": 1}
    assert dict(got.fail_closed) == {"detector_failed": 1}
    assert (got.stages["analysis"].seconds, got.stages["analysis"].runs) == (0.75, 2)
    assert (got.queues["decoded"].items, got.queues["decoded"].capacity) == (3, 8)
    assert (got.seconds_since_frame_out, got.seconds_since_picture_out) == (5.0, 1.0)


def test_a_state_begins_when_it_is_entered_and_not_when_it_is_repeated() -> None:
    clock = Clock()
    telemetry = CameraTelemetry("door", clock)
    telemetry.state(CameraState.RUNNING)
    clock.now += 10
    telemetry.state(CameraState.RUNNING)
    assert telemetry.snapshot().state_seconds == 10
    telemetry.state(CameraState.STALLED)
    got = telemetry.snapshot()
    assert (got.state, got.state_seconds) == (CameraState.STALLED, 0)


def test_percentiles_are_of_the_last_minute_and_buckets_of_all_time() -> None:
    clock = Clock()
    telemetry = CameraTelemetry("door", clock)
    assert telemetry.snapshot().delay_p50_seconds is None
    telemetry.delay(99.0)
    clock.now += 61
    for hundredth in range(1, 101):
        telemetry.delay(hundredth / 100)
    got = telemetry.snapshot()
    assert got.delay_p50_seconds == pytest.approx(0.5, abs=0.011)
    assert got.delay_p99_seconds == pytest.approx(0.99, abs=0.011)
    assert got.delay_count == 101
    assert got.delay_sum_seconds == pytest.approx(99 + 50.5)
    # A bucket holds what is at most its bound.
    assert got.delay_buckets[DELAY_BUCKETS_SECONDS.index(0.1)] == 10
    assert got.delay_buckets[-1] == 100


def test_history_has_a_point_per_slot_also_for_silence() -> None:
    clock = Clock()
    telemetry = CameraTelemetry("door", clock)
    for _ in range(50):
        telemetry.frame_in()
        telemetry.frame_out()
        telemetry.delay(0.6)
    clock.now += 7
    points = telemetry.snapshot().history
    assert [point.frames_out_per_second for point in points] == [25.0, 0.0, 0.0]
    assert [point.delay_p50_seconds for point in points] == [0.6, None, None]
    assert [point.age_seconds for point in points] == [5.0, 3.0, 1.0]
    clock.now += 1e7
    assert len(telemetry.snapshot().history) == HISTORY_SLOTS


def test_threads_lose_no_count() -> None:
    telemetry = CameraTelemetry("door")

    def work() -> None:
        for _ in range(2000):
            telemetry.frame_in()
            telemetry.fallback("asked")
            telemetry.stage_seconds("render", 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        telemetry.snapshot()
    got = telemetry.snapshot()
    assert (got.frames_in, got.fallbacks["asked"], got.stages["render"].runs) == (8000, 8000, 8000)


def test_memory_is_flat_however_long_it_runs() -> None:
    clock = Clock()
    telemetry = CameraTelemetry("door", clock)

    def run(seconds: int) -> None:
        for _ in range(seconds * 10):
            clock.now += 0.1
            telemetry.frame_in()
            telemetry.frame_out()
            telemetry.delay(clock.now % 1.0)

    # Longer than anything is kept, so that everything kept was made while memory is traced.
    tracemalloc.start()
    try:
        run(420)
        before = tracemalloc.get_traced_memory()[0]
        run(420)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000
    assert len(telemetry.snapshot().history) == HISTORY_SLOTS


def test_a_snapshot_does_not_change_under_its_reader() -> None:
    telemetry = CameraTelemetry("door")
    telemetry.fallback("asked")
    got = telemetry.snapshot()
    telemetry.fallback("asked")
    assert got.fallbacks["asked"] == 1
    with pytest.raises(TypeError):
        got.fallbacks["asked"] = 7  # type: ignore[index]
