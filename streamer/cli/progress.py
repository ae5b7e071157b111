"""How far a job is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.pipeline import Progress as Snapshot
from streamer.pipeline import ProgressCallback

PLAIN_LINE_EVERY_SECONDS = 10.0


@contextmanager
def progress_display(name: str, duration_seconds: float | None, *, quiet: bool) -> Iterator[ProgressCallback]:
    """Yield the callback to hand to a job. Writes to stderr, so that stdout stays for results."""
    if quiet:
        yield lambda snapshot: None
    elif sys.stderr.isatty():
        with _bar(name, duration_seconds) as callback:
            yield callback
    else:
        yield _PlainLines(name, duration_seconds)


@contextmanager
def engine_notices(*, quiet: bool) -> Iterator[None]:
    """Show what engines have to say while they are opened: the first time, TensorRT compiles for minutes."""
    logger = logging.getLogger("engines")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("veilstream: %(message)s"))
    before = logger.level
    if not quiet:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def _bar(name: str, duration_seconds: float | None) -> Iterator[ProgressCallback]:
    start = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=duration_seconds, counts="")

        def update(snapshot: Snapshot) -> None:
            rate = snapshot.frames / max(time.monotonic() - start, 1e-6)
            counts = f"{snapshot.frames} frames  {rate:.1f}/s  {snapshot.faces} faces"
            progress.update(task, completed=max(snapshot.pts_seconds, 0.0), counts=counts)

        yield update


class _PlainLines:
    """One line every few seconds, for logs and pipes."""

    def __init__(self, name: str, duration_seconds: float | None) -> None:
        self._name = name
        self._duration_seconds = duration_seconds
        self._start = self._last = time.monotonic()

    def __call__(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now - self._last < PLAIN_LINE_EVERY_SECONDS:
            return
        self._last = now
        rate = snapshot.frames / max(now - self._start, 1e-6)
        print(
            f"{self._name}: {snapshot.frames} frames, {rate:.1f}/s, {snapshot.faces} faces{self._eta(snapshot, now)}",
            file=sys.stderr,
            flush=True,
        )

    def _eta(self, snapshot: Snapshot, now: float) -> str:
        if not self._duration_seconds or snapshot.pts_seconds <= 0.0:
            return ""
        share = min(snapshot.pts_seconds / self._duration_seconds, 1.0)
        return f", about {(now - self._start) * (1.0 - share) / share:.0f} s left"
