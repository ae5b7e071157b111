"""What the audit of attributes takes for the hole's size, and for the drawn face."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from calibration.audit.attributes import LinkResult, ProbeResult
from calibration.audit.rates import Rate
from streamer.audit.attributes import (
    EVERYTHING,
    FACE_CODE,
    ORIGINAL_CODE,
    OUTPUT_CODE,
    REST_CODE,
    AttributeFinding,
    _hole_sizes,
    _Overseen,
    judge,
)
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


def _finding(part: str, linked: int, named: int = 0, people: int = 325, pairs: int = 439) -> AttributeFinding:
    link = LinkResult("cosine", people, Rate(linked, pairs), Rate(0, 2 * pairs), 1 / people, 0.6)
    probe = ProbeResult("ridge", people, Rate(named, 2 * pairs), 0.6)
    return AttributeFinding(part, 128, (probe, probe), (link, link), 0.0)


def _run(**linked: int) -> list[AttributeFinding]:
    """The documented run; `linked` of other parts in place of its own."""
    counts = {EVERYTHING: 29, OUTPUT_CODE: 39, FACE_CODE: 30, REST_CODE: 46, ORIGINAL_CODE: 436} | linked
    return [_finding(part, count) for part, count in counts.items()]


def test_what_is_documented_holds_and_more_of_it_does_not() -> None:
    verdict = judge(_run())
    assert verdict.broken == verdict.unresolved == []
    assert "325 people" in verdict.judged
    (line,) = judge(_run(**{EVERYTHING: 45})).broken
    assert line == f"{EVERYTHING}: 45 of 439 linked, 10.3 %, more than 10 %"
    (line,) = judge(_run(**{FACE_CODE: 60})).broken
    assert "more than 12 %" in line
    (line,) = judge(_run(**{OUTPUT_CODE: 95})).broken
    assert "more than 15 %" in line
    (line,) = judge([*_run(), _finding("drawing", 0, named=100)]).broken
    assert line.startswith("drawing: 100 of 878 named")
    # What is around the face is there to be seen.
    assert judge(_run(**{REST_CODE: 400})).broken == []


def test_what_may_lie_above_the_bar_is_not_resolved() -> None:
    (line,) = judge(_run(**{EVERYTHING: 40})).unresolved
    assert line.startswith(f"{EVERYTHING}: 40 of 439 linked, 9.1 % and up to 11.7 %")
    assert judge(_run(), 30.0).unresolved == []
    assert len(judge(_run(), 8.0).unresolved) == 2
    assert len(judge(_run(), 8.0).broken) == 1


def test_few_people_or_a_recogniser_that_knows_nobody_are_no_evidence() -> None:
    few = [_finding(part, 0, people=40, pairs=40) for part in (EVERYTHING, FACE_CODE)]
    few.append(_finding(ORIGINAL_CODE, 40, people=40, pairs=40))
    verdict = judge(few, 10.0)
    assert verdict.broken == []
    assert "300 people or more; 40 are here" in verdict.unresolved[0]
    (line,) = judge(_run(**{ORIGINAL_CODE: 200})).unresolved
    assert "of the originals" in line
    # However few there are, all of them linked is more than a tenth.
    assert judge([few[0], replace(few[0], linked=few[2].linked), few[2]]).broken
