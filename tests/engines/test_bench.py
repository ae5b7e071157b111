"""A backend that computes something else is found out, and figures are those of the calls that were made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines import bench as module
from engines.bench import (
    Comparison,
    bench,
    compare,
    example_inputs,
    largest_difference,
    measure,
    open_named,
    runnable_models,
)
from engines.contract import TensorSpec
from engines.errors import EngineError
from engines.zoo import registry

X = (TensorSpec("x", (None, None), "float32"),)


def test_every_shipped_float_graph_is_measured() -> None:
    shipped = {
        item.name for item in registry.entries().values() if item.embedded and item.file.endswith(".onnx")
    }
    assert set(runnable_models()) == {name for name in shipped if not name.endswith(registry.INT8_SUFFIX)}


@pytest.mark.parametrize("name", ["iris", "yunet", "decoder-v1"])
def test_example_inputs_fit_the_graph_at_any_batch(name: str) -> None:
    with registry.open_model(name) as engine:
        inputs = example_inputs(name, engine.inputs, 3)
        outputs = engine.infer(inputs)
    assert all(len(array) == 3 for array in (*inputs.values(), *outputs.values()))


def test_figures_are_of_the_calls_made(stub_engine: Any) -> None:
    engine = stub_engine(lambda inputs: inputs, X)
    latency = measure("iris", "onnxruntime", 4, engine, seconds=0.0)
    assert engine.calls == latency.runs + 2
    assert 0 <= latency.median_ms <= latency.p95_ms


def test_a_bench_has_one_row_per_model_backend_and_batch() -> None:
    rows = list(bench(["iris"], ["onnxruntime"], [1, 2], seconds=0.0))
    assert [(row.model, row.backend, row.batch) for row in rows] == [
        ("iris", "onnxruntime", 1),
        ("iris", "onnxruntime", 2),
    ]
    assert all(row.median_ms > 0 and row.cpu_ms > 0 for row in rows)


def test_the_reference_agrees_with_itself() -> None:
    (row,) = compare(["iris"], ["onnxruntime"], seconds=0.0)
    assert row.agrees
    assert row.difference == 0.0


def test_a_backend_that_differs_or_fails_is_a_row_that_does_not_agree(
    monkeypatch: pytest.MonkeyPatch, stub_engine: Any
) -> None:
    real = module.open_named

    def opened(model: str, backend: Any, threads: int) -> Any:
        engine = real(model, "onnxruntime", threads)
        if backend == "onnxruntime":
            return engine
        if backend == "torch":
            raise EngineError("refused")
        off = {"openvino": 2e-3, "tensorrt": float("nan")}[backend]
        return stub_engine(
            lambda inputs: {name: array + off for name, array in engine.infer(inputs).items()}, engine.inputs
        )

    monkeypatch.setattr(module, "open_named", opened)
    rows = list(compare(["iris"], ["openvino", "torch", "tensorrt"], seconds=0.0))
    assert [row.agrees for row in rows] == [False, False, False]
    assert rows[0].difference == pytest.approx(2e-3, rel=0.1)
    assert rows[1].problem == "refused"


def test_agreement_ends_at_the_limit() -> None:
    assert Comparison("m", "b", difference=9e-4).agrees
    assert not Comparison("m", "b", difference=1e-3).agrees


def test_other_outputs_or_shapes_are_errors_and_nan_never_agrees() -> None:
    one = {"y": np.zeros((2, 3), np.float32)}
    with pytest.raises(EngineError, match="outputs"):
        largest_difference(one, {"z": one["y"]})
    with pytest.raises(EngineError, match=r"\(2, 1\)"):
        largest_difference(one, {"y": one["y"][:, :1]})
    two = {"y": one["y"], "z": one["y"]}
    for bad in ({"y": one["y"] * np.nan, "z": one["y"]}, {"y": one["y"], "z": one["y"] * np.nan}):
        assert np.isnan(largest_difference(two, bad))


@pytest.mark.parametrize("name", ["codebook-v1", "nope", "nowhere.onnx"])
def test_what_is_no_graph_is_refused_with_one_line(name: str) -> None:
    with pytest.raises(EngineError) as caught:
        open_named(name, "onnxruntime", 1)
    assert name in str(caught.value)
