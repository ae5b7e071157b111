"""Audit of mode `hide`: what must be chance, what must not, and who is compared with whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.audit.reid import compared
from calibration.audit.vectors import unit_rows
from calibration.codebook import Screening
from streamer.audit.codebook_screen import CodebookFinding, gallery_portraits
from streamer.audit.codebook_screen import claims_broken as codebook_broken
from streamer.audit.hidden import NO_KEY, ONE_KEY, TWO_KEYS, WITH_KEY, WRONG_KEY, claims_broken
from streamer.errors import InputError

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


def test_doubles_and_stale_codes_break_the_codebook() -> None:
    class One:
        name = "toy"

    def finding(*pairs: tuple[int, int, float]) -> CodebookFinding:
        return CodebookFinding("among the people", "toy", 3, Screening(0.5, 0.6, pairs))

    two = [One(), One()]
    assert codebook_broken(0.99, [finding()], two) == []  # type: ignore[arg-type]
    assert "2 pairs above 0.500" in codebook_broken(0.99, [finding((0, 1, 0.6), (1, 2, 0.55))], two)[0]  # type: ignore[arg-type]
    assert "not that of its picture" in codebook_broken(0.5, [finding()], two)[0]  # type: ignore[arg-type]
    assert "one recogniser alone" in codebook_broken(0.99, [finding()], two[:1])[0]  # type: ignore[arg-type]


def test_a_gallery_is_taken_evenly_and_must_have_pictures(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"p{number}").mkdir()
        (tmp_path / f"p{number}" / "1.jpg").touch()
    taken = [portrait.person for portrait in gallery_portraits(tmp_path, 4)]
    assert taken == ["p0", "p3", "p6", "p9"]
    assert len(gallery_portraits(tmp_path)) == 10
    with pytest.raises(InputError, match="no pictures"):
        gallery_portraits(tmp_path / "p0" / "none")
