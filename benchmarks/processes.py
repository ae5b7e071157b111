"""Whole processes, timed: wall clock, user and system seconds, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process. Seconds; peak memory in MiB."""

    wall: float
    user: float
    system: float
    peak_mib: float


def run_timed(command: Sequence[str], environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end. Raises RuntimeError with the end of its output when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    with _Peak(process.pid) as peak:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = output.decode(errors="replace")[-400:]
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {tail}")
    return Run(wall, usage.ru_utime, usage.ru_stime, peak.mib)


class _Peak:
    """Largest memory of another process, looked at while it runs.

    Not from its resource usage: there a process begins with the memory of the one that started it.
    """

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                text = self._status.read_text(encoding="ascii", errors="replace")
            except OSError:
                return
            for line in text.splitlines():
                if line.startswith("VmHWM:"):
                    self.mib = max(self.mib, int(line.split()[1]) / 1024)


def interleaved(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[Run]]:
    """Run the commands in turn, `rounds` times, after one warm-up each: drift of the machine hits all alike."""
    results: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            run = run_timed(command)
            if turn > 0:
                results[name].append(run)
            print(f"{name}: {run.wall:.2f} s{'' if turn else ' (warm-up)'}", file=sys.stderr, flush=True)
    return results


def median_run(runs: Sequence[Run]) -> Run:
    """Median of each figure by itself."""
    return Run(
        median(run.wall for run in runs),
        median(run.user for run in runs),
        median(run.system for run in runs),
        median(run.peak_mib for run in runs),
    )


def machine() -> str:
    """Processor, cores and memory, for the head of a table."""
    model = "unknown processor"
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as stream:
            model = next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{model}, {os.cpu_count()} cores, {pages:.0f} GiB"
