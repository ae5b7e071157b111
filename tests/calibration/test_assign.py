"""One draw per track, held; distinct among live tracks; replayable by key; the real face is not kept."""

from __future__ import annotations

import gc
import json
import weakref
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration import assign
from calibration.assign import Assignment, IdentityAssigner
from calibration.codebook import Codebook
from calibration.errors import BudgetExhausted, CalibrationError, CodebookError, CodebookExhausted, CodeError
from calibration.identity_space import IdentitySpace
from calibration.ledger import FileLedger, MemoryLedger, new_commitment
from calibration.ledger_lines import StoredDraw
from calibration.mechanisms import CodebookMechanism, GaussianMechanism, UniformMechanism
from calibration.randomness import DrawLabel

KEY = bytes(range(32))


def code(seed: int, dimension: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=dimension).astype(np.float32)


def assigner(codebook: Codebook, **options: object) -> IdentityAssigner:
    options = {"session": "run", **options}
    return IdentityAssigner(CodebookMechanism(1), codebook, **options)  # type: ignore[arg-type]


def test_identity_is_held_for_the_track(codebook: Codebook) -> None:
    subject = assigner(codebook)
    first = subject.assign("camera", 1, code(1))
    assert all(subject.assign("camera", 1, code(seed)) is first for seed in range(20))
    assert subject.assign("camera", 1, None) is first
    ledger = subject.ledger
    assert isinstance(ledger, MemoryLedger)
    assert len(ledger.lines) == 1
    assert first.epsilon == 1
    assert first.mechanism == "codebook"


def test_substituting_the_whole_track_costs_one_epsilon(codebook: Codebook) -> None:
    """A track is one draw from one code: the exact law of its identity changes by at most the odds when every
    frame of it is another person's."""
    mechanism = CodebookMechanism(1)
    everyone = np.arange(codebook.size)
    probabilities = mechanism.probabilities(codebook.size)
    laws = []
    for person in (code(1), code(2)):
        ranked = codebook.space.rank(codebook.space.direction(person), everyone)
        laws.append({int(entry): probabilities[rank] for rank, entry in enumerate(ranked)})
    ratios = [laws[0][entry] / laws[1][entry] for entry in range(codebook.size)]
    assert max(ratios) <= mechanism.odds
    assert min(ratios) >= 1 / mechanism.odds
    subject = assigner(codebook)
    for frame in range(100):
        subject.assign("camera", 1, code(frame))
    assert subject.ledger.spent("default") == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=80))
@settings(max_examples=25, deadline=None)
def test_live_tracks_never_share_an_identity(codebook: Codebook, events: list[tuple[bool, int]]) -> None:
    subject = assigner(codebook)
    live: dict[int, int] = {}
    for arrives, track in events:
        if arrives:
            if len(live) == codebook.size and track not in live:
                with pytest.raises(CodebookExhausted):
                    subject.assign("camera", track, code(track))
            else:
                live[track] = subject.assign("camera", track, code(track)).index
        else:
            subject.release(track)
            live.pop(track, None)
        assert len(set(live.values())) == len(live) == subject.live_count


def test_the_last_free_identity_then_none(codebook: Codebook) -> None:
    subject = assigner(codebook)
    indices = {subject.assign("camera", track, code(track)).index for track in range(codebook.size)}
    assert indices == set(range(codebook.size))
    with pytest.raises(CodebookExhausted):
        subject.assign("camera", 1000, code(0))
    subject.release(7)
    assert subject.assign("camera", 1000, code(0)).index in indices


def test_draws_among_the_rest_have_the_parameters_of_the_rest(codebook: Codebook) -> None:
    subject = assigner(codebook)
    for track in range(10):
        subject.assign("camera", track, code(track))
    ledger = subject.ledger
    assert isinstance(ledger, MemoryLedger)
    for used, line in enumerate(ledger.lines):
        fields = json.loads(line)
        expected = CodebookMechanism(1).parameters(codebook.size - used)
        assert (fields["K"], fields["m"]) == (expected.available, expected.nearest)


def test_replay_by_key(codebook: Codebook) -> None:
    runs = [assigner(codebook, key=KEY, ledger=MemoryLedger()) for _ in range(2)]
    draws = [[run.assign("camera", track, code(track)).index for track in range(15)] for run in runs]
    assert draws[0] == draws[1]


