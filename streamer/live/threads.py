"""Threads whose exceptions never reach the terminal: a traceback may carry a URL with its password."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


def start_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread. What `run` raises is logged by its type alone."""

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            _log.critical("thread %s ended (%s)", name, type(error).__name__)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread
