"""The OpenVINO backend (extra `openvino`): Intel CPUs, imported only when it is asked for."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.contract import Engine, EngineInfo, Tensor, TensorSpec, weights_precision
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


class OpenVinoEngine(Engine):
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
            raise EngineError(f"openvino refuses the model: {_first_line(error)}") from error
        # Of the graph as read: the compiled one gives its tensors further names of its own.
        self._inputs = tuple(_spec(port) for port in graph.inputs)
        self._outputs = tuple(_spec(port) for port in graph.outputs)
        self._info = EngineInfo(
            backend=f"openvino {openvino.__version__.split('-')[0]}",
            device="cpu",
            precision=weights_precision({spec.dtype for spec in (*self._inputs, *self._outputs)}),
            weights_sha256=weights_sha256,
            threads=threads,
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        for spec in self._inputs:
            # OpenVINO would convert, reshape or reuse what does not fit; the contract is that it is refused.
            array = inputs.get(spec.name)
            if array is None or not _fits(array, spec):
                found = "nothing" if array is None else f"{array.shape} {array.dtype}"
                raise EngineError(f"openvino: input {spec.name!r} is {spec.shape} {spec.dtype}, not {found}")
        try:
            results = self._request.infer(dict(inputs))
        except Exception as error:
            raise EngineError(f"openvino failed: {_first_line(error)}") from error
        # The request reuses its output memory at the next call: copies are the caller's to keep.
        return {spec.name: np.array(results[index], copy=True) for index, spec in enumerate(self._outputs)}

    def describe(self) -> EngineInfo:
        return self._info


def _spec(port: Any) -> TensorSpec:
    kind = port.get_element_type().get_type_name()
    if kind not in _DTYPES:
        raise EngineError(f"tensor {port.get_any_name()!r} has the unsupported type {kind}")
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return TensorSpec(name=port.get_any_name(), shape=shape, dtype=_DTYPES[kind])


def _fits(array: Tensor, spec: TensorSpec) -> bool:
    return (
        array.dtype == spec.dtype
        and array.ndim == len(spec.shape)
        and all(size in (None, found) for size, found in zip(spec.shape, array.shape, strict=True))
    )


def _first_line(error: Exception) -> str:
    """The message's first line that says something: OpenVINO puts a source position before it."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300]
