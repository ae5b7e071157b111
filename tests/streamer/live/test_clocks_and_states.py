"""Back-off, states, queues and time stamps: what the gateway's threads lean on."""

from __future__ import annotations

import itertools

import pytest

from streamer.live.backoff import BASE_SECONDS, CAP_SECONDS, Backoff
from streamer.live.frame import TICKS_PER_SECOND
from streamer.live.mailbox import Mailbox
from streamer.live.rebase import LinkClock, OutputClock
from streamer.live.states import CameraState, StateMachine
from streamer.live.threads import start_thread

SECOND = TICKS_PER_SECOND
FRAME = SECOND // 25


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _longest(low: float, high: float) -> float:
    assert low == 0.0
    return high


def test_backoff_doubles_up_to_its_cap_and_draws_from_zero() -> None:
    backoff = Backoff(uniform=_longest)
    waits = [backoff.next_seconds() for _ in range(10)]
    assert waits[:4] == [BASE_SECONDS * 2**tries for tries in range(4)]
    assert max(waits) == waits[-1] == CAP_SECONDS


def test_backoff_is_reset_by_ten_seconds_of_frames_alone() -> None:
    """A camera that greets and hangs up must not be called without end."""
    clock = Clock()
    backoff = Backoff(uniform=_longest, clock=clock)
    for _ in range(3):
        backoff.next_seconds()
    for _ in range(90):
        clock.now += 0.1
        backoff.frame()
    assert backoff.next_seconds() == BASE_SECONDS * 8
    for _ in range(102):
        clock.now += 0.1
        backoff.frame()
    assert backoff.next_seconds() == BASE_SECONDS


def test_frames_with_gaps_are_no_healthy_run() -> None:
    clock = Clock()
    backoff = Backoff(uniform=_longest, clock=clock)
    backoff.next_seconds()
    for _ in range(20):
        clock.now += 3.0
        backoff.frame()
    assert backoff.next_seconds() == BASE_SECONDS * 2


def test_a_camera_that_ended_stays_ended() -> None:
    seen: list[CameraState] = []
    machine = StateMachine("door", seen.append)
    assert machine.go(CameraState.RUNNING)
    assert not machine.go(CameraState.CONNECTING)
    assert machine.go(CameraState.STALLED)
    assert machine.go(CameraState.RECONNECTING)
    assert not machine.go(CameraState.STALLED)
    assert machine.go(CameraState.ENDED)
    assert not machine.go(CameraState.RUNNING)
    assert machine.is_final
    assert seen == [
        CameraState.RUNNING,
        CameraState.STALLED,
        CameraState.RECONNECTING,
        CameraState.ENDED,
    ]


def test_a_full_mailbox_lets_the_oldest_go() -> None:
    dropped: list[int] = []
    box: Mailbox[int] = Mailbox(2, dropped.append)
    for item in range(5):
        box.put(item)
    assert dropped == [0, 1, 2]
    assert [box.get(0.0), box.get(0.0), box.get(0.0)] == [3, 4, None]
    assert not box.is_done
    for item in (7, 5):
        box.put(item)
    box.keep_newest(1)
    assert dropped == [0, 1, 2, 7]
    assert box.dropped == 4
    box.finish()
    box.put(6)
    assert dropped[-1] == 6
    assert not box.is_done
    assert box.get(None) == 5
    assert box.get(None) is None
    assert box.is_done


def test_the_link_clock_joins_connections_that_start_anywhere() -> None:
    clock = LinkClock()
    placed = []
    for first in (7_000_000, 0, 90_000_000):
        clock.begin()
        placed.append(clock.place(None, FRAME))
        placed += [clock.place(first + index * FRAME, FRAME) for index in range(3)]
    assert placed == [index * FRAME for index in range(12)]


def test_the_link_clock_keeps_distances_and_mends_bad_stamps() -> None:
    clock = LinkClock()
    clock.begin()
    assert [clock.place(pts, FRAME) for pts in (0, 5000, 5000 + SECOND)] == [0, 5000, 5000 + SECOND]
    assert clock.place(5000 + SECOND - 10, FRAME) == 5000 + SECOND + 1
    assert clock.place(5000 + SECOND + FRAME, FRAME) == 5000 + SECOND + FRAME
    far = clock.place(5000 + 3600 * SECOND, FRAME)
    assert far == 5000 + SECOND + 2 * FRAME
    assert clock.place(5000 + 3600 * SECOND + FRAME, FRAME) == far + FRAME


def test_output_stamps_rise_through_losses_and_placeholders() -> None:
    clock = OutputClock()
    placed = [clock.place(1000 + index * FRAME, 1, 50.0 + index * 0.04) for index in range(3)]
    assert placed == [0, FRAME, 2 * FRAME]
    placed += [clock.fill(53.0), clock.fill(53.2)]
    assert placed[-1] == round(3.2 * SECOND)
    placed += [clock.place(10, 2, 54.0), clock.place(10 + FRAME, 2, 54.01)]
    assert placed[-2:] == [4 * SECOND, 4 * SECOND + FRAME]
    # A camera whose clock runs ahead of ours, then a placeholder: stamps still rise.
    placed += [clock.place(10 + FRAME + SECOND, 2, 54.02), clock.fill(54.1), clock.place(99, 3, 54.2)]
    assert all(later - earlier >= SECOND // 1000 for earlier, later in itertools.pairwise(placed))


def test_a_thread_that_dies_tells_no_secret(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        raise RuntimeError("rtsp://operator:hunter2@cam/1")

    start_thread("door-read", die).join()
    shown = caplog.text + "".join(capfd.readouterr())
    assert "thread door-read ended (RuntimeError)" in shown
    assert "hunter2" not in shown
