"""Streaming video anonymization: every face becomes a synthetic person, one per track, under a stated epsilon."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.job import JobResult, JobRunner, anonymize_file
    from streamer.pipeline import Cancelled
    from streamer.settings import AnonymizeSettings, ReplaceWith, make_settings

__all__ = [
    "AnonymizeSettings",
    "Cancelled",
    "JobResult",
    "JobRunner",
    "ReplaceWith",
    "anonymize_file",
    "make_settings",
]
# As in `engines`, which is imported later: who imports onnxruntime after this package must find it set.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_MODULES = {"Cancelled": "pipeline", "JobResult": "job", "JobRunner": "job", "anonymize_file": "job"}


def __getattr__(name: str) -> Any:
    """Imported when first used (PEP 562): the command must be able to take Ctrl-C before a second of imports."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'settings')}"), name)
