"""What is done to an ONNX file before TensorRT reads it: constants folded, and float16 where it is asked for.

TensorRT networks are strongly typed here (in version 11 there are no others): each operator computes in the types
the file states, so the file is the one place where precision is decided. INT8 is in the file as
QuantizeLinear / DequantizeLinear pairs and is compiled as it stands."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, get_args

import onnxruntime

from engines.backends.base import one_line
from engines.backends.int8 import is_quantised
from engines.errors import EngineError

Precision = Literal["fp32", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# onnxruntime's own scale: 3 is ERROR.
_LOG_ERRORS_ONLY = 3


def prepare(model: bytes, precision: Precision) -> bytes:
    """The ONNX file that is compiled.

    Args:
        model: a checked ONNX file.
        precision: `fp32` leaves the types as the file states them, `fp16` computes in float16 with inputs and
            outputs still float32.

    Raises:
        EngineError: onnxruntime refuses the file, or float16 is asked of a quantised one.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"unknown precision {precision!r}; there are: {', '.join(PRECISIONS)}")
    if precision == "fp16" and is_quantised(model):
        raise EngineError(
            "a quantised model is compiled as it is; ask for fp32, which leaves its types alone"
        )
    folded = _fold(model)
    return _float16(folded) if precision == "fp16" else folded


def _fold(model: bytes) -> bytes:
    """Constants folded by onnxruntime, in ONNX's own operators; Q/DQ pairs stay.

    Two shipped models keep their weights as int8 with Cast, Sub and Mul behind them, which TensorRT's parser
    need not know how to fold.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "folded.onnx")
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            return path.read_bytes()
        except Exception as error:
            raise EngineError(f"onnxruntime refuses the model: {one_line(error)}") from error


def _float16(model: bytes) -> bytes:
    """Weights and operators in float16, casts at the inputs and outputs (onnxruntime's published converter)."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise EngineError("fp16 needs the package onnx; run: pip install 'veilstream[gpu]'") from error
    try:
        converted = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True)
        return bytes(converted.SerializeToString())
    except Exception as error:
        raise EngineError(f"the model cannot be converted to float16: {one_line(error)}") from error
