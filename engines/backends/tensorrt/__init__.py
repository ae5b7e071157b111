"""The TensorRT backend (extra `gpu`): NVIDIA GPUs, TensorRT 10 and 11 by one code path.

    ONNX -> prepare (fold, float16) -> compile (Polygraphy) -> plan -> PlanCache -> TensorRtEngine

`bindings` imports the GPU packages, `device` holds the CUDA context, `memory` the buffers, `graph` the captured
calls. Nothing of the GPU packages is imported before an engine is opened."""

from __future__ import annotations

from engines.backends.tensorrt.engine import TensorRtEngine, default_plan_cache
from engines.backends.tensorrt.plan_cache import PlanCache, PlanKey
from engines.backends.tensorrt.prepare import Precision
from engines.backends.tensorrt.profiles import Profiles, Range

__all__ = [
    "PlanCache",
    "PlanKey",
    "Precision",
    "Profiles",
    "Range",
    "TensorRtEngine",
    "default_plan_cache",
]
