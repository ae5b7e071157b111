"""What counts as a broken claim of coverage, and what as no evidence; and that faces are found as files find them."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.scenes import drawn_cutout
from engines.detectors import Detection
from streamer.audit.coverage import Examiner, Score, Shot, Truth, judge
from streamer.settings import make_settings
from streamer.toolkit import TILED_PICTURE_SCALE, Toolkit


def test_uncovered_faces_and_shared_tracks_break_the_claim() -> None:
    fine = Score("scene walk 0", faces=1000, bare=2)
    assert judge([fine], 10.0).holds
    assert len(judge([fine, Score("scene crowd 0", faces=1000, bare=20)], 10.0).broken) == 1
    assert len(judge([fine, Score("scene crossing 0", faces=1000, shared=1)], 10.0).broken) == 1


def test_the_upper_bound_is_judged_and_not_the_rate() -> None:
    """None of n is at most 3 of n: 299 faces show 10 per 1,000, 298 do not; 9 of 1,000 may well be more than 10."""
    assert judge([Score("scene walk 0", faces=1000)], 10.0).at_most_per_thousand == pytest.approx(
        3.0, abs=0.02
    )
    assert judge([Score("scene walk 0", faces=299)], 10.0).holds
    for faces, bare in ((298, 0), (1000, 9)):
        verdict = judge([Score("scene walk 0", faces=faces, bare=bare)], 10.0)
        assert not verdict.broken
        (line,) = verdict.unresolved
        assert "299 faces" in line
        assert f"{bare} of {faces:,}" in line


def test_faces_too_small_to_be_seen_are_shown_but_not_judged() -> None:
    scores = [Score("scene walk 0", faces=500), Score("scene small 0", faces=900, bare=300)]
    verdict = judge(scores, 10.0)
    assert verdict.holds
    assert (verdict.sequences, verdict.faces, verdict.bare) == (["scene walk 0"], 500, 0)


def test_without_a_judged_face_nothing_is_claimed() -> None:
    for scores in ([], [Score("scene small 0", faces=900, bare=600)], [Score("scene walk 0")]):
        verdict = judge(scores, 10.0)
        assert not verdict.holds
        assert verdict.unresolved[0].startswith("no judged face")
        assert verdict.summary() == "no face"


class _Blind:
    """Stands in for a toolkit whose detection path lets nothing through."""

    def __init__(self, toolkit: Toolkit) -> None:
        self.settings, self.picture_side_px = toolkit.settings, toolkit.picture_side_px
        self.streams = 0
        self.sizes: list[tuple[int, ...]] = []

    def begin_stream(self) -> None:
        self.streams += 1

    def detect(self, picture_rgb_u8: np.ndarray) -> list[Detection]:
        self.sizes.append(picture_rgb_u8.shape[:2])
        return []


def test_faces_are_found_by_the_path_of_files() -> None:
    """What the product's own call leaves out stays bare, the picture has the size it asks for, and each sequence is
    a stream of its own."""
    toolkit = Toolkit(make_settings(replace_with="solid", analysis={"tiles": True}, threads=1))
    stub = _Blind(toolkit)
    toolkit.close()
    pixels = np.ascontiguousarray(drawn_cutout(1).rgba_f32[:, :, :3].clip(0, 255).astype(np.uint8))
    picture = np.zeros((1440, 2560, 3), np.uint8)
    picture[: pixels.shape[0], : pixels.shape[1]] = pixels
    shots = [Shot(picture, [Truth(1, np.array([20.0, 20.0, 100.0, 100.0]))])] * 2
    examiner = Examiner(stub)  # type: ignore[arg-type]
    scores = [examiner.run(name, shots) for name in ("scene walk 0", "scene walk 1")]
    assert [(score.frames, score.faces, score.bare) for score in scores] == [(2, 2, 2)] * 2
    assert stub.streams == 2
    assert {max(size) for size in stub.sizes} == {640 * TILED_PICTURE_SCALE}
