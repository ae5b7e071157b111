"""The command `veilstream`."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

from streamer.cli.exit_codes import INTERRUPTED, INTERRUPTED_LINE


def main() -> NoReturn:
    """Entry point. Imports take a second, and libraries in the midst of theirs turn Ctrl-C into errors of their own."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_at_once)
    from streamer.cli.app import main as run

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, before)
    run()


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    # Nothing has begun that would have to be ended in good order.
    os.write(2, f"{INTERRUPTED_LINE}\n".encode())
    os._exit(INTERRUPTED)
