"""Quantisation of tiny networks: what the file is like, which layers stay float, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="INT8 needs the extra int8")

import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import Int8Error
from calibration.int8 import (
    MADE_FROM_KEY,
    Sample,
    measure_ranges,
    open_float_model,
    quantise_model,
    quantised,
    relative_error,
)
from calibration.int8.graph import OPSET
from engines.backends import int8 as backend_side
from engines.backends import open_engine
from engines.backends.int8 import is_quantised, with_unsigned_activations

SIDE = 12


def make_network(*, opset: int = 17, outlier: float = 1.0, channels: int = 24) -> bytes:
    """3 -> c -> c -> 4 channels of 3x3 convolutions with leaky rectifiers, the second normalised.

    Args:
        outlier: scales one channel up and, a layer later, down again: one scale for the whole tensor then serves the
            others badly.
    """
    random = np.random.default_rng(3)
    sizes = [(channels, 3), (channels, channels), (4, channels)]
    constants: dict[str, Any] = {}
    nodes = []
    name = "picture"
    for number, (wide, deep) in enumerate(sizes):
        weights = random.normal(0, (2 / (9 * deep)) ** 0.5, (wide, deep, 3, 3)).astype(np.float32)
        if number == 0:
            weights[0] *= outlier
        if number == 1:
            weights[:, 0] /= outlier
        constants[f"w{number}"] = weights
        constants[f"b{number}"] = random.normal(0, 0.1, wide).astype(np.float32)
        output = "answer" if number == 2 else f"x{number}"
        nodes.append(
            helper.make_node(
                "Conv", [name, f"w{number}", f"b{number}"], [output], name=f"conv{number}", pads=[1, 1, 1, 1]
            )
        )
        name = output
        if number == 1:
            for part, values in (("s", 1.5), ("o", 0.1), ("m", 0.05), ("v", 0.9)):
                constants[part] = np.full(wide, values, np.float32)
            nodes.append(
                helper.make_node("BatchNormalization", [name, "s", "o", "m", "v"], ["n"], name="norm")
            )
            name = "n"
        if number < 2:
            nodes.append(
                helper.make_node("LeakyRelu", [name], [f"a{number}"], name=f"act{number}", alpha=0.2)
            )
            name = f"a{number}"
    shape = ["batch", 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 4, SIDE, SIDE])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def samples(count: int, seed: int) -> list[Sample]:
    random = np.random.default_rng(seed)
    return [{"picture": random.random((1, 3, SIDE, SIDE), np.float32) * 2 - 1} for _ in range(count)]


def quantise(model: bytes, most_error: float) -> Any:
    return quantise_model(
        model,
        samples(8, 0),
        samples(4, 1),
        open_model=lambda data: open_engine(data).infer,
        most_error=most_error,
    )


def test_the_file_is_what_tensorrt_compiles() -> None:
    """Symmetric everywhere, weights per channel, no integer bias, nothing outside the standard."""
    model = onnx.load_from_string(quantise(make_network(), 0.1).model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero_point = constants[node.input[2]]
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
    weights = [constants[node.input[0]] for node in pairs if node.input[0] in constants]
    assert {array.dtype for array in weights} == {np.dtype(np.int8)}
    scales = [constants[node.input[1]] for node in pairs if node.input[0] in constants]
    assert all(scale.shape == (len(array),) for scale, array in zip(scales, weights, strict=True))
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_it_answers_like_the_float_model() -> None:
    result = quantise(make_network(), 0.1)
    assert result.float_layers == ()
    assert 0.0 < result.error <= 0.1
    run, reference = open_engine(result.model), open_engine(make_network())
    batch = {"picture": np.concatenate([sample["picture"] for sample in samples(5, 2)])}
    assert relative_error([reference.infer(batch)], [run.infer(batch)]) < 0.1
    assert run.describe().precision == "int8"
    assert reference.describe().precision == "fp32"


def test_the_worst_layer_goes_back_to_float_first() -> None:
    model = make_network(outlier=300.0)
    everything = quantise(model, 10.0)
    assert everything.float_layers == ()
    result = quantise(model, 0.05)
    assert result.error <= 0.05 < result.error_all == everything.error
    assert result.float_layers == tuple(layer.name for layer in result.layers[: len(result.float_layers)])
    assert [layer.error for layer in result.layers] == sorted((x.error for x in result.layers), reverse=True)
    # The fault lies between the first two; the third is sound.
    assert "conv2" not in result.float_layers


def test_layers_too_narrow_for_integer_kernels_stay_float() -> None:
    source = open_float_model(make_network(channels=24))
    assert source.narrow_layers == ()
    with pytest.raises(Int8Error, match="no convolution"):
        open_float_model(make_network(channels=8))


def test_old_opsets_and_batch_normalisations_are_brought_up() -> None:
    source = open_float_model(make_network(opset=11))
    assert source.proto.opset_import[0].version == OPSET
    assert "BatchNormalization" not in {node.op_type for node in source.proto.graph.node}
    assert quantise(make_network(opset=11), 0.1).error <= 0.1


def test_the_same_inputs_make_the_same_file_which_names_its_source() -> None:
    model = make_network()
    source = open_float_model(model)
    ranges = measure_ranges(source, samples(4, 0))
    first = quantised(source, ranges, ())
    assert first == quantised(source, ranges, ())
    session = onnxruntime.InferenceSession(first, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map[MADE_FROM_KEY] == source.sha256


def test_unsigned_activations_change_no_answer() -> None:
    model = quantise(make_network(), 0.1).model
    changed = with_unsigned_activations(model)
    assert len(changed) == len(model)
    assert sum(a != b for a, b in zip(changed, model, strict=True)) == 2
    (sample,) = samples(1, 5)
    answers = [
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, dict(sample))[0]
        for data in (model, changed)
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


def test_on_x86_every_layer_runs_in_integers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the two bytes are for: without them onnxruntime leaves convolutions in float."""
    path = tmp_path / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    model = with_unsigned_activations(quantise(make_network(), 0.1).model)
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("QLinearConv") == 3
    assert "Conv" not in kinds


def test_other_files_are_left_alone() -> None:
    model = make_network()
    assert with_unsigned_activations(model) == model
    assert not is_quantised(model)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no ONNX model"),
        (b"not a model at all", "no ONNX model"),
        (make_network()[:-200], "no ONNX model"),
    ],
)
def test_damaged_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(Int8Error, match=message) as caught:
        open_float_model(data)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_done_is_said() -> None:
    model = make_network()
    with pytest.raises(Int8Error, match="quantised already"):
        open_float_model(quantise(model, 0.1).model)
    with pytest.raises(Int8Error, match="costs this model too much"):
        quantise(model, 1e-9)
    source = open_float_model(model)
    with pytest.raises(Int8Error, match="no calibration input"):
        measure_ranges(source, [])
    with pytest.raises(Int8Error, match="does not fit"):
        measure_ranges(source, [{"picture": np.zeros((1, 5, SIDE, SIDE), np.float32)}])
    with pytest.raises(Int8Error, match="no input to measure"):
        quantise_model(
            model, samples(1, 0), [], open_model=lambda data: open_engine(data).infer, most_error=1.0
        )


def test_both_sides_know_the_same_names() -> None:
    """`engines` reads what `calibration` writes, and neither imports the other."""
    assert backend_side.MADE_FROM_KEY == MADE_FROM_KEY
