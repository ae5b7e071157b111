"""Errors of the engines and of their model files, each one clear line."""

from __future__ import annotations


class EngineError(RuntimeError):
    """An engine could not be opened, or failed while it ran."""


class ModelMissingError(EngineError):
    """A model file is not on this machine."""


class ModelHashError(EngineError):
    """A model file is not the one the registry names."""
