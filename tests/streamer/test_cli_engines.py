"""`veilstream engines`: exit codes, JSON that parses, and reasons that reach the reader whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engines.backends import BackendStatus
from engines.backends.tensorrt import PlanKey, Profiles, default_plan_cache
from engines.backends.tensorrt.compile import Compiled
from engines.bench import Comparison
from engines.errors import EngineError
from engines.zoo.registry import entry
from streamer.cli import engines as module
from streamer.cli.engines import engines_app


def run(*arguments: str) -> Any:
    return CliRunner().invoke(engines_app, arguments)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
    assert [(row["name"], row["available"], row["auto"]) for row in document["backends"]] == [
        ("onnxruntime", True, True),
        ("tensorrt", False, False),
    ]


def test_list_names_the_compiled_plans() -> None:
    iris = PlanKey(entry("iris").sha256, Profiles(), "fp16", "11.4.0", "NVIDIA L4", "8.9")
    other = PlanKey("a" * 64, Profiles.for_pictures(1920, 1920), "fp32", "10.0.1", "NVIDIA T4", "7.5")
    for key in (iris, other):
        default_plan_cache().load_or_build(key, lambda timings: Compiled(b"plan" * 500_000, b""))
    lines = [line.strip() for line in run("list").stdout.splitlines()]
    (line,) = [line.split() for line in lines if line.startswith("iris")]
    assert line == ["iris", "fp16", *["up", "to", "1280", "px"], "11.4.0", "NVIDIA", "L4", "2.0"]
    assert any(line.startswith("a" * 12) and "up to 1920 px" in line for line in lines)
    plans = json.loads(run("list", "--json").stdout)["plans"]
    assert {plan["onnx_sha256"] for plan in plans} == {entry("iris").sha256, "a" * 64}


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
    error = run("build", "--precision", "fp16").exception
    assert isinstance(error, EngineError)
    assert "GPU is required" in str(error)
    assert "\n" not in str(error)
