"""Which faces the renderer leaves to the plain covering."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from streamer.frame import FaceSource, Frame, TrackedFace
from streamer.render.compositor import FallbackReason
from streamer.render.renderer import SyntheticRenderer


def test_faces_behind_another_or_too_small_are_not_looked_at(make_frame: Callable[..., Frame]) -> None:
    """No engine, and above all no keeper: nobody is drawn for them."""
    nothing: Any = None
    eyes: Any = SimpleNamespace(read=lambda *_: [])
    renderer = SyntheticRenderer(nothing, eyes, nothing, nothing)
    behind = TrackedFace(1, np.array([10, 10, 90, 90], np.float32), 0.9, FaceSource.HELD, plain=True)
    small = TrackedFace(2, np.array([10, 10, 20, 20], np.float32), 0.9, FaceSource.DETECTED)
    draw = renderer.look(make_frame(0), [behind, small])
    assert draw() == [FallbackReason.BEHIND_ANOTHER, FallbackReason.TOO_SMALL]
