"""The real pycuda, over a driver that works in host memory: its contexts, threads and lifetimes are as we think."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.mark.skipif(importlib.util.find_spec("pycuda") is None, reason="needs pycuda (extra `gpu`)")
@pytest.mark.skipif(importlib.util.find_spec("polygraphy") is None, reason="needs polygraphy (extra `test`)")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_real_pycuda_agrees_with_its_stand_in(tmp_path: Path) -> None:
    library = tmp_path / "libcuda.so.1"
    command = [
        "cc",
        "-O1",
        "-shared",
        "-fPIC",
        "-Wl,-soname,libcuda.so.1",
        "-o",
        library,
        HERE / "fake_driver.c",
    ]
    subprocess.run(command, check=True)
    paths = [str(tmp_path), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    python_paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(paths),
        "PYTHONPATH": ":".join(python_paths),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", HERE / "pycuda_check.py", tmp_path],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all is well"
    # pycuda reports what it cannot clean up there, and does not raise.
    assert done.stderr == ""
