"""Sizes of the teacher network, apart from it so that editing needs neither torch nor OpenVINO."""

from __future__ import annotations

STYLE_SIZE = 512
FULL_SIZE_PX = 1024
FAST_SIZE_PX = 256
LEVELS = 7
LAYERS = 3 * LEVELS + 2  # styles of the synthesis network when each layer has one of its own (W+)
