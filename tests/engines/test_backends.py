"""One model gives the same numbers on every backend, and a damaged one is refused with one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.backends import available_backends, open_engine
from engines.errors import EngineError, ModelMissingError
from engines.zoo import registry

MODELS = {
    "retinaface-mnet025": ((1, 3, 96, 128), 128.0),
    "yunet": ((1, 3, 96, 128), 255.0),
    "centerface": ((1, 3, 96, 128), 255.0),
    "face-mesh": ((2, 192, 192, 3), 1.0),
    "iris": ((2, 64, 64, 3), 1.0),
    "sface": ((2, 3, 112, 112), 255.0),
    "decoder-v1": ((2, 12, 128, 128), 1.0),
}
# Tests skip those whose extra is absent.
OTHERS = ["openvino", "torch"]
BACKENDS_HERE = ["onnxruntime", *OTHERS]


def random_inputs(name: str) -> dict[str, Any]:
    shape, high = MODELS[name]
    array = np.random.default_rng(0).uniform(0, high, shape).astype(np.float32)
    return {next(iter(registry.entry(name).inputs)): array}


@pytest.mark.parametrize("name", MODELS)
def test_tensors_are_those_of_the_registry(name: str) -> None:
    engine = registry.open_model(name)
    item = registry.entry(name)
    for specs, stated in ((engine.inputs, item.inputs), (engine.outputs, item.outputs)):
        shapes = {
            key: [size if isinstance(size, int) else None for size in row] for key, row in stated.items()
        }
        assert {spec.name: list(spec.shape) for spec in specs} == shapes
        assert {spec.dtype for spec in specs} == {"float32"}


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("name", MODELS)
def test_every_backend_agrees_with_onnxruntime(name: str, backend: Any) -> None:
    pytest.importorskip(backend)
    inputs = random_inputs(name)
    reference = registry.open_model(name, backend="onnxruntime")
    expected = reference.infer(inputs)
    other = registry.open_model(name, backend=backend)
    found = other.infer(inputs)
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert np.abs(found[key] - array).max() < 1e-3
    assert other.inputs == reference.inputs
    assert [(spec.name, spec.dtype) for spec in other.outputs] == [
        (spec.name, spec.dtype) for spec in reference.outputs
    ]


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_outputs_are_the_callers_to_keep(backend: Any) -> None:
    pytest.importorskip(backend)
    engine = registry.open_model("iris", backend=backend)
    inputs = random_inputs("iris")
    first = engine.infer(inputs)
    kept = {name: array.copy() for name, array in first.items()}
    engine.infer({name: 1 - array for name, array in inputs.items()})
    for name, array in first.items():
        assert np.array_equal(array, kept[name])


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_an_engine_says_what_runs_it(backend: Any) -> None:
    pytest.importorskip(backend)
    with registry.open_model("yunet", backend=backend, threads=2) as engine:
        info = engine.describe()
        engine.warm_up()
    assert info.backend.startswith(backend)
    assert info.weights_sha256 == registry.entry("yunet").sha256
    assert (info.device, info.precision, info.threads) == ("cpu", "fp32", 2)


@pytest.mark.parametrize("backend", BACKENDS_HERE)
@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"input_1": np.zeros((1, 64, 63, 3), np.float32)},
        {"input_1": np.zeros((1, 64, 64, 3), np.uint8)},
        {"other": np.zeros((1, 64, 64, 3), np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_engine_errors(backend: Any, inputs: dict[str, Any]) -> None:
    pytest.importorskip(backend)
    engine = registry.open_model("iris", backend=backend)
    with pytest.raises(EngineError) as caught:
        engine.infer(inputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS_HERE)
@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "flipped"])
def test_a_damaged_model_is_refused_with_one_line(backend: Any, damage: str) -> None:
    pytest.importorskip(backend)
    data = registry.read_checked(registry.entry("yunet"))
    damaged = {
        "empty": b"",
        "truncated": data[: len(data) // 2],
        "text": b"<html>not found</html>",
        "flipped": bytes(255 - byte for byte in data),
    }[damage]
    with pytest.raises(EngineError) as caught:
        open_engine(damaged, backend=backend)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unknown_backend_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"none\.onnx"):
        open_engine(tmp_path / "none.onnx")
    with pytest.raises(EngineError, match="onnxruntime"):
        open_engine(b"", backend="tpu")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="threads"):
        open_engine(b"", threads=0)


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_float16_is_refused_where_nothing_computes_in_it(backend: Any) -> None:
    pytest.importorskip(backend)
    with pytest.raises(EngineError, match=f"{backend} does not compute in float16"):
        registry.open_model("iris", backend=backend, fp16=True)


def test_a_backend_that_is_not_installed_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(EngineError, match=r"pip install 'veilstream\[openvino\]'"):
        open_engine(b"", backend="openvino")


def test_the_default_backend_is_always_there() -> None:
    assert available_backends()[0] == "onnxruntime"
    info = registry.open_model("yunet").describe()
    assert info.backend.startswith("onnxruntime")
