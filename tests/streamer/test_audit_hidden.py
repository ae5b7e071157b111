"""Audit of mode `hide`: what must be chance, what must not, and who is compared with whom."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.audit.reid import AttackResult, compared
from calibration.audit.vectors import unit_rows
from streamer.audit.hidden import (
    NO_KEY,
    NOTHING_WITHOUT,
    ONE_KEY,
    ORIGINALS,
    TWO_KEYS,
    WITH_KEY,
    WRONG_KEY,
    claims_broken,
    no_evidence,
)


def result(row: str, noise: float, people: int = 200) -> AttackResult:
    """Codes that match their persons, the worse the more noise."""
    generator = np.random.default_rng(7)
    who = np.arange(people)
    codes = unit_rows(generator.normal(size=(people, 64)))
    return compared(row, "toy", codes + noise * generator.normal(size=codes.shape), who, codes, who)


def test_matching_with_the_key_and_nothing_without_is_what_is_claimed() -> None:
    good = [
        result(WITH_KEY, 0.1),
        result(ONE_KEY, 0.1),
        *(result(row, 1e6) for row in (WRONG_KEY, NO_KEY, TWO_KEYS)),
    ]
    assert claims_broken(good) == []


@pytest.mark.parametrize("row", [WRONG_KEY, NO_KEY, TWO_KEYS])
def test_a_match_without_the_key_breaks_the_claim(row: str) -> None:
    (line,) = claims_broken([result(WITH_KEY, 0.1), result(row, 0.1)])
    assert row in line


def test_a_key_that_matches_nothing_breaks_the_claim() -> None:
    (line,) = claims_broken([result(WITH_KEY, 1e6)])
    assert "matches nothing" in line


def test_few_people_plain_coverings_or_a_blind_recogniser_are_no_evidence() -> None:
    def run(people: int, noise: float = 0.1) -> list[AttackResult]:
        return [result(ORIGINALS, noise, people), *(result(row, 1e6, people) for row in NOTHING_WITHOUT)]

    assert no_evidence(run(600), 2400, 2390) == []
    few = no_evidence(run(20), 80, 80)
    assert len(few) == 2
    assert "598 independent pairs of one person, those here are worth 20" in few[0]
    assert "of strangers" in few[1]
    (line,) = no_evidence(run(600), 2400, 100)
    assert line.startswith("a synthetic person stands in 100 of 2400")
    (line,) = no_evidence(run(600, noise=1e6), 2400, 2400)
    assert "does not know the originals" in line
