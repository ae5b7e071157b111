"""Q/DQ nodes into a float graph."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from calibration.int8.graph import MADE_FROM_KEY, FloatModel
from calibration.int8.ranges import QUANTISED_OPERATORS, Ranges

# One zero point for all activations, so that a backend that wants unsigned bytes changes one tensor.
ZERO_POINT_NAME = "activation_zero_point"


def quantised(model: FloatModel, ranges: Ranges, float_layers: Collection[str]) -> bytes:
    """The model with every convolution but `float_layers` and the narrow ones in INT8, as bytes of an ONNX file.

    Biases stay float: TensorRT refuses DequantizeLinear of int32, and onnxruntime quantises them itself on loading.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    kept = {*float_layers, *model.narrow_layers}
    quantizer = QDQQuantizer(
        copy.deepcopy(model.proto),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=[name for name in model.layers if name not in kept],
        nodes_to_exclude=[],
        op_types_to_quantize=QUANTISED_OPERATORS,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return _finished(quantizer.model.model, model.sha256)


def _finished(model: Any, made_from_sha256: str) -> bytes:
    """Share the zero point of the activations, drop what only served the quantiser, and note the float file."""
    import onnx

    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        of_activation = node.op_type == "QuantizeLinear" or (
            node.op_type == "DequantizeLinear" and node.input[0] not in constants
        )
        if of_activation:
            node.input[2] = ZERO_POINT_NAME
    graph.initializer.append(
        onnx.helper.make_tensor(ZERO_POINT_NAME, onnx.TensorProto.INT8, [], b"\0", raw=True)
    )
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {MADE_FROM_KEY: made_from_sha256})
    model.producer_name, model.producer_version = "veilstream", ""
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
