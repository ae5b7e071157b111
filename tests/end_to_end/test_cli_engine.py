"""The engine that runs is named, and what was asked of hardware and not given reaches report and standard error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engines.errors import EngineError
from streamer.cli.app import app
from streamer.sink import hardware
from streamer.source import video_file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # A machine without GPU, whatever this one is.
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    def anonymize(clip: Path, *options: str) -> Any:
        arguments = ["anonymize", str(clip), "-o", str(tmp_path / "out.mp4"), *options]
        return CliRunner().invoke(app, arguments)

    return anonymize


def test_auto_says_what_it_took_and_hardware_that_is_not_there_is_loud(
    run: Any,
    walk_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(hardware, "encode_problem", lambda *args, **kwargs: "no device")
    monkeypatch.setattr(video_file, "is_built_in", lambda device: False)
    report = tmp_path / "report.json"
    result = run(
        walk_clip, "--replace-with", "solid", "--hwenc", "nvenc", "--hwdec", "vaapi", "--report", str(report)
    )
    assert result.exit_code == 0
    assert "engines: onnxruntime" in result.stderr
    (entry,) = json.loads(report.read_text())["files"]
    for direction in ("encoding", "decoding"):
        (notice,) = [line for line in entry["notices"] if f"no {direction} in hardware" in line]
        assert notice in caplog.text


@pytest.mark.parametrize("engine", ["auto", "tensorrt", "onnxruntime"])
def test_a_required_gpu_that_is_not_used_ends_the_job_before_it_begins(
    run: Any, walk_clip: Path, tmp_path: Path, engine: str
) -> None:
    result = run(walk_clip, "--require-gpu", "--engine", engine)
    assert isinstance(result.exception, EngineError)
    assert "a GPU is required" in str(result.exception)
    assert not (tmp_path / "out.mp4").exists()
