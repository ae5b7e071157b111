"""Threads whose exceptions never reach the terminal: a traceback may carry a URL with its password."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class GuardedThread(threading.Thread):
    """A daemon thread. What `run_once` raises is logged by its type alone.

    Attributes:
        has_died: it was ended by an exception, not by itself.
    """

    def __init__(self, name: str, run_once: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._run_once = run_once
        self.has_died = False

    def run(self) -> None:
        try:
            self._run_once()
        except BaseException as error:
            self.has_died = True
            _log.critical("thread %s ended (%s)", self.name, type(error).__name__)


def start_thread(name: str, run: Callable[[], None]) -> GuardedThread:
    """Start a thread; see `GuardedThread`."""
    thread = GuardedThread(name, run)
    thread.start()
    return thread
