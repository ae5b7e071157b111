"""The codebook that audits and plans are made with: the shipped one unless another is named."""

from __future__ import annotations

from pathlib import Path

from calibration.codebook import Codebook
from engines.zoo.registry import entry, model_path


def open_codebook(path: Path | None) -> Codebook:
    """Raises CalibrationError or EngineError when it is missing, damaged or not the one that was meant."""
    if path is not None:
        return Codebook.load(path)
    return Codebook.load(model_path("codebook-v1"), expected_sha256=entry("codebook-v1").sha256)
