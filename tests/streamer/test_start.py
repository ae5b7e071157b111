"""A command starts without what it does not use: such packages take longer to import than a short clip takes."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("fastapi", "onnx", "openvino", "prometheus_client", "scipy", "tensorrt", "torch", "uvicorn")


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = f"import sys, streamer.cli, streamer.job; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
