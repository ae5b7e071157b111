"""`veilstream engines`: exit codes, JSON that parses, and reasons that reach the reader whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from engines.backends import BackendStatus
from engines.bench import Comparison
from engines.errors import EngineError
from streamer.cli import engines as module
from streamer.cli.engines import engines_app


def run(*arguments: str) -> Any:
    return CliRunner().invoke(engines_app, arguments)


def test_list_names_every_backend_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = (
        BackendStatus("onnxruntime", True, "1.0 on the CPU"),
        BackendStatus("tensorrt", False, "not installed; pip install 'veilstream[gpu]'"),
    )
    monkeypatch.setattr(module, "backend_statuses", lambda: statuses)
    monkeypatch.setattr(module, "choose_backend", lambda name: statuses[0])
    lines = run("list").stdout.splitlines()
    assert "yes (auto)" in lines[1]
    # Square brackets are markup to the library that draws the table.
    assert lines[2].rstrip().endswith("pip install 'veilstream[gpu]'")
    document = json.loads(run("list", "--json").stdout)
    assert [(row["name"], row["available"], row["auto"]) for row in document] == [
        ("onnxruntime", True, True),
        ("tensorrt", False, False),
    ]


def test_bench_prints_the_figures_asked_for() -> None:
    options = ["iris", "--engine", "onnxruntime", "--batch", "2", "--seconds", "0"]
    assert "iris" in run("bench", *options).stdout
    (row,) = json.loads(run("bench", *options, "--json").stdout)
    assert (row["model"], row["backend"], row["batch"]) == ("iris", "onnxruntime", 2)
    assert 0 < row["median_ms"] <= row["p95_ms"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (Comparison("iris", "openvino", difference=1e-5), 0),
        (Comparison("iris", "openvino", difference=2e-3), 1),
        (Comparison("iris", "openvino", problem="refused"), 1),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_compare_fails_when_a_backend_does_not_agree(
    monkeypatch: pytest.MonkeyPatch, row: Comparison, code: int, form: tuple[str, ...]
) -> None:
    monkeypatch.setattr(module, "compare", lambda *args, **kwargs: iter([row]))
    result = run("compare", "iris", *form)
    assert result.exit_code == code
    assert "iris" in result.stdout


def test_build_without_a_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    error = run("build").exception
    assert isinstance(error, EngineError)
    assert "GPU is required" in str(error)
    assert "\n" not in str(error)
