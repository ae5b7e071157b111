"""Precision is decided in the ONNX file: what float16 and quantised files give, measured with onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from engines.backends.tensorrt.prepare import prepare
from engines.errors import EngineError
from engines.zoo import registry

# Largest difference of float16 from float32 over all outputs, as a share of the output's largest value; measured
# .0004 to .0072 on noise, the least natural of inputs.
FLOAT16_DIFFERENCE = 0.01

INPUTS: dict[str, tuple[tuple[int, ...], float, float]] = {
    "retinaface-mnet025": ((1, 3, 96, 128), -128.0, 128.0),
    "yunet": ((1, 3, 96, 128), 0.0, 255.0),
    "centerface": ((1, 3, 96, 128), 0.0, 255.0),
    "face-mesh": ((1, 192, 192, 3), 0.0, 1.0),
    "iris": ((1, 64, 64, 3), 0.0, 1.0),
    "sface": ((1, 3, 112, 112), 0.0, 255.0),
    "decoder-v1": ((1, 12, 128, 128), 0.0, 1.0),
}


def run(model: bytes, inputs: dict[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = [*session.get_inputs(), *session.get_outputs()]
    assert {value.type for value in values} == {"tensor(float)"}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def model_and_inputs(name: str) -> tuple[bytes, dict[str, Any]]:
    shape, low, high = INPUTS[name]
    array = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
    item = registry.entry(name)
    return registry.read_checked(item), {next(iter(item.inputs)): array}


@pytest.mark.parametrize("name", INPUTS)
def test_float16_stays_close_to_float32_and_keeps_its_inputs_and_outputs(name: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the float16 conversion needs onnx (extra `gpu`)")
    model, inputs = model_and_inputs(name)
    half = prepare(model, "fp16")
    expected, result = run(model, inputs), run(half, inputs)
    assert result.keys() == expected.keys()
    for key, array in expected.items():
        assert np.abs(result[key] - array).max() < FLOAT16_DIFFERENCE * max(1.0, float(np.abs(array).max()))
    kinds = {item.data_type for item in onnx.load_from_string(half).graph.initializer if item.dims}
    assert onnx.TensorProto.FLOAT16 in kinds


@pytest.mark.parametrize("name", ["yunet", "sface"])
def test_weights_stored_as_bytes_are_folded(name: str) -> None:
    """TensorRT need not know how to fold Cast, Sub and Mul behind int8 constants; the values stay."""
    model, inputs = model_and_inputs(name)
    folded = prepare(model, "fp32")
    assert len(folded) > 1.5 * len(model)
    expected, result = run(model, inputs), run(folded, inputs)
    assert all(np.array_equal(result[key], array) for key, array in expected.items())


@pytest.fixture(scope="module")
def quantised() -> bytes:
    """A convolution between QuantizeLinear / DequantizeLinear pairs, with int8 weights."""
    onnx = pytest.importorskip("onnx", reason="makes a quantised file")
    helper, kinds = onnx.helper, onnx.TensorProto
    generator = np.random.default_rng(0)
    constants = {
        "scale": np.array(0.05, np.float32),
        "zero": np.array(0, np.int8),
        "weights": generator.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8),
        "weight_scale": generator.uniform(0.01, 0.02, 4).astype(np.float32),
        "weight_zero": np.zeros(4, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["weights", "weight_scale", "weight_zero"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["batch", 4, 6, 6])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def test_a_quantised_file_is_compiled_as_it_stands(quantised: bytes) -> None:
    onnx = pytest.importorskip("onnx")
    prepared = prepare(quantised, "fp32")
    graph = onnx.load_from_string(prepared).graph
    kinds = [node.op_type for node in graph.node]
    assert sorted(kinds) == ["Conv", "DequantizeLinear", "DequantizeLinear", "QuantizeLinear"]
    assert onnx.TensorProto.INT8 in {item.data_type for item in graph.initializer if len(item.dims) == 4}
    x = {"x": np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)}
    assert np.allclose(run(prepared, x)["y"], run(quantised, x)["y"], atol=1e-5)


def test_a_quantised_file_runs_and_says_so(standin: Any, quantised: bytes) -> None:
    x = {"x": np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)}
    with standin.open(quantised) as engine:
        assert engine.describe().precision == "int8"
        assert np.allclose(engine.infer(x)["y"], run(quantised, x)["y"], atol=1e-5)


def test_float16_of_a_quantised_file_is_refused(quantised: bytes) -> None:
    with pytest.raises(EngineError, match="compiled as it is"):
        prepare(quantised, "fp16")


def test_float16_runs_and_has_a_plan_of_its_own(standin: Any) -> None:
    pytest.importorskip("onnx", reason="the float16 conversion needs onnx (extra `gpu`)")
    model, inputs = model_and_inputs("iris")
    with standin.open(model) as engine:
        expected = engine.infer(inputs)
    with standin.open(model, precision="fp16") as engine:
        result = engine.infer(inputs)
        assert engine.describe().precision == "fp16"
        assert {spec.dtype for spec in (*engine.inputs, *engine.outputs)} == {"float32"}
    assert len(standin.trt.faults.builds) == 2
    assert any(not np.array_equal(result[key], array) for key, array in expected.items())
    assert all(np.allclose(result[key], array, rtol=0.01, atol=0.5) for key, array in expected.items())


def test_another_precision_is_refused() -> None:
    with pytest.raises(EngineError, match="there are: fp32, fp16"):
        prepare(b"", "int4")  # type: ignore[arg-type]


def test_float16_without_onnx_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(EngineError, match=r"pip install 'veilstream\[gpu\]'"):
        prepare(registry.read_checked(registry.entry("yunet")), "fp16")
