"""The float graph before it is quantised: checked, folded, and brought to an opset with per-channel quantisation."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.errors import Int8Error

if TYPE_CHECKING:
    import onnx

# Per-channel QuantizeLinear begins with 13; 17 is what the other models of the project are written in.
OPSET = 17
# Integer kernels work on blocks of 16 channels. Below that on both sides they are slower than float: the first two
# convolutions of RetinaFace, 2.6 ms against 1.5 ms at 640x384.
NARROW_CHANNELS = 16
# Key in the metadata of a quantised file: sha256 of the float file it was made from.
MADE_FROM_KEY = "made_from_sha256"

_STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class FloatModel:
    """A float model ready for quantisation.

    Attributes:
        proto: the folded model; batch normalisations are part of the convolutions.
        sha256: of the file it came from.
        layers: names of its convolutions that gain from INT8, in the order of the graph.
        narrow_layers: names of those with too few channels to gain.
    """

    proto: onnx.ModelProto
    sha256: str
    layers: tuple[str, ...]
    narrow_layers: tuple[str, ...]


def open_float_model(model: bytes) -> FloatModel:
    """Check a float model and fold it.

    Raises:
        Int8Error: onnx is not installed; the bytes are no ONNX model; the model is quantised already, has operators
            outside the standard, or no convolution.
    """
    onnx = require_onnx()
    try:
        proto = onnx.load_from_string(model)
        onnx.checker.check_model(proto)
    except Exception as error:
        # Protobuf's DecodeError, onnx's ValidationError and more, with no common base.
        raise Int8Error(f"the file is no ONNX model, or is damaged: {_first_line(error)}") from error
    if any(node.op_type == "QuantizeLinear" for node in proto.graph.node):
        raise Int8Error("the model is quantised already; give the float model it was made from")
    folded = _folded(model)
    foreign = sorted({node.domain for node in folded.graph.node} - set(_STANDARD_DOMAINS))
    if foreign:
        raise Int8Error(f"the model has operators outside the ONNX standard ({', '.join(foreign)})")
    layers, narrow = _convolutions(folded)
    if not layers:
        raise Int8Error("the model has no convolution that would gain from INT8")
    return FloatModel(folded, hashlib.sha256(model).hexdigest(), layers, narrow)


def require_onnx() -> Any:
    """The package `onnx`, which only quantising and training need.

    Raises:
        Int8Error: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise Int8Error("INT8 needs the package onnx; run: pip install 'veilstream[int8]'") from None
    return onnx


def _folded(model: bytes) -> onnx.ModelProto:
    """Constants folded and batch normalisations merged by onnxruntime, then converted to OPSET."""
    import onnx
    import onnx.version_converter
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="veilstream-int8-") as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            folded = onnx.load(path)
            version = next(item.version for item in folded.opset_import if item.domain in _STANDARD_DOMAINS)
            if version < OPSET:
                folded = onnx.version_converter.convert_version(folded, OPSET)
        except Exception as error:
            raise Int8Error(f"the model cannot be prepared: {_first_line(error)}") from error
    names: set[str] = set()
    for number, node in enumerate(folded.graph.node):
        # Layers are kept in float by name, and the calibrator wants every name once.
        if not node.name or node.name in names:
            node.name = f"{node.op_type}_{number}_{node.name}"
        names.add(node.name)
    return folded


def _convolutions(model: onnx.ModelProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    layers: list[str] = []
    narrow: list[str] = []
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        channels_out, channels_in_group = weights[node.input[1]][:2]
        groups = next((item.i for item in node.attribute if item.name == "group"), 1)
        wide = max(channels_out, channels_in_group * groups) >= NARROW_CHANNELS
        (layers if wide else narrow).append(node.name)
    return tuple(layers), tuple(narrow)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
