"""The audit passes the mechanisms as they are and catches mechanisms that are broken on purpose."""

from __future__ import annotations

import json
import math
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from calibration.assign import IdentityAssigner
from calibration.audit.broken import (
    BROKEN_NAMES,
    HalvedSensitivity,
    TooNoisy,
    WrongP,
    audit_broken,
    per_frame_case,
)
from calibration.audit.cases import worst_case
from calibration.audit.epsilon import EpsilonFinding, audit_case, audit_mechanism, reference_space
from calibration.audit.lower_bound import epsilon_lower_bound, refutes
from calibration.audit.report import epsilon_chart, epsilon_table, print_table, write_json
from calibration.audit.svg import Series, line_chart
from calibration.errors import CalibrationError
from calibration.mechanisms import (
    CodebookMechanism,
    GaussianMechanism,
    LaplaceMechanism,
    Mechanism,
    PrivUnitMechanism,
    UniformMechanism,
    VmfMechanism,
    create_mechanism,
)
from calibration.randomness import RandomSource, SystemRandom

TRIALS = 100_000
SPACE = reference_space(people=256, dimension=32)


class Seeded:
    """Fast and the same every time, so that a verdict does not depend on the day."""

    def __init__(self, seed: int = 5) -> None:
        self._random = random.Random(seed)

    def randbelow(self, bound: int) -> int:
        return self._random.randrange(bound)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


def audits(mechanism: Mechanism, trials: int = TRIALS) -> list[EpsilonFinding]:
    return audit_mechanism(mechanism, SPACE, trials=trials, random=Seeded())


def audit(mechanism: Mechanism, trials: int = TRIALS) -> EpsilonFinding:
    """On the worst case."""
    return audits(mechanism, trials)[0]


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
@pytest.mark.parametrize("name", ["codebook", "privunit"])
def test_tight_mechanisms_show_nine_tenths_of_their_epsilon(name: str, epsilon: str) -> None:
    finding = audit(create_mechanism(name, epsilon, dimension=16))
    assert finding.strict
    assert 0.9 * float(epsilon) <= finding.lower_bound <= float(epsilon)
    assert finding.passed


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
@pytest.mark.parametrize("name", ["laplace", "gaussian", "vmf"])
def test_the_others_pass_and_show_most_of_it(name: str, epsilon: str) -> None:
    worst, event, noise = audits(create_mechanism(name, epsilon, dimension=16))
    assert worst.passed, worst
    assert worst.required >= 0.75 * float(epsilon)
    assert event.passed, event
    assert event.lower_bound > 0
    assert noise.passed, noise
    assert noise.required >= 0.6 * float(epsilon)


def test_uniform_shows_nothing() -> None:
    finding = audit(UniformMechanism())
    assert finding.passed
    assert finding.lower_bound == 0


def test_it_runs_on_the_systems_generator() -> None:
    (finding,) = audit_mechanism(CodebookMechanism(1), SPACE, trials=2000, random=SystemRandom())
    assert finding.lower_bound <= 1


