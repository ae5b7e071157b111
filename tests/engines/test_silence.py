"""Nothing is told to anybody: onnxruntime's own telemetry stays off, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.errors import EngineError
from engines.places import user_cache_directory

COUNT_THREADS = "; import os, time; time.sleep(0.5); print(len(os.listdir('/proc/self/task')))"


def threads_after(statement: str, asked: str) -> int:
    """Threads of a new process; onnxruntime sends from one of its own, but for machines that build and test."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", statement + COUNT_THREADS],
        env={
            **environment,
            "ORT_DISABLE_TELEMETRY": asked,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_onnxruntime_is_silent_even_where_the_environment_asks_it_to_talk() -> None:
    silent = threads_after("import cv2, onnxruntime", "1")
    for ours in ("engines.backends.onnxruntime_backend", "streamer"):
        assert threads_after(f"import cv2, {ours}, onnxruntime", "0") == silent


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(EngineError, match="XDG_CACHE_HOME"):
        user_cache_directory()
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert user_cache_directory() == Path("/var/cache/veilstream")
