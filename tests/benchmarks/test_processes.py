"""Time and memory of a process are its own, whoever started it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.processes import run_timed


def test_peak_memory_is_that_of_the_process_alone() -> None:
    of_the_starter = np.ones(60_000_000, dtype=np.float64)
    small = run_timed([sys.executable, "-c", "import time; time.sleep(0.4)"])
    large = run_timed(
        [
            sys.executable,
            "-c",
            "import time; kept = bytearray(300 << 20); kept[::4096] = b'1' * 76800; time.sleep(0.4)",
        ]
    )
    assert of_the_starter.nbytes / 2**20 > 400
    assert 1 < small.peak_mib < 100
    assert 300 < large.peak_mib < 400
    assert small.wall >= 0.4 > small.user


def test_a_command_that_fails_says_how() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: no luck"):
        run_timed([sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])