class _OvertakenLedger(MemoryLedger):
    """Another process draws under the same label between this one's look and its reservation."""

    def __init__(self, other: Callable[[], object]) -> None:
        super().__init__()
        self._other = other

    def stored_draws(self, label: DrawLabel) -> list[StoredDraw]:
        found = super().stored_draws(label)
        other, self._other = self._other, lambda: None
        other()
        return found


def test_a_label_is_not_drawn_twice_when_two_processes_meet(codebook: Codebook) -> None:
    def first() -> None:
        drawn.append(assigner(codebook, key=KEY, ledger=ledger).assign("camera", 1, code(1)))

    drawn: list[Assignment] = []
    ledger = _OvertakenLedger(first)
    for seed in range(2, 12):
        second = assigner(codebook, key=KEY, ledger=ledger).assign("camera", 1, code(seed))
        assert second.replayed
        assert second.index == drawn[0].index
    assert len(ledger.lines) == 1


def test_other_keys_sessions_and_no_key_differ(codebook: Codebook) -> None:
    draws = [
        tuple(run.assign("camera", track, code(track)).index for track in range(15))
        for run in (
            assigner(codebook, key=KEY, ledger=MemoryLedger()),
            assigner(codebook, key=KEY[::-1], ledger=MemoryLedger()),
            assigner(codebook, key=KEY, session="other", ledger=MemoryLedger()),
            assigner(codebook),
            assigner(codebook),
        )
    ]
    assert len(set(draws)) == 5


