"""The OpenVINO backend (extra `openvino`): Intel CPUs, imported only when it is asked for."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.backends.base import BackendEngine, one_line, tensor_spec
from engines.backends.int8 import is_quantised
from engines.contract import Tensor, TensorSpec
from engines.errors import EngineError

_DTYPES = {
    "f32": "float32",
    "f16": "float16",
    "f64": "float64",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "i8": "int8",
    "boolean": "bool",
}


class OpenVinoEngine(BackendEngine):
    """An ONNX graph compiled by OpenVINO for the CPU, in float32 as the file states it."""

    def __init__(self, model: bytes, *, weights_sha256: str, threads: int = 1) -> None:
        try:
            import openvino
        except ImportError as error:
            message = "the openvino backend is not installed; run: pip install 'veilstream[openvino]'"
            raise EngineError(message) from error
        configuration = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Without it, CPUs with bfloat16 units would compute in bfloat16 unasked.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            graph = core.read_model(io.BytesIO(model))
            self._request: Any = core.compile_model(graph, "CPU", configuration).create_infer_request()
        except Exception as error:
            raise EngineError(f"openvino refuses the model: {one_line(error, -1)}") from error
        # Of the graph as read: the compiled one gives its tensors further names of its own.
        super().__init__(
            tuple(_spec(port) for port in graph.inputs),
            tuple(_spec(port) for port in graph.outputs),
            name="openvino",
            version=openvino.__version__.split("-")[0],
            weights_sha256=weights_sha256,
            threads=threads,
            precision="int8" if is_quantised(model) else None,
        )

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self._check_inputs(inputs)
        try:
            results = self._request.infer(dict(inputs))
        except Exception as error:
            raise EngineError(f"openvino failed: {one_line(error, -1)}") from error
        # The request reuses its output memory at the next call: copies are the caller's to keep.
        return {spec.name: np.array(results[index], copy=True) for index, spec in enumerate(self.outputs)}


def _spec(port: Any) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return tensor_spec(port.get_any_name(), shape, port.get_element_type().get_type_name(), _DTYPES)
