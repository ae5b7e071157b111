"""One draw per track: an audit of what tracks wear and show, and of the assigner that gives it to them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from calibration.assign import Assignment, IdentityAssigner
from calibration.audit.broken import WrongP
from calibration.audit.epsilon import EpsilonFinding, reference_space
from calibration.audit.tracks import TrackReading, audit_assigner, audit_tracks, tracks_needed
from calibration.mechanisms import MECHANISM_NAMES, CodebookMechanism, create_mechanism


class Book:
    space = reference_space(people=128, dimension=16)
    size, sha256 = len(space.directions), "ab" * 32


class Seeded(random.Random):
    def randbelow(self, bound: int) -> int:
        return self.randrange(bound)

    def token_bytes(self, count: int) -> bytes:
        return self.randbytes(count)


def drawn(mechanism: CodebookMechanism, *, near: bool, tracks: int, source: Seeded) -> list[int]:
    direction = Book.space.directions[0] * (1 if near else -1)
    ranked = Book.space.rank(direction, np.arange(Book.size)).tolist()
    return [mechanism.draw(ranked, source) for _ in range(tracks)]


def audit(
    mechanism: CodebookMechanism, tracks: int, *, recovery: float = 1.0, seed: int = 3
) -> EpsilonFinding:
    """Tracks of two looks each, of which the share `recovery` is read rightly, the others as anybody."""
    source = Seeded(seed)

    def read(index: int) -> int:
        return index if source.random() < recovery else source.randbelow(Book.size)

    near, far = (
        [
            TrackReading((index, index), (read(index), read(index)))
            for index in drawn(mechanism, near=side, tracks=tracks, source=source)
        ]
        for side in (True, False)
    )
    return audit_tracks("pixels", mechanism, Book(), near, far)


def test_sound_tracks_pass_and_errors_of_reading_only_lower_the_bound() -> None:
    exact, blurred = audit(CodebookMechanism(2), 2000), audit(CodebookMechanism(2), 2000, recovery=0.93)
    assert exact.passed
    assert blurred.passed
    assert blurred.lower_bound < exact.lower_bound <= 2.0
    assert exact.recovery == 1.0


def test_pictures_that_show_nobody_are_no_audit() -> None:
    lost = [TrackReading((5, 5), (99, 99))] * 1000
    finding = audit_tracks("pixels", CodebookMechanism(1), Book(), lost, lost)
    assert finding.failed
    assert "0% of the people read back" in finding.verdict
    assert audit(CodebookMechanism(1), 2000, recovery=0.8).failed


def test_too_few_tracks_say_nothing() -> None:
    finding = audit(CodebookMechanism(4), 100)
    assert not finding.passed
    assert not finding.failed
    assert "needed" in finding.verdict


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
def test_twice_epsilon_is_caught_in_as_many_tracks_as_are_needed(epsilon: str) -> None:
    needed = tracks_needed(CodebookMechanism(epsilon), Book.size)
    assert needed <= 1500
    caught = [audit(WrongP(epsilon), needed, recovery=0.99, seed=seed).claim_broken for seed in range(30)]
    assert sum(caught) >= 28
    assert audit(CodebookMechanism(epsilon), needed).passed


def test_a_track_that_changes_its_person_is_caught() -> None:
    good = [TrackReading((5, 5), (5, 5))] * 1000
    finding = audit_tracks(
        "pixels", CodebookMechanism(1), Book(), good, [TrackReading((5, 7), (5, 7)), *good[1:]]
    )
    assert finding.failed
    assert "1 tracks changed" in finding.verdict
    # What is drawn behind the back of what is written down shows as somebody who is not worn.
    behind = [TrackReading((5, 5), (5, 7))] * 1000
    assert audit_tracks("pixels", CodebookMechanism(1), Book(), behind, behind).unread


def test_both_codes_need_as_many_tracks_and_tracks_two_looks() -> None:
    good = [TrackReading((5, 5), (5, 5))] * 10
    with pytest.raises(ValueError, match="same number"):
        audit_tracks("pixels", CodebookMechanism(1), Book(), good, good[1:])
    with pytest.raises(ValueError, match="two looks"):
        audit_tracks("pixels", CodebookMechanism(1), Book(), good, [TrackReading((5,), (5,))] * 10)


def test_the_assigner_holds_what_it_drew() -> None:
    finding = audit_assigner(CodebookMechanism("2.3"), Book(), most_trials=10_000)
    assert finding.passed, finding
    assert finding.trials == finding.needed_trials
    assert not audit_assigner(CodebookMechanism("2.3"), Book(), most_trials=20).conclusive


@pytest.mark.parametrize("name", MECHANISM_NAMES)
def test_every_mechanism_is_held_for_the_track(name: str) -> None:
    mechanism = create_mechanism(name, "1", dimension=16)
    finding = audit_assigner(mechanism, Book(), most_trials=60)
    assert not finding.failed, finding
    assert (finding.trials, finding.changed_tracks) == (60, 0)
    assert finding.delta == mechanism.delta


@pytest.mark.parametrize("name", MECHANISM_NAMES)
def test_an_assigner_that_draws_for_every_frame_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = IdentityAssigner.assign

    def redraw(self, stream, track_id, code_unit) -> Assignment:  # type: ignore[no-untyped-def]
        self.release(track_id)
        return held(self, stream, track_id, code_unit)

    monkeypatch.setattr(IdentityAssigner, "assign", redraw)
    finding = audit_assigner(create_mechanism(name, "1", dimension=16), Book(), most_trials=50)
    assert finding.failed
    assert finding.changed_tracks > 80


def test_an_assigner_that_spends_more_is_caught() -> None:
    class DrawsWrong(CodebookMechanism):
        """The ledger would find wrong weights; not a draw that is not made by them."""

        def draw(self, ranked, random):  # type: ignore[no-untyped-def]
            return CodebookMechanism(3 * self.epsilon).draw(ranked, random)

    assert audit_assigner(DrawsWrong("1"), Book(), most_trials=1000).claim_broken