class WrongComplement(CodebookMechanism):
    """An off-by-one: what should fall outside S starts inside it."""

    def draw(self, ranked: Sequence[int], random: RandomSource) -> int:
        p = self.parameters(len(ranked))
        r = random.randbelow(p.total)
        inside = p.nearest * p.weight_inside
        return ranked[r // p.weight_inside] if r < inside else ranked[(r - inside) // p.weight_outside]


class ForgottenDimension(LaplaceMechanism):
    """Uses 2 instead of 2 sqrt(d): "epsilon per dimension"."""

    def __init__(self, epsilon: str, dimension: int) -> None:
        super().__init__(epsilon, dimension)
        self.scale /= math.sqrt(dimension)


class WrongCap(PrivUnitMechanism):
    """Its coin favours the cap more than it says."""

    def __init__(self, epsilon: str, dimension: int) -> None:
        super().__init__(epsilon, dimension)
        self.cap_probability = 1.0 - 0.7 * (1.0 - self.cap_probability)


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
@pytest.mark.parametrize("broken", [WrongP, HalvedSensitivity, ForgottenDimension, WrongCap])
def test_spending_more_than_stated_is_caught(broken: type[Mechanism], epsilon: str) -> None:
    options = {} if broken is WrongP else {"dimension": 16}
    finding = audit(broken(epsilon, **options), 40_000)
    assert finding.claim_broken
    assert "more than it states" in finding.verdict


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
def test_too_much_noise_is_caught(epsilon: str) -> None:
    finding = audit(TooNoisy(epsilon), 40_000)
    assert finding.too_noisy
    assert "noisier" in finding.verdict


def test_an_off_by_one_in_the_complement_is_caught() -> None:
    assert not audit(WrongComplement(1), 40_000).passed


def test_drawing_per_frame_is_caught() -> None:
    case = per_frame_case(CodebookMechanism(1), SPACE, TRIALS, frames=10, threshold=0.5)
    finding = audit_case(case, trials=4_000, random=Seeded())
    assert finding.claim_broken
    assert finding.lower_bound > 1.5
    once = per_frame_case(CodebookMechanism(1), SPACE, TRIALS, frames=1)
    assert audit_case(once, trials=40_000, random=Seeded()).passed


class DataSetsOwnMaximum(LaplaceMechanism):
    """Uses the L1 distance 2 sqrt(2), right in two dimensions, in all of them."""

    def __init__(self, epsilon: str, dimension: int) -> None:
        super().__init__(epsilon, dimension)
        self.scale = 2.0 * math.sqrt(2.0) / float(self.epsilon)


class SmallSigmaAtSmallDelta(GaussianMechanism):
    """Right at the delta of the worst case, wrong at the one that is used."""

    def __init__(self, epsilon: str, dimension: int, delta: float = 1e-6) -> None:
        super().__init__(epsilon, dimension, delta)
        self.sigma /= 3.0 if delta < 0.01 else 1.0


def tampered(mechanism: Mechanism, attribute: str, factor: float) -> Mechanism:
    setattr(mechanism, attribute, getattr(mechanism, attribute) * factor)
    return mechanism


@pytest.mark.parametrize("epsilon", ["0.5", "1", "4"])
@pytest.mark.parametrize(
    "make",
    [
        lambda epsilon: tampered(LaplaceMechanism(epsilon, 64), "scale", 0.1),
        lambda epsilon: tampered(GaussianMechanism(epsilon, 64), "sigma", 0.1),
        lambda epsilon: tampered(VmfMechanism(epsilon, 64), "kappa", 10.0),
        lambda epsilon: DataSetsOwnMaximum(epsilon, 64),
        lambda epsilon: SmallSigmaAtSmallDelta(epsilon, 64),
    ],
    ids=["scale", "sigma", "kappa", "sensitivity", "delta"],
)
def test_the_object_itself_is_audited(make: Callable[[str], Mechanism], epsilon: str) -> None:
    worst, event, noise = audits(make(epsilon), 10_000)
    assert not worst.failed, "the class is right, this object is not"
    assert event.failed
    assert noise.claim_broken


@pytest.mark.parametrize("name", ["laplace", "gaussian", "vmf"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_object_at_half_or_twice_its_noise_is_caught(name: str, factor: float) -> None:
    mechanism = create_mechanism(name, "2.3", dimension=32)
    attribute = {"laplace": "scale", "gaussian": "sigma", "vmf": "kappa"}[name]
    noise = audits(tampered(mechanism, attribute, factor), 20_000)[2]
    less_noise = (factor < 1) != (name == "vmf")
    assert noise.claim_broken if less_noise else noise.too_noisy, noise


def test_noise_of_the_right_size_but_the_same_everywhere_is_not_the_law() -> None:
    class OneNoiseForAll(LaplaceMechanism):
        def _noised(self, code_unit, count, random):  # type: ignore[no-untyped-def]
            return code_unit + (super()._noised(code_unit, count, random) - code_unit)[:, :1]

    _, event, noise = audits(OneNoiseForAll("1", 32), 10_000)
    assert not noise.claim_broken
    assert event.unlike


@pytest.mark.parametrize("name", BROKEN_NAMES)
def test_every_broken_mechanism_that_can_be_asked_for_is_caught(name: str) -> None:
    findings = audit_broken(name, "1", SPACE, trials=20_000, random=Seeded())
    assert any(finding.failed for finding in findings)
    assert all("BROKEN" in finding.label for finding in findings)


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
@pytest.mark.parametrize("name", ["uniform", "codebook", "privunit", "laplace", "gaussian", "vmf"])
def test_too_few_trials_to_say_is_not_a_pass(name: str, epsilon: str) -> None:
    finding = audit(create_mechanism(name, epsilon, dimension=16), 100)
    assert not finding.passed
    assert not finding.failed
    assert f"{finding.needed_trials:,} needed" in finding.verdict
    assert 100 < finding.needed_trials < 20_000


@pytest.mark.parametrize("epsilon", ["0.5", "1", "2.3", "4"])
def test_as_many_trials_as_are_needed_catch_twice_epsilon(epsilon: str) -> None:
    needed = audit(CodebookMechanism(epsilon), 100).needed_trials
    source = Seeded()
    caught = [
        audit_mechanism(WrongP(epsilon), SPACE, trials=needed, random=source)[0].claim_broken
        for _ in range(60)
    ]
    assert sum(caught) >= 56
    twice = worst_case(CodebookMechanism(epsilon), SPACE, needed).twice
    assert twice is not None
    assert not refutes(*twice, float(epsilon), 0.0, needed // 3, 1e-3)


def test_a_broken_mechanism_has_a_name() -> None:
    with pytest.raises(CalibrationError, match="per-frame"):
        audit_broken("magic", "1", SPACE, trials=100)


def test_the_whole_assignment_keeps_its_epsilon() -> None:
    """From recognition code to index, with other tracks alive, through ranking, ledger and release."""

    class Book:
        size, sha256, space = len(SPACE.directions), "ab" * 32, SPACE

    direction = SPACE.directions[0]
    codes = {True: SPACE.code(direction), False: SPACE.code(-direction)}
    mechanism = CodebookMechanism("2.3")
    subject = IdentityAssigner(mechanism, Book(), session="audit")
    worn = {
        subject.assign("camera", -track, SPACE.code(SPACE.directions[track])).index for track in range(1, 40)
    }
    free = np.array([index for index in range(Book.size) if index not in worn])
    nearest = mechanism.parameters(len(free)).nearest
    event = frozenset(SPACE.rank(direction, free)[:nearest].tolist())

    def hits(near: bool, trials: int, random: RandomSource) -> int:
        count = 0
        for track in range(trials):
            count += subject.assign("camera", track, codes[near]).index in event
            subject.release(track)
        return count

    case = replace(worst_case(mechanism, SPACE, TRIALS), label="assignment", hits=hits)
    finding = audit_case(case, trials=3000)
    assert finding.passed, finding
    assert finding.lower_bound > 1.7
    assert subject.ledger.spent("default") == (39 + 2 * 3000) * mechanism.epsilon


def test_lower_bound_is_exact_not_approximate() -> None:
    """Over all outcomes of a small experiment, the bound is above the truth no more often than alpha."""
    trials, alpha, near, far = 40, 0.1, 0.5, 0.5 * math.exp(-1)
    weights = {
        p: [math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(trials + 1)]
        for p in (near, far)
    }
    wrong = sum(
        weights[near][i] * weights[far][j]
        for i in range(trials + 1)
        for j in range(trials + 1)
        if epsilon_lower_bound(i, j, trials, alpha) > 1
    )
    assert wrong <= alpha
    assert epsilon_lower_bound(0, 0, trials, alpha) == 0
    assert epsilon_lower_bound(40, 0, trials, alpha) < math.inf


def test_an_unknown_mechanism_is_not_audited() -> None:
    class Other(Mechanism):
        name = "other"

    with pytest.raises(CalibrationError, match="no audit"):
        worst_case(Other(1), SPACE, TRIALS)


def test_reports(tmp_path: Path) -> None:
    findings = [audit(CodebookMechanism(e), 5000) for e in ("1", "2")] + [audit(WrongP("1"), 5000)]
    with (tmp_path / "table.txt").open("w") as file:
        print_table(epsilon_table(findings), Console(file=file, width=100))
    assert "spends more" in (tmp_path / "table.txt").read_text()
    write_json(tmp_path / "audit.json", findings=findings)
    read = json.loads((tmp_path / "audit.json").read_text())["findings"]
    assert [item["passed"] for item in read] == [True, True, False]
    assert [item["claim_broken"] for item in read] == [False, False, True]
    assert [item["epsilon"] for item in read] == [1, 2, 1]
    assert 0.6 < read[0]["lower_bound"] <= 1
    assert ElementTree.fromstring(epsilon_chart(findings)).tag.endswith("svg")


def test_charts() -> None:
    chart = line_chart("<t> & x", "x", "y", [Series("a", ((0, 1e-3), (1, 0.1), (2, 0.0)))], log_y=True)
    root = ElementTree.fromstring(chart)
    assert len(root.findall(".//{*}circle")) == 2
    assert "&lt;t&gt; &amp; x" in chart
    assert ElementTree.fromstring(line_chart("one", "x", "y", [Series("a", ((1, 1),))])) is not None
    with pytest.raises(ValueError, match="one point"):
        line_chart("t", "x", "y", [])
