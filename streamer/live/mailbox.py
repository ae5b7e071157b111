"""The queue of live video: a full one lets its oldest item go, so that what is shown is never late."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Any number of writers, one reader. Writers never wait.

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
                while len(self._items) > self.capacity:
                    dropped.append(self._items.popleft())
                self._changed.notify()
        for old in dropped:
            self._on_drop(old)

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

    def clear(self) -> int:
        """Let everything go that waits; gives how many there were."""
        with self._changed:
            dropped, self._items = list(self._items), deque()
        for old in dropped:
            self._on_drop(old)
        return len(dropped)
