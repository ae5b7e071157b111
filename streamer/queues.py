"""The bounded queue between two threads: a full one makes the writer wait, an empty one the reader."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


# Frames that wait must not fill the memory: a 4K frame of 10 bits takes 25 MB, and a job holds several queues.
_QUEUE_BYTES = 64_000_000


def frames_that_fit(wanted: int, width: int, height: int, bits: int) -> int:
    """How many frames of a size a queue may hold: what is wanted, fewer of large ones, at least 2."""
    frame_bytes = width * height * 1.5 * (1 if bits == 8 else 2)
    return max(2, min(wanted, int(_QUEUE_BYTES / frame_bytes)))


class BoundedQueue(Generic[T]):
    """One writer, one reader. Ends, and failures, travel across in both directions.

    Args:
        capacity: items held before the writer waits. Decoded frames are large: keep it small.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a queue needs room for an item, got {capacity = }")
        self.capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._cancelled = False
        self._error: BaseException | None = None

    @property
    def cancelled(self) -> bool:
        """True once the reader, or whoever stops the job, has given up."""
        return self._cancelled

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Wait for room, then add. False when the reader has gone: the writer should stop."""
        with self._changed:
            while len(self._items) >= self.capacity and not self._cancelled:
                self._changed.wait()
            if self._cancelled:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None = None) -> None:
        """The writer is done; `error` is raised in the reader once it has taken what is left."""
        with self._changed:
            self._finished = True
            self._error = error
            self._changed.notify_all()

    def cancel(self) -> None:
        """The reader is done: drop what is left and let a waiting writer go."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items until the writer has finished. Raises the writer's error."""
        while True:
            with self._changed:
                while not self._items and not self._finished and not self._cancelled:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
