"""One draw per track, from a few crops that are gone as soon as it is made."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from calibration.assign import Assignment
from calibration.errors import BudgetExhausted, CodebookError, CodeError, LedgerError
from engines.errors import EngineError
from streamer.frame import FaceSource, Frame, StreamGeometry, TrackedFace
from streamer.identity import IdentityKeeper
from streamer.identity.keeper import CROPS_PER_TRACK, FRAMES_PER_TRACK, IdentityRefusal

POINTS = np.float32([[30, 30], [50, 30], [40, 42], [32, 52], [48, 52]])


class _Assigner:
    """Draws person 7 for everybody, unless told to refuse."""

    needs_code = True

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.codes: list[np.ndarray] = []
        self.released: list[int] = []

    def assign(self, stream: str, track_id: int, code_unit: np.ndarray) -> Assignment:
        self.codes.append(code_unit)
        if self.refusal is not None:
            raise self.refusal
        return Assignment(
            stream, track_id, 7, Fraction(1), 0.0, "codebook", replayed=False, commitment="", opening=b""
        )

    def release(self, track_id: int) -> None:
        self.released.append(track_id)


class _Codebook:
    def person(self, index: int) -> str:
        return f"person {index}"


class _Encoder:
    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def encode(self, crops: np.ndarray) -> np.ndarray:
        self.batches.append(crops)
        return np.ones((len(crops), 4), np.float32)


MakeKeeper = Callable[..., tuple[IdentityKeeper, _Assigner, _Encoder]]


@pytest.fixture
def make_keeper() -> MakeKeeper:
    def make(refusal: Exception | None = None, **keywords: int) -> tuple[IdentityKeeper, _Assigner, _Encoder]:
        assigner, encoder = _Assigner(refusal), _Encoder()
        keeper = IdentityKeeper(assigner, _Codebook(), encoder, stream="s", **keywords)  # type: ignore[arg-type]
        return keeper, assigner, encoder

    return make


def _frame(index: int) -> Frame:
    pixels = np.full((96, 96, 3), 10 * index % 256, np.uint8)
    video = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    return Frame(index, index, Fraction(1, 25), video, StreamGeometry(96, 96))


def _face(points: np.ndarray | None = POINTS, score: float = 0.9) -> TrackedFace:
    return TrackedFace(1, np.float32([20, 15, 60, 65]), score, FaceSource.DETECTED, points)


def test_a_track_is_drawn_for_once_from_its_best_crops(make_keeper: MakeKeeper) -> None:
    keeper, assigner, encoder = make_keeper(horizon_frames=9)
    for index in range(8):
        keeper.observe(_frame(index), [_face(score=0.9 if index in (2, 4, 6) else 0.6)])
    for index in range(3):
        assert keeper.person_for(1, _frame(index), POINTS) == "person 7"  # type: ignore[comparison-overlap]
    assert len(assigner.codes) == 1
    (crops,) = encoder.batches
    assert len(crops) == CROPS_PER_TRACK
    assert sorted(round(float(crop.mean()), -1) for crop in crops) == [20, 40, 60]


def test_only_frames_that_were_surely_seen_count(make_keeper: MakeKeeper) -> None:
    """Else the code would depend on how the threads run."""
    keeper, _, encoder = make_keeper(horizon_frames=1)
    for index in range(5):
        keeper.observe(_frame(index), [_face(score=0.5 + 0.1 * index)])
    keeper.person_for(1, _frame(0), POINTS)
    assert len(encoder.batches[0]) == 2


def test_no_crop_is_left_after_the_draw_nor_taken_again(make_keeper: MakeKeeper) -> None:
    keeper, _, _ = make_keeper()
    for index in range(FRAMES_PER_TRACK + 5):
        keeper.observe(_frame(index), [_face()])
    assert len(keeper._candidates[1].crops) == FRAMES_PER_TRACK
    keeper.person_for(1, _frame(0), POINTS)
    keeper.observe(_frame(1), [_face()])
    assert not keeper._candidates


def test_a_refusal_holds_for_the_track_and_costs_no_second_embedding(make_keeper: MakeKeeper) -> None:
    keeper, assigner, encoder = make_keeper(BudgetExhausted("spent"))
    for _ in range(2):
        with pytest.raises(IdentityRefusal, match="budget_spent"):
            keeper.person_for(1, _frame(0), POINTS)
    assert len(encoder.batches) == len(assigner.codes) == 1
    keeper.release(1)
    assert assigner.released == []


def test_a_code_without_direction_is_the_encoders_fault_and_not_the_ledgers(make_keeper: MakeKeeper) -> None:
    keeper, assigner, _ = make_keeper(CodeError("its norm is zero or not finite"))
    for _ in range(2):
        with pytest.raises(EngineError, match="no usable code"):
            keeper.person_for(1, _frame(0), POINTS)
    assigner.refusal = None
    assert keeper.person_for(1, _frame(0), POINTS) == "person 7"  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(BudgetExhausted("2 of 2 used"), "budget_spent"), (LedgerError("no space"), "ledger_failed")],
)
def test_why_nobody_was_drawn_can_be_asked(make_keeper: MakeKeeper, error: Exception, reason: str) -> None:
    keeper, _, _ = make_keeper(error)
    with pytest.raises((IdentityRefusal, LedgerError)):
        keeper.person_for(1, _frame(0), POINTS)
    assert keeper.problems == {reason: str(error)}


def test_a_person_that_cannot_be_read_is_not_told(
    make_keeper: MakeKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: _Codebook, index: int) -> str:
        raise CodebookError(f"person {index} has no picture")

    monkeypatch.setattr(_Codebook, "person", damaged)
    keeper, _, _ = make_keeper()
    with pytest.raises(IdentityRefusal, match="codebook_damaged"):
        keeper.person_for(1, _frame(0), POINTS)
    assert keeper.problems.keys() == {"codebook_damaged"}
    assert "7" not in keeper.problems["codebook_damaged"]


def test_points_that_fall_together_do_not_stop_the_stream(make_keeper: MakeKeeper) -> None:
    keeper, _, encoder = make_keeper()
    keeper.observe(_frame(0), [_face(np.full((5, 2), 40.0, np.float32))])
    keeper.observe(_frame(0), [_face(None)])
    keeper.observe(_frame(0), [_face()])
    keeper.person_for(1, _frame(0), POINTS)
    assert len(encoder.batches[0]) == 1


def test_a_ledger_that_fails_is_asked_once_a_second_for_all_tracks(make_keeper: MakeKeeper) -> None:
    """Each question may wait for its lock for ten seconds."""
    keeper, assigner, encoder = make_keeper(LedgerError("locked"))
    for index in range(50):
        for track_id in (1, 2):
            with pytest.raises(LedgerError if (index, track_id) in ((0, 1), (25, 1)) else IdentityRefusal):
                keeper.person_for(track_id, _frame(index), POINTS)
    assert len(assigner.codes) == len(encoder.batches) == 2
    assigner.refusal = None
    assert keeper.person_for(2, _frame(50), POINTS) == "person 7"  # type: ignore[comparison-overlap]
    assert keeper.person_for(1, _frame(50), POINTS) == "person 7"  # type: ignore[comparison-overlap]
