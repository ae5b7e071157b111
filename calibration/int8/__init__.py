"""Static INT8 quantisation of ONNX models, with the layers that suffer from it left in float by measurement.

One file serves CPUs and TensorRT: weights are int8 per output channel with zero points 0, activations int8 per tensor
with zero point 0 (the only kind TensorRT accepts), biases stay float. `engines.backends.int8` says how onnxruntime
reads it.

This package knows nothing of faces or video: inputs come as iterables of named arrays, models as bytes.
(Q/DQ with per-channel weights: Wu, Judd, Zhang, Isaev, Micikevicius: Integer Quantization for Deep Learning Inference,
2020; its sections 5 and 6 on partial quantisation by the sensitivity of layers.)
"""

from __future__ import annotations

from calibration.int8.graph import MADE_FROM_KEY, FloatModel, open_float_model
from calibration.int8.quantise import quantised
from calibration.int8.ranges import Ranges, Sample, measure_ranges
from calibration.int8.search import LayerError, Opener, Quantised, quantise_model, relative_error

__all__ = [
    "MADE_FROM_KEY",
    "FloatModel",
    "LayerError",
    "Opener",
    "Quantised",
    "Ranges",
    "Sample",
    "measure_ranges",
    "open_float_model",
    "quantise_model",
    "quantised",
    "relative_error",
]
