"""Each ONNX operator in torch gives what onnxruntime gives, also in variants that the shipped graphs do not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.backends import open_engine
from engines.errors import EngineError

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

RANDOM = np.random.default_rng(3)


def graph(kind: str, x: Any, constants: list[Any] | None = None, opset: int = 17, **attributes: Any) -> bytes:
    """A graph of one node whose first input is free and whose others are constants."""
    names = ["x"] + [f"c{i}" for i in range(len(constants or []))]
    given = [name if i == 0 or (constants or [])[i - 1] is not None else "" for i, name in enumerate(names)]
    weights = [
        onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in zip(names[1:], constants or [], strict=True)
        if value is not None
    ]
    kind_of_x = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    made = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, given, ["y"], **attributes)],
        "one",
        [onnx.helper.make_tensor_value_info("x", kind_of_x, [None] * x.ndim)],
        [onnx.helper.make_empty_tensor_value_info("y")],
        weights,
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    data: bytes = model.SerializeToString()
    return data


def floats(*shape: int) -> Any:
    return RANDOM.normal(0, 1, shape).astype(np.float32)


PICTURE = floats(2, 4, 7, 9)
INT8_SCALES = np.array([0.02, 0.05, 0.03, 0.01], np.float32)

CASES = {
    "conv with uneven padding and groups": (
        "Conv", PICTURE, [floats(6, 2, 3, 3), floats(6)], {"group": 2, "pads": [0, 1, 2, 1], "strides": [2, 2]},
    ),
    "conv dilated": ("Conv", PICTURE, [floats(3, 4, 3, 3)], {"dilations": [2, 2], "pads": [1, 1, 1, 1]}),
    "transposed conv": (
        "ConvTranspose", PICTURE, [floats(4, 3, 3, 3)],
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    "max pool of a padded border": (
        "MaxPool", PICTURE - 9, [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]},
    ),
    "max pool, last window cut": ("MaxPool", PICTURE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "average pool": ("AveragePool", PICTURE, [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "resize to a size": (
        "Resize", PICTURE, [None, None, np.array([2, 4, 14, 20])],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    "resize by a scale": (
        "Resize", PICTURE, [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "linear"},
    ),
    "pad": ("Pad", PICTURE, [np.array([0, 1, 2, 0, 0, 0, 1, 3]), np.float32(2)], {}),
    "reshape that keeps a dimension": ("Reshape", PICTURE, [np.array([0, -1, 3])], {}),
    "flatten": ("Flatten", PICTURE, [], {"axis": 2}),
    "slice from the end with steps": (
        "Slice", PICTURE, [np.array([-5, 1]), np.array([9999, -1]), np.array([3, 2]), np.array([2, 1])], {},
    ),
    "gather": ("Gather", PICTURE, [np.array([[3, 0], [1, 1]])], {"axis": 1}),
    "unsqueeze": ("Unsqueeze", PICTURE, [np.array([0, -1])], {}),
    "softmax": ("Softmax", PICTURE, [], {"axis": 3}),
    "gemm": ("Gemm", floats(3, 5), [floats(4, 5), floats(4)], {"alpha": 0.5, "beta": 2.0, "transB": 1}),
    "depth to space": ("DepthToSpace", PICTURE, [], {"blocksize": 2, "mode": "CRD"}),
    "clip below only": ("Clip", PICTURE, [np.float32(-0.5)], {}),
    "batch norm": ("BatchNormalization", PICTURE, [floats(4), floats(4), floats(4), floats(4) ** 2], {"epsilon": 1e-3}),
    "integer division": ("Div", np.array([7, -7, 9], np.int64), [np.array([2, 2, 4])], {}),
    "quantise by tensor": ("QuantizeLinear", PICTURE, [np.float32(0.02), np.uint8(128)], {}),
    "quantise by channel": ("QuantizeLinear", PICTURE, [INT8_SCALES, np.zeros(4, np.int8)], {"axis": 1}),
    "dequantise by channel": (
        "DequantizeLinear", RANDOM.integers(-128, 128, (2, 4, 3)).astype(np.int8),
        [INT8_SCALES, np.array([0, 5, -3, 1], np.int8)], {"axis": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_that_of_onnxruntime(name: str) -> None:
    kind, x, constants, attributes = CASES[name]
    data = graph(kind, x, constants, **attributes)
    expected = open_engine(data, backend="onnxruntime").infer({"x": x})["y"]
    found = open_engine(data, backend="torch").infer({"x": x})["y"]
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "constants", "attributes"),
    [
        ("Erf", [], {}),
        ("Softmax", [], {"axis": 1}),
        ("DepthToSpace", [], {"blocksize": 2, "mode": "DCR"}),
        ("Pad", [np.array([0, 0, 1, 1, 0, 0, 1, 1])], {"mode": "reflect"}),
        ("Conv", [floats(3, 4, 3, 3)], {"auto_pad": "SAME_UPPER"}),
        ("Resize", [None, np.array([1, 1, 2, 2], np.float32)], {"mode": "cubic"}),
    ],
)
def test_what_is_not_covered_is_refused_and_not_guessed(kind: str, constants: Any, attributes: Any) -> None:
    with pytest.raises(EngineError, match="torch"):
        open_engine(graph(kind, PICTURE, constants, **attributes), backend="torch").infer({"x": PICTURE})