def test_one_label_is_never_evaluated_on_two_embeddings(codebook: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first = assigner(codebook, key=KEY, ledger=FileLedger(path)).assign("camera", 1, code(1))
    for seed in range(2, 12):
        again = assigner(codebook, key=KEY, ledger=FileLedger(path)).assign("camera", 1, code(seed))
        assert again.index == first.index
        assert again.replayed
    assert not first.replayed
    assert FileLedger(path).spent("default") == 1


def test_a_replayed_identity_in_use_is_not_given_twice(codebook: Codebook) -> None:
    ledger = MemoryLedger()
    stored = assigner(codebook, key=KEY, ledger=ledger).assign("camera", 1, code(1))
    other = assigner(codebook, key=KEY, ledger=ledger)
    for track in range(2, 500):
        if other.assign("camera", track, code(track)).index == stored.index:
            break
        other.release(track)
    with pytest.raises(CodebookExhausted):
        other.assign("camera", 1, code(1))


def test_a_replay_states_the_delta_that_was_drawn_with(codebook: Codebook) -> None:
    ledger = MemoryLedger()
    dimension = codebook.space.dimension
    runs = [
        IdentityAssigner(
            GaussianMechanism(1, dimension, delta), codebook, session="run", ledger=ledger, key=KEY
        ).assign("camera", 1, code(1))
        for delta in (0.5, 1e-6)
    ]
    assert [(run.delta, run.replayed) for run in runs] == [(0.5, False), (0.5, True)]
    assert runs[0].index == runs[1].index
    assert len(ledger.lines) == 1


@pytest.mark.parametrize("name", ["rtsp://user:pa/ss@h/x", "rtsp://h/x?password=hunter2", "user:pw@host/x"])
def test_no_credentials_reach_the_ledger(codebook: Codebook, name: str) -> None:
    for option in ("scope", "session"):
        with pytest.raises(CalibrationError, match=f"the {option}'s name carries credentials"):
            assigner(codebook, **{option: name})
    subject = assigner(codebook)
    with pytest.raises(CalibrationError, match="the stream's name carries credentials"):
        subject.assign(name, 1, code(1))
    assert subject.ledger.spent("default") == 0
    assert subject.live_count == 0


def test_what_was_drawn_under_such_a_name_before_it_was_refused_is_replayed(
    codebook: Codebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = MemoryLedger()
    monkeypatch.setattr(assign, "check_name", lambda *_: None)
    first = assigner(codebook, key=KEY, ledger=ledger).assign("rtsp://h/x?token=abc", 1, code(1))
    monkeypatch.undo()
    again = assigner(codebook, key=KEY, ledger=ledger).assign("rtsp://h/x?token=abc", 1, code(2))
    assert again.replayed
    assert again.index == first.index


def test_opening_opens_the_commitment_and_stays_out_of_sight(codebook: Codebook) -> None:
    subject = assigner(codebook)
    made = subject.assign("camera", 1, code(1))
    ledger = subject.ledger
    assert isinstance(ledger, MemoryLedger)
    line = json.loads(ledger.lines[0])
    assert line["commitment"] == made.commitment == new_commitment(made.index, made.opening)
    assert "index" not in line
    assert made.opening.hex() not in repr(made)
    assert str(made.opening) not in repr(made)
    assert "index" not in repr(made)


def test_embedding_is_not_kept(codebook: Codebook) -> None:
    subject = assigner(codebook)
    embedding = code(1)
    watch = weakref.ref(embedding)
    made = subject.assign("camera", 1, embedding)
    del embedding
    gc.collect()
    assert watch() is None
    assert made.index in range(codebook.size)


def test_embedding_is_not_kept_after_a_refusal(codebook: Codebook) -> None:
    subject = assigner(codebook, budget=0)
    embedding = code(1)
    watch = weakref.ref(embedding)
    with pytest.raises(BudgetExhausted):
        subject.assign("camera", 1, embedding)
    del embedding
    gc.collect()
    assert watch() is None


def test_budget(codebook: Codebook) -> None:
    subject = assigner(codebook, budget="2.5", scope="day")
    subject.assign("camera", 1, code(1))
    subject.assign("camera", 2, code(2))
    with pytest.raises(BudgetExhausted):
        subject.assign("camera", 3, code(3))
    assert subject.assign("camera", 1, None).track_id == 1  # what was drawn stays
    assert subject.ledger.spent("day") == Fraction(2)


def test_uniform_needs_no_code_and_is_free(codebook: Codebook) -> None:
    subject = IdentityAssigner(UniformMechanism(), codebook, session="run", budget=0)
    assert not subject.needs_code
    counts = Counter(subject.assign("camera", track, None).index for track in range(codebook.size))
    assert len(counts) == codebook.size
    assert subject.ledger.spent("default") == 0


@pytest.mark.parametrize("bad", [None, np.zeros(16), np.full(16, np.nan), np.ones(15), np.ones((1, 16))])
def test_unusable_codes_are_refused_and_not_charged(codebook: Codebook, bad: np.ndarray | None) -> None:
    subject = assigner(codebook)
    with pytest.raises(CodeError):
        subject.assign("camera", 1, bad)
    assert subject.ledger.spent("default") == 0
    assert subject.live_count == 0


def test_streams_have_their_own_track_numbers(codebook: Codebook) -> None:
    subject = assigner(codebook)
    one, two = subject.assign("one", 1, code(1)), subject.assign("two", 1, code(1))
    assert one.index != two.index
    with pytest.raises(CalibrationError, match="2 streams"):
        subject.release(1)
    subject.release(1, "one")
    assert subject.assign("two", 1, None) is two
    subject.release(1)
    subject.release(1)
    assert subject.live_count == 0


def test_a_key_without_a_ledger_is_refused(codebook: Codebook) -> None:
    with pytest.raises(CalibrationError, match="needs a ledger"):
        assigner(codebook, key=KEY)


@pytest.mark.parametrize("people", [1, 2, 3])
def test_tiny_codebooks(people: int, tmp_path: Path) -> None:
    codes = np.eye(4)[:people]

    class Book:
        size, sha256 = people, "00"

        @property
        def space(self) -> IdentitySpace:
            return IdentitySpace.fit(codes)

    subject = IdentityAssigner(UniformMechanism(), Book(), session="run")
    assert len({subject.assign("camera", track, None).index for track in range(people)}) == people
    subject = IdentityAssigner(CodebookMechanism(1), Book(), session="run")
    if people == 1:
        with pytest.raises(CodebookError, match="no two different"):
            subject.assign("camera", 1, np.ones(4))
    else:
        assert subject.assign("camera", 1, np.ones(4) + np.eye(4)[0]).index < people


def test_a_negative_budget_is_no_budget(codebook: Codebook) -> None:
    with pytest.raises(CalibrationError, match="negative"):
        assigner(codebook, budget=-1)
    with pytest.raises(CalibrationError, match="number"):
        assigner(codebook, budget="much")
