"""Which faces the renderer leaves to the plain covering."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibration.errors import CodebookError, LedgerError
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


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            LedgerError("cannot write the ledger a/b.jsonl: No space left on device"),
            "a/b.jsonl: No space left",
        ),
        (CodebookError("person 7 has no picture"), "(CodebookError)"),
    ],
)
def test_the_log_says_why_nobody_could_be_drawn_and_never_who(
    make_frame: Callable[..., Frame], error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    keeper: Any = SimpleNamespace(person_for=fail)
    nothing: Any = None
    seen: Any = SimpleNamespace(
        track=None, face=SimpleNamespace(track_id=1), mesh_xyz_px=np.zeros((468, 3), np.float32)
    )
    renderer = SyntheticRenderer(nothing, nothing, nothing, keeper)
    assert renderer._worn(make_frame(0), seen, nothing) is FallbackReason.LEDGER_FAILED
    assert told in caplog.text
    assert "person 7" not in caplog.text
