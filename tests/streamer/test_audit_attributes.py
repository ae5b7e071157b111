"""What the audit of attributes takes for the hole's size, and for the drawn face."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from streamer.audit.attributes import _hole_sizes, _Overseen
from streamer.render.compositor import FallbackReason, RenderedFace


def test_the_hole_is_measured_by_its_width_its_height_and_its_jaw() -> None:
    hole = np.zeros((128, 128), np.float32)
    hole[20:100, 30:90] = 1.0
    hole[70:100, 30:40] = hole[70:100, 80:90] = 0.0
    assert _hole_sizes(hole).tolist() == [60.0, 80.0, 40.0]
    round_hole = cv2.circle(np.zeros((128, 128), np.float32), (64, 64), 40, 1.0, -1)
    width, height, jaw = _hole_sizes(round_hole)
    assert (width, height) == (81.0, 81.0)
    assert jaw == pytest.approx(2 * 40 * np.sqrt(0.75), abs=2.0)


def test_the_drawn_face_is_found_in_the_output() -> None:
    """A patch of twice the picture's resolution, opaque in a corner of it."""
    alpha = np.zeros((40, 40), np.float32)
    alpha[:20, :20] = 1.0
    patch_from_display = np.array([[2.0, 0.0, -20.0], [0.0, 2.0, -40.0]])
    answers: list[Any] = [
        RenderedFace(np.zeros((40, 40, 3), np.float32), alpha, patch_from_display),
        FallbackReason.TOO_SMALL,
    ]

    class Renderer:
        def look(self, _frame: object, _faces: object) -> Any:
            return lambda: [answers.pop(0)]

    frame: Any = None
    renderer = _Overseen(Renderer())  # type: ignore[arg-type]
    renderer.look(frame, [])()
    shown = renderer.mask(64, 48)
    assert shown.shape == (48, 64)
    assert shown[22:28, 12:18].all()
    assert not shown[:19].any()
    assert not shown[31:].any()
    renderer.look(frame, [])()
    with pytest.raises(ValueError, match="no face"):
        renderer.mask(64, 48)
