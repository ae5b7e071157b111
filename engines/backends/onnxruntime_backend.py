"""The onnxruntime backend on the CPU: always installed, and the reference for every other backend."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import numpy as np
import onnxruntime

from engines.backends.base import BackendEngine, one_line, tensor_spec
from engines.backends.int8 import is_quantised, with_unsigned_activations
from engines.contract import Tensor, TensorSpec
from engines.errors import EngineError

# A caller may have imported it before `engines` could say so.
onnxruntime.disable_telemetry_events()

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(bool)": "bool",
}
# onnxruntime's own scale: 3 is ERROR. Its warnings are about graphs, not for users.
_LOG_ERRORS_ONLY = 3
# Where its integer convolutions want unsigned activations (`engines.backends.int8`).
_UNSIGNED_MACHINES = ("x86_64", "AMD64")


class OnnxRuntimeEngine(BackendEngine):
    """An ONNX graph in an onnxruntime session on the CPU."""

    def __init__(self, model: bytes, *, weights_sha256: str, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _LOG_ERRORS_ONLY
        # Idle workers would otherwise spin on cores that decode and encode need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if platform.machine() in _UNSIGNED_MACHINES:
            model = with_unsigned_activations(model)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(f"onnxruntime refuses the model: {one_line(error)}") from error
        super().__init__(
            tuple(_spec(value) for value in self._session.get_inputs()),
            tuple(_spec(value) for value in self._session.get_outputs()),
            name="onnxruntime",
            version=onnxruntime.__version__,
            weights_sha256=weights_sha256,
            threads=threads,
            precision="int8" if is_quantised(model) else None,
        )
        self._output_names = [spec.name for spec in self.outputs]

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        try:
            results = self._session.run(self._output_names, dict(inputs))
        except Exception as error:
            # onnxruntime's exceptions are of many unrelated types, plain RuntimeError and ValueError among
            # them.
            raise EngineError(f"onnxruntime failed: {one_line(error)}") from error
        return {name: np.asarray(result) for name, result in zip(self._output_names, results, strict=True)}


def _spec(value: onnxruntime.NodeArg) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return tensor_spec(value.name, shape, value.type, _DTYPES)
