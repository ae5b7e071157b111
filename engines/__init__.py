"""Models and what runs them: one engine contract, its backends, the model registry and a wrapper for each
role."""

from __future__ import annotations

import os

from engines.contract import Engine, EngineInfo, TensorSpec
from engines.errors import EngineError, ModelHashError, ModelMissingError

__all__ = ["Engine", "EngineError", "EngineInfo", "ModelHashError", "ModelMissingError", "TensorSpec"]

# From 1.29 on onnxruntime tells its maker what it runs, from its import on. This alone keeps it silent, and it must
# stand before that import, which none of the modules above makes.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
