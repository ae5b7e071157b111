"""Frames cross between threads in order, a full queue waits, and ends and failures cross as well."""

from __future__ import annotations

import threading
import time

import pytest

from streamer.queues import BoundedQueue, frames_that_fit


def test_items_arrive_in_order_and_the_writer_never_runs_ahead_of_the_capacity() -> None:
    queue: BoundedQueue[int] = BoundedQueue(3)
    longest = 0

    def write() -> None:
        for number in range(200):
            assert queue.put(number)
        queue.finish()

    thread = threading.Thread(target=write)
    thread.start()
    received = []
    for number in queue:
        longest = max(longest, len(queue))
        received.append(number)
    thread.join()
    assert received == list(range(200))
    assert longest <= 3


def test_a_full_queue_makes_the_writer_wait() -> None:
    queue: BoundedQueue[int] = BoundedQueue(2)
    done = threading.Event()

    def write() -> None:
        for number in range(3):
            queue.put(number)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not done.wait(0.05)
    assert next(iter(queue)) == 0
    assert done.wait(5)
    thread.join()


def test_the_writers_failure_is_raised_after_what_it_delivered() -> None:
    queue: BoundedQueue[int] = BoundedQueue(4)
    queue.put(1)
    queue.finish(ValueError("broken"))
    reader = iter(queue)
    assert next(reader) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reader)


def test_a_reader_that_leaves_frees_the_writer() -> None:
    queue: BoundedQueue[int] = BoundedQueue(1)
    queue.put(1)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(queue.put(2)))
    thread.start()
    time.sleep(0.02)
    queue.cancel()
    thread.join(5)
    assert answers == [False]
    assert queue.cancelled
    assert list(queue) == []


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity = 0"):
        BoundedQueue(0)


def test_large_frames_wait_in_smaller_numbers() -> None:
    assert frames_that_fit(8, 640, 360, 8) == 8
    assert frames_that_fit(8, 3840, 2160, 10) == 2
    assert frames_that_fit(8, 1920, 1080, 8) == 8
