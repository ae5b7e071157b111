"""The queue of live video: a full one lets its oldest item go, so that what is shown is never late."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Any number of writers, one reader. Writers never wait.

    Attributes:
        dropped: items let go unread so far.

    Args:
        capacity: items kept.
        on_drop: called with each item that is let go unread, outside of the lock.
    """

    def __init__(self, capacity: int, on_drop: Callable[[T], None]) -> None:
        if capacity < 1:
            raise ValueError(f"a mailbox needs room for an item, got {capacity = }")
        self.capacity = capacity
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_done(self) -> bool:
        """True once the writers have finished and everything was read."""
        return self._finished and not self._items

    def put(self, item: T) -> None:
        """Add an item; after `finish` it is let go."""
        with self._changed:
            dropped = [item] if self._finished else []
            if not self._finished:
                self._items.append(item)
                dropped += self._beyond(self.capacity)
                self._changed.notify()
        self._tell(dropped)

    def get(self, timeout_seconds: float | None) -> T | None:
        """The oldest item; None when none came in time, or `is_done`."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._finished, timeout_seconds)
            return self._items.popleft() if self._items else None

    def finish(self) -> None:
        """No more items will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def keep_newest(self, count: int) -> None:
        """Let everything go that waits but the newest."""
        with self._changed:
            dropped = self._beyond(count)
        self._tell(dropped)

    def _beyond(self, count: int) -> list[T]:
        return [self._items.popleft() for _ in range(len(self._items) - count)]

    def _tell(self, dropped: list[T]) -> None:
        self.dropped += len(dropped)
        for item in dropped:
            self._on_drop(item)
