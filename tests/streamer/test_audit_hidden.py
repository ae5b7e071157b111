"""Audit of mode `hide`: what must be chance, what must not, and who is compared with whom."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.audit.reid import compared
from calibration.audit.vectors import unit_rows
from streamer.audit.hidden import NO_KEY, ONE_KEY, TWO_KEYS, WITH_KEY, WRONG_KEY, claims_broken

WHO = np.arange(200)


def result(row: str, noise: float):  # type: ignore[no-untyped-def]
    """Codes that match their persons, the worse the more noise."""
    generator = np.random.default_rng(7)
    codes = unit_rows(generator.normal(size=(len(WHO), 64)))
    return compared(row, "toy", codes + noise * generator.normal(size=codes.shape), WHO, codes, WHO)


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
