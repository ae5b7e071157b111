"""The printed bounds are those of the specification, and conversions are exact inverses."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.bounds import (
    bound_table,
    check_epsilon,
    epsilon_for_identification,
    epsilon_for_verification,
    identification_bound,
    posterior_bound,
    verification_bound,
)
from calibration.errors import EpsilonError

rates = st.floats(min_value=1e-6, max_value=0.5)


def test_table_of_the_specification() -> None:
    rows = bound_table()
    assert [row.epsilon for row in rows] == [0, 0.5, 1, 1.61, 2.3, 3, 4]
    for row, tpr, rank1 in zip(
        rows,
        (0.10, 0.165, 0.27, 0.50, 1.0, 2.0, 5.5),
        (0.10, 0.165, 0.27, 0.50, 0.99, 1.97, 5.2),
        strict=True,
    ):
        assert 100 * row.verification == pytest.approx(tpr, rel=0.013)
        assert 100 * row.identification == pytest.approx(rank1, rel=0.013)


@given(st.floats(0, 12), rates)
def test_verification_inverts(epsilon: float, far: float) -> None:
    bound = verification_bound(epsilon, far)
    if bound < 1.0 - 1e-9:
        assert epsilon_for_verification(bound, far) == pytest.approx(epsilon, abs=1e-6)


@given(st.floats(0, 12), st.integers(2, 100_000))
def test_identification_inverts(epsilon: float, people: int) -> None:
    bound = identification_bound(epsilon, people)
    if bound < 1.0 - 1e-9:
        assert epsilon_for_identification(bound, people) == pytest.approx(epsilon, abs=1e-6)


@given(st.floats(0, 12), rates)
def test_zero_epsilon_gives_chance_and_more_never_less(epsilon: float, far: float) -> None:
    assert verification_bound(0, far) == pytest.approx(far)
    assert identification_bound(0, 7) == pytest.approx(1 / 7)
    assert verification_bound(epsilon, far) <= 1
    assert verification_bound(epsilon + 0.1, far) >= verification_bound(epsilon, far)


@given(st.floats(0, 8), st.floats(0.001, 0.999))
def test_odds_rise_by_the_factor_exactly(epsilon: float, prior: float) -> None:
    posterior = posterior_bound(epsilon, prior)
    assert posterior / (1 - posterior) == pytest.approx(math.exp(epsilon) * prior / (1 - prior), rel=1e-9)


def test_delta_weakens_the_bounds() -> None:
    assert verification_bound(1, 1e-3, 1e-2) > verification_bound(1, 1e-3) + 9e-3
    assert identification_bound(1, 1000, 1e-2) > identification_bound(1, 1000) + 9e-3


def test_policy() -> None:
    assert check_epsilon(4) is None
    assert "FAR" in (check_epsilon("4.5") or "")
    with pytest.raises(EpsilonError, match="explicitly"):
        check_epsilon("8.01")
    assert check_epsilon("8.01", allow_large=True) is not None


def test_a_delta_is_warned_of_and_refused_by_what_it_does_to_the_bound() -> None:
    for small in (0.0, 1e-6, 1e-2):
        assert check_epsilon(1, delta=small) is None
    assert "epsilon 1 with delta 0.9 only promises a true-positive rate below 90.3 %" in (
        check_epsilon(1, delta=0.9) or ""
    )
    # As little as epsilon 4 promises: 5.5 %.
    assert check_epsilon(1, delta=0.05) is None
    assert check_epsilon(1, delta=0.06) is not None
    assert check_epsilon(8, delta=1e-6) is not None
    with pytest.raises(EpsilonError, match="less than epsilon 8 promises must be allowed explicitly"):
        check_epsilon(1, delta=0.9999)
    assert check_epsilon(1, allow_large=True, delta=0.9999) is not None


@pytest.mark.parametrize(("tpr", "far"), [(0.0005, 0.001), (1.0, 0.001), (0.5, 0.0)])
def test_impossible_wishes(tpr: float, far: float) -> None:
    with pytest.raises(EpsilonError):
        epsilon_for_verification(tpr, far)
