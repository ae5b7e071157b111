"""The weight A never exceeds B e^eps, decided without floating point."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.cost import Budget
from calibration.errors import CalibrationError, EpsilonError
from calibration.exact import as_epsilon, epsilon_text, floor_scaled_exp, log_of_ratio, rational

epsilons = st.fractions(min_value=0, max_value=20, max_denominator=10**6)


@given(epsilons, st.sampled_from([1, 1000, 1 << 64, 1 << 200]))
@settings(max_examples=60)
def test_floor_agrees_with_decimal_arithmetic(epsilon: Fraction, scale: int) -> None:
    with localcontext() as context:
        context.prec = 200
        exponent = Decimal(epsilon.numerator) / Decimal(epsilon.denominator)
        assert floor_scaled_exp(epsilon, scale) == int(exponent.exp() * scale)


def test_known_values() -> None:
    assert floor_scaled_exp(Fraction(0), 1 << 64) == 1 << 64
    assert floor_scaled_exp(Fraction(1), 10**20) == 271828182845904523536


def test_a_thin_gap_is_decided() -> None:
    # Around 1e-400 the first precision cannot tell the two sides of an integer apart.
    assert floor_scaled_exp(Fraction(1, 10**400), 10**400) == 10**400 + 1


@given(epsilons)
def test_text_is_exact(epsilon: Fraction) -> None:
    assert as_epsilon(epsilon_text(epsilon)) == epsilon


def test_decimals_add_up() -> None:
    assert sum([as_epsilon(0.1)] * 10) == 1
    assert epsilon_text(as_epsilon(2.3)) == "2.3"


@pytest.mark.parametrize("value", [-1, "one", float("nan"), float("inf"), 65, "1/0"])
def test_what_is_no_epsilon(value: object) -> None:
    with pytest.raises(EpsilonError):
        as_epsilon(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1e99999999", "1e-99999999", "1E+9_999_999 ", "1e401"])
def test_a_few_characters_do_not_fill_the_memory(value: str) -> None:
    with pytest.raises(EpsilonError, match="must be a number"):
        as_epsilon(value)
    with pytest.raises(CalibrationError, match="must be a number"):
        Budget.of(value)


def test_every_double_is_read() -> None:
    assert rational(5e-324) == Fraction("5e-324")
    assert Budget.of(1.7e308).epsilon == Fraction("1.7e308")


def test_log_of_ratio() -> None:
    assert math.isclose(float(log_of_ratio(3, 2)), math.log(1.5))
