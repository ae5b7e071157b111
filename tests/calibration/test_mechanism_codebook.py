"""The default mechanism: its probabilities as exact rationals, and its draw against them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.errors import EpsilonError
from calibration.mechanisms import CodebookMechanism, Exactness, UniformMechanism
from calibration.mechanisms.codebook import best_fraction, nearest_count
from calibration.randomness import KeyedRandom

epsilons = st.decimals(min_value="0.01", max_value="12", places=3).map(str)
sizes = st.integers(min_value=2, max_value=400)


class Fixed:
    """A source whose next integer is given."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.bound = 0

    def randbelow(self, bound: int) -> int:
        self.bound = bound
        return self.value

    def token_bytes(self, count: int) -> bytes:
        raise AssertionError("integers only")


@given(epsilons, sizes)
def test_probabilities_sum_to_one_and_the_largest_ratio_is_the_odds(epsilon: str, available: int) -> None:
    mechanism = CodebookMechanism(epsilon)
    probabilities = mechanism.probabilities(available)
    assert len(probabilities) == available
    assert sum(probabilities) == 1
    assert max(probabilities) / min(probabilities) == mechanism.odds
    assert probabilities[0] > probabilities[-1]


@given(epsilons)
def test_stated_epsilon_is_not_above_the_asked_one_and_close_to_it(epsilon: str) -> None:
    mechanism = CodebookMechanism(epsilon)
    with localcontext() as context:
        context.prec = 60
        odds = Decimal(mechanism.odds.numerator) / Decimal(mechanism.odds.denominator)
        asked = Decimal(epsilon).exp()
        assert odds <= asked
        assert asked - odds <= Decimal(2) / (1 << 64)
    assert mechanism.exact_epsilon <= Decimal(epsilon)


@given(epsilons, sizes, st.data())
def test_every_integer_leads_to_the_entry_of_its_block(
    epsilon: str, available: int, data: st.DataObject
) -> None:
    """The draw is the textbook inverse: A integers for each near entry, B for each other, none left over."""
    mechanism = CodebookMechanism(epsilon)
    p = mechanism.parameters(available)
    ranked = data.draw(st.permutations(range(available)))
    rank = data.draw(st.integers(0, available - 1))
    inside = min(rank, p.nearest)
    start = inside * p.weight_inside + (rank - inside) * p.weight_outside
    width = p.weight_inside if rank < p.nearest else p.weight_outside
    for value in (start, start + width - 1):
        source = Fixed(value)
        assert mechanism.draw(ranked, source) == ranked[rank]
        assert source.bound == p.total
    assert p.nearest * p.weight_inside + (available - p.nearest) * p.weight_outside == p.total


@given(epsilons, sizes, st.randoms(use_true_random=False))
def test_m_and_m_total_do_not_depend_on_the_code(epsilon: str, available: int, shuffler: object) -> None:
    """Two codes are two orders of the same entries: what is asked of the generator must be the same."""
    mechanism = CodebookMechanism(epsilon)
    bounds = set()
    for ranked in (list(range(available)), list(range(available))[::-1]):
        source = Fixed(0)
        mechanism.draw(ranked, source)
        bounds.add(source.bound)
    assert len(bounds) == 1
    assert 1 <= nearest_count(available, mechanism.epsilon) <= available - 1


def test_the_optimum_is_the_one_of_the_specification() -> None:
    for epsilon, q, p in (("2.3", 0.184, 0.69), ("1", 0.35, 0.59)):
        mechanism = CodebookMechanism(epsilon)
        near = mechanism.parameters(1024).nearest
        assert abs(best_fraction(mechanism.epsilon) - q) < 0.006
        assert abs(float(sum(mechanism.probabilities(1024)[:near])) - p) < 0.006


def test_large_epsilon_becomes_k_ary_randomized_response() -> None:
    assert nearest_count(1024, Fraction(12)) == 1


def test_one_entry_is_certain() -> None:
    assert CodebookMechanism(1).draw([9], KeyedRandom(bytes(32), b"")) == 9


def test_frequencies_follow_the_probabilities() -> None:
    mechanism = CodebookMechanism(1)
    random = KeyedRandom(bytes(range(32)), b"frequencies")
    draws = 20_000
    counts = Counter(mechanism.draw([3, 1, 4, 0, 2], random) for _ in range(draws))
    probabilities = mechanism.probabilities(5)
    expected = [float(probabilities[rank]) * draws for rank in range(5)]
    observed = [counts[entry] for entry in (3, 1, 4, 0, 2)]
    chi_squared = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    assert chi_squared < 23.5  # 4 degrees of freedom, one in ten thousand


@given(st.integers(2, 200))
@settings(max_examples=20)
def test_uniform_is_uniform(available: int) -> None:
    assert set(UniformMechanism().probabilities(available)) == {Fraction(1, available)}
    assert UniformMechanism().draw(list(range(available)), Fixed(available - 1)) == available - 1


def test_statements() -> None:
    uniform, codebook = UniformMechanism(), CodebookMechanism("2.3")
    assert uniform.epsilon == 0
    assert not uniform.needs_code
    assert codebook.needs_code
    assert codebook.exactness is Exactness.INTEGER
    assert codebook.describe()["epsilon"] == "2.3"
    assert [round(100 * row.verification, 1) for row in codebook.bound_table()] == [1.0, 10.0]


def test_too_small_an_epsilon_is_sent_to_uniform() -> None:
    for epsilon in (0, "1e-30"):
        with pytest.raises(EpsilonError, match="uniform"):
            CodebookMechanism(epsilon)
