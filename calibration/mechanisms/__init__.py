"""Mechanisms: each object that makes a draw states what the draw costs."""

from __future__ import annotations

from calibration.mechanisms.base import (
    DiscreteMechanism,
    DrawParameters,
    Exactness,
    Mechanism,
    VectorMechanism,
)
from calibration.mechanisms.codebook import CodebookMechanism
from calibration.mechanisms.uniform import UniformMechanism

__all__ = [
    "CodebookMechanism",
    "DiscreteMechanism",
    "DrawParameters",
    "Exactness",
    "Mechanism",
    "UniformMechanism",
    "VectorMechanism",
]
