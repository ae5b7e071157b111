"""Models and what runs them: one engine contract, its backends, the model registry and a wrapper for each
role."""

from __future__ import annotations

from engines.contract import Engine, EngineInfo, TensorSpec
from engines.errors import EngineError, ModelHashError, ModelMissingError

__all__ = ["Engine", "EngineError", "EngineInfo", "ModelHashError", "ModelMissingError", "TensorSpec"]
