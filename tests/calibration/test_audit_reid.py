"""The attacks find what is there and find nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from calibration.audit.heads import Enrolment, FineTunedHead
from calibration.audit.rates import (
    Rate,
    Verification,
    area_under_curve,
    effective_trials,
    rank1,
    tar_at_far,
    trials_needed,
)
from calibration.audit.reid import (
    AttackResult,
    broken_bars,
    cosine_shift,
    linkage_attack,
    missing_rows,
    naive_attack,
    parrot_attacks,
    reversal_attack,
    unresolved_bars,
)
from calibration.audit.report import print_table, reid_table, write_json
from calibration.audit.vectors import unit_rows

PEOPLE, DIMENSION = 120, 64
WHO = np.arange(PEOPLE)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def faces(generator: np.random.Generator) -> np.ndarray:
    return unit_rows(generator.normal(size=(PEOPLE, DIMENSION)))


def views(faces: np.ndarray, generator: np.random.Generator, noise: float = 0.05) -> np.ndarray:
    return unit_rows(faces + noise * generator.normal(size=faces.shape))


def test_naive_finds_originals(faces: np.ndarray, generator: np.random.Generator) -> None:
    probes = views(faces, generator)
    result = naive_attack("original", "toy", probes, WHO, views(faces, generator), WHO, originals=probes)
    assert result.tar_far_1e3.tar.value > 0.99
    assert result.rank1 is not None
    assert result.rank1.value == 1.0
    assert result.area > 0.999
    assert result.shift is not None
    assert result.shift.shift > 0.9


def test_naive_finds_nothing_in_strangers(faces: np.ndarray, generator: np.random.Generator) -> None:
    strangers = unit_rows(generator.normal(size=faces.shape))
    result = naive_attack("epsilon 0", "toy", strangers, WHO, faces, WHO, originals=faces)
    assert result.tar_far_1e2.tar.value < 0.06
    assert 0.4 < result.area < 0.6
    assert result.shift is not None
    assert abs(result.shift.shift) < 4 * result.shift.standard_error
    assert broken_bars([result], ["epsilon 0"]) == []


def test_a_limit_takes_as_many_trials_as_rule_it_out() -> None:
    """0 of n: the one-sided 95 % bound 1 - .05^(1/n) is the limit at n, and above it at one trial fewer."""
    assert [trials_needed(limit) for limit in (0.005, 0.02)] == [598, 149]
    for limit in (0.005, 0.02):
        enough = trials_needed(limit)
        assert 1 - 0.05 ** (1 / enough) <= limit < 1 - 0.05 ** (1 / (enough - 1))


def _strangers(people: int, generator: np.random.Generator) -> list[AttackResult]:
    who = np.arange(people)
    gallery, clean, probes = (unit_rows(generator.normal(size=(people, DIMENSION))) for _ in range(3))
    naive = naive_attack("epsilon 0", "toy", probes, who, clean, who, originals=clean)
    return [naive, *parrot_attacks("epsilon 0", "toy", gallery, who, probes, who)]


def test_bars_are_resolved_by_many_people_and_not_by_few(generator: np.random.Generator) -> None:
    many = _strangers(600, generator)
    assert broken_bars(many, ["epsilon 0"]) == unresolved_bars(many, ["epsilon 0"]) == []
    few = _strangers(20, generator)
    lines = "\n".join(unresolved_bars(few, ["epsilon 0"]))
    assert "naive: TAR <= 0.5 % takes 598 independent pairs of one person, those here are worth 20" in lines
    assert (
        "parrot, head: TAR <= 2 % takes 149 independent pairs of one person, those here are worth 20" in lines
    )
    assert "naive: FAR 0.1 % takes 1,000 pairs of strangers, fewer are here" in lines
    # One of 20 by chance is 5 %, and says nothing of a bar of .5 %.
    assert broken_bars([replace(few[0], tar_far_1e3=_accepted(1, 20), shift=None)], ["epsilon 0"]) == []
    assert len(broken_bars([replace(few[0], tar_far_1e3=_accepted(9, 20), shift=None)], ["epsilon 0"])) == 1


def _accepted(successes: int, trials: int) -> Verification:
    return Verification(1e-3, 0.5, Rate(successes, trials), resolved=trials * (trials - 1) >= 1000)


def test_what_was_not_tried_is_not_resolved(generator: np.random.Generator) -> None:
    naive, *parrots = _strangers(600, generator)
    assert len(unresolved_bars([naive, *parrots], ["epsilon 1"])) == 3
    assert any("head: was not tried" in line for line in unresolved_bars([naive, parrots[0]], ["epsilon 0"]))
    assert naive.shift is not None
    for shift in (
        None,
        replace(naive.shift, standard_error=0.03),
        replace(naive.shift, standard_error=np.nan),
    ):
        (line,) = unresolved_bars([replace(naive, shift=shift), *parrots], ["epsilon 0"])
        assert line.startswith("cosine shift")


def test_the_opposite_of_the_original_is_no_hiding_place(faces: np.ndarray) -> None:
    shift = cosine_shift(faces, -faces, WHO)
    assert shift.shift < -0.9
    result = naive_attack("far away", "toy", -faces, WHO, faces, WHO, originals=faces)
    assert result.tar_far_1e3.tar.value == 0
    assert any("cosine shift" in line for line in broken_bars([result], ["far away"]))


def test_parrot_learns_a_consistent_disguise(faces: np.ndarray, generator: np.random.Generator) -> None:
    """Everybody always gets the same other face: naive sees chance, parrot sees everything."""
    disguise = unit_rows(generator.normal(size=faces.shape))
    naive = naive_attack("fixed", "toy", views(disguise, generator), WHO, faces, WHO)
    training = np.concatenate([views(disguise, generator) for _ in range(2)])
    parrots = parrot_attacks("fixed", "toy", training, np.tile(WHO, 2), views(disguise, generator), WHO)
    assert naive.area < 0.6
    assert [parrot.attack for parrot in parrots] == ["parrot, enrolled", "parrot, head"]
    for parrot in parrots:
        assert parrot.rank1 is not None
        assert parrot.rank1.value > 0.95
        assert any(parrot.attack in line for line in broken_bars([parrot], ["fixed"]))


def test_a_fine_tuned_head_sees_what_enrolment_does_not(generator: np.random.Generator) -> None:
    """Who it is stands in a few weak directions, under noise that is the same kind for everybody."""
    weak, loud = 16, 48
    signal = generator.normal(size=(PEOPLE, weak))

    def draw() -> np.ndarray:
        who = signal + 0.15 * generator.normal(size=signal.shape)
        return np.concatenate([who, 3.0 * generator.normal(size=(PEOPLE, loud))], axis=1)

    training, names = np.concatenate([draw() for _ in range(6)]), np.tile(WHO, 6)
    probes = draw()

    def right(known: Enrolment | FineTunedHead) -> float:
        return float(np.mean(known.people[known.scores(probes).argmax(axis=1)] == WHO))

    assert right(Enrolment(training, names)) < 0.35
    assert right(FineTunedHead(training, names)) > 0.7


def test_fine_tuning_lowers_the_loss_it_trains_on(faces: np.ndarray, generator: np.random.Generator) -> None:
    training, names = np.concatenate([views(faces, generator, 0.3) for _ in range(3)]), np.tile(WHO, 3)

    def loss(steps: int) -> float:
        logits = FineTunedHead(training, names, steps=steps).scores(training)
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return float(-np.log(shares[np.arange(len(names)), names]).mean())

    assert loss(40) < 0.6 * loss(0)


def test_parrot_learns_nothing_from_fresh_draws(generator: np.random.Generator) -> None:
    def draw(count: int) -> np.ndarray:
        return unit_rows(generator.normal(size=(count, DIMENSION)))

    for parrot in parrot_attacks("fresh", "toy", draw(3 * PEOPLE), np.tile(WHO, 3), draw(PEOPLE), WHO):
        assert parrot.rank1 is not None
        assert parrot.rank1.low < 1 / PEOPLE < parrot.rank1.high


def test_reversal_undoes_a_fixed_rotation(faces: np.ndarray, generator: np.random.Generator) -> None:
    rotation = np.linalg.qr(generator.normal(size=(DIMENSION, DIMENSION)))[0]
    others = unit_rows(generator.normal(size=(400, DIMENSION)))
    known = (others @ rotation, others, PEOPLE + np.arange(400))
    probes = views(faces, generator) @ rotation
    naive = naive_attack("rotated", "toy", probes, WHO, faces, WHO)
    reversal = reversal_attack("rotated", "toy", known, probes, WHO, faces, WHO)
    assert naive.rank1 is not None
    assert naive.rank1.value < 0.1
    assert reversal.rank1 is not None
    assert reversal.rank1.value > 0.95


def test_reversal_never_learns_from_the_person_it_is_tried_on(
    faces: np.ndarray, generator: np.random.Generator
) -> None:
    """Everybody has a disguise of his own: there is nothing to learn from others, and by heart is not allowed."""
    disguise = unit_rows(generator.normal(size=faces.shape))
    reversal = reversal_attack("own", "toy", (disguise, faces, WHO), disguise, WHO, faces, WHO)
    assert reversal.rank1 is not None
    assert reversal.rank1.value < 0.06


def test_linkage_looks_at_other_draws_only(faces: np.ndarray, generator: np.random.Generator) -> None:
    frames = np.repeat(unit_rows(generator.normal(size=(2 * PEOPLE, DIMENSION))), 2, axis=0)
    people, draws = np.repeat(np.tile(WHO, 2), 2), np.repeat(np.arange(2 * PEOPLE), 2)
    fresh = linkage_attack("epsilon 0", "toy", frames, people, draws)
    assert 0.4 < fresh.area < 0.6
    fixed = linkage_attack(
        "fixed", "toy", np.tile(views(faces, generator), (2, 1)), np.tile(WHO, 2), np.repeat([0, 1], PEOPLE)
    )
    assert fixed.area > 0.99
    assert fresh.rank1 is None


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=50),
    st.lists(st.floats(-1, 1), min_size=1, max_size=50),
    st.sampled_from([1e-3, 0.05, 0.3, 1.0]),
)
@settings(max_examples=60)
def test_threshold_never_accepts_more_impostors(
    genuine: list[float], impostor: list[float], far: float
) -> None:
    result = tar_at_far(np.array(genuine), np.array(impostor), far)
    assert np.mean(np.array(impostor) > result.threshold) <= far
    assert result.resolved == (far * len(impostor) >= 1)
    pairs = np.array(genuine)[:, None] - np.array(impostor)[None, :]
    by_hand = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    assert area_under_curve(np.array(genuine), np.array(impostor)) == pytest.approx(by_hand)


def test_a_solid_mask_is_accepted_nowhere() -> None:
    """Every score is the same: what ties with the threshold is no acceptance."""
    same = np.full(100, 0.7)
    assert tar_at_far(same, same, 1e-2).tar.value == 0
    assert area_under_curve(same, same) == 0.5


def test_rank1_leaves_out_the_unknown() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.6]])
    rate = rank1(scores, np.array([5, 6, 99]), np.array([5, 6]))
    assert (rate.successes, rate.trials) == (2, 2)


def test_rates_are_exact() -> None:
    # 0 of n: the upper bound at 97.5 % is 1 - .025^(1/n).
    assert Rate(0, 100).high == pytest.approx(1 - 0.025 ** (1 / 100))
    assert Rate(100, 100).high == 1.0
    assert Rate(0, 100).low == 0.0
    with pytest.raises(ValueError, match="trials"):
        Rate(0, 0)


def test_trials_that_go_together_are_worth_less() -> None:
    generator = np.random.default_rng(5)
    people = np.repeat(np.arange(400), 5)
    alone = generator.random(2000) < 0.1
    together = np.repeat(generator.random(400) < 0.1, 5)
    assert effective_trials(alone, people) > 1500
    assert effective_trials(together, people) == pytest.approx(400)
    assert effective_trials(alone, np.arange(2000)) == pytest.approx(2000)
    # Without any success nothing tells how they go together.
    assert effective_trials(np.zeros(2000, bool), people) == 400
    clustered, exact = Rate(200, 2000, 400.0), Rate(200, 2000)
    assert clustered.low < exact.low < exact.high < clustered.high


def test_the_interval_of_clustered_trials_holds_the_truth() -> None:
    generator = np.random.default_rng(8)
    people = np.repeat(np.arange(300), 6)
    covered = []
    for _ in range(300):
        own = np.repeat(generator.beta(0.5, 4.5, 300), 6)
        hits = generator.random(1800) < own
        rate = Rate(int(hits.sum()), 1800, effective_trials(hits, people))
        covered.append(rate.low <= 0.1 <= rate.high)
    assert np.mean(covered) > 0.92


def test_a_shift_of_many_draws_of_few_people_is_no_surer_than_the_people(
    generator: np.random.Generator,
) -> None:
    faces = unit_rows(generator.normal(size=(60, DIMENSION)))
    own = unit_rows(faces * generator.uniform(0, 1, (60, 1)) + 0.3 * generator.normal(size=faces.shape))
    once = cosine_shift(faces, own, np.arange(60))
    many = cosine_shift(np.tile(faces, (9, 1)), np.tile(own, (9, 1)), np.tile(np.arange(60), 9))
    assert many.shift == pytest.approx(once.shift)
    assert many.standard_error == pytest.approx(once.standard_error)
    with pytest.raises(ValueError, match="two people"):
        cosine_shift(faces, own, np.zeros(60, int))


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones(3)])
def test_embeddings_without_direction(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="direction"):
        unit_rows(bad)


def test_a_shift_needs_strangers(faces: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two people"):
        cosine_shift(faces, faces, np.zeros(PEOPLE, dtype=int))


def test_reports(tmp_path: Path, faces: np.ndarray, generator: np.random.Generator) -> None:
    results = [
        naive_attack(row, "toy", views(faces, generator), WHO, faces, WHO, originals=faces)
        for row in ("original", "epsilon 0", "blur")
    ]
    assert missing_rows(results) == ["solid"]
    with (tmp_path / "table.txt").open("w") as file:
        print_table(reid_table(results), Console(file=file, width=140))
    assert "chance" in (tmp_path / "table.txt").read_text()
    write_json(tmp_path / "reid.json", results=results)
    assert '"successes": 120' in (tmp_path / "reid.json").read_text()
