"""Numbers that no rounding may touch: epsilon as a rational, and floor(scale * e^epsilon) in integers.

Epsilon is read as the decimal the user wrote (2.3 is 23/10, not the double nearest to it), so that budgets
add up
exactly: ten draws at 0.1 are 1.
"""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from calibration.errors import EpsilonError

EpsilonLike = Fraction | int | float | str
MAX_EPSILON = 64
"""Above this a mechanism is refused outright; far below it the statement is already empty (see `bounds`)."""
# Of every double, and of every number that `epsilon_text` writes; beyond it a few characters fill the memory.
_MAX_EXPONENT = 400
_EXPONENT = re.compile(r"e([+-]?[\d_]+)\s*$", re.IGNORECASE)


def rational(value: EpsilonLike) -> Fraction:
    """The decimal or quotient that was written, exactly: 1e-6 is one millionth, not the double nearest to it.

    Raises ValueError (also for powers of ten beyond 400), or ZeroDivisionError.
    """
    if isinstance(value, Fraction):
        return value
    text = str(value)
    exponent = _EXPONENT.search(text)
    if exponent is not None and abs(int(exponent[1])) > _MAX_EXPONENT:
        raise ValueError(f"a power of ten beyond {_MAX_EXPONENT}")
    return Fraction(text)


def as_epsilon(value: EpsilonLike) -> Fraction:
    """The exact rational of an epsilon given as number or text, from 0 to 64; else EpsilonError."""
    try:
        epsilon = rational(value)
    except (ValueError, ZeroDivisionError):
        raise EpsilonError(f"epsilon must be a number from 0 to {MAX_EPSILON}, got {value!r}") from None
    if not 0 <= epsilon <= MAX_EPSILON:
        raise EpsilonError(f"epsilon must lie between 0 and {MAX_EPSILON}, got {value}")
    return epsilon


def epsilon_text(epsilon: Fraction) -> str:
    """Shortest exact text: a decimal where the rational has one, else `numerator/denominator`."""
    rest = epsilon.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return str(epsilon)
    with localcontext() as context:
        context.prec = 400
        return format(Decimal(epsilon.numerator) / Decimal(epsilon.denominator), "f")


@lru_cache(maxsize=256)
def floor_scaled_exp(epsilon: Fraction, scale: int) -> int:
    """floor(scale * e^epsilon), exactly, for 0 <= epsilon <= 64.

    The Taylor series is summed in fixed point twice, once with every step rounded down and once with every
    step rounded up and a bound of the remainder added. When both ends have the same floor it is the answer;
    otherwise the precision is doubled. This ends because e^epsilon is irrational for every rational epsilon
    other than 0.
    """
    if epsilon == 0:
        return scale
    bits = 256 + scale.bit_length()
    while True:
        low, high = _exp_interval(epsilon, bits)
        floor_low, floor_high = (scale * low) >> bits, (scale * high) >> bits
        if floor_low == floor_high:
            return floor_low
        bits *= 2


def _exp_interval(epsilon: Fraction, bits: int) -> tuple[int, int]:
    """Integers (low, high) with low <= 2^bits * e^epsilon <= high."""
    numerator, denominator = epsilon.numerator, epsilon.denominator
    term_low = term_high = sum_low = sum_high = 1 << bits
    order = 0
    # Once order > 2 epsilon, terms at least halve: the remainder is at most the last term.
    while term_high > 1 or order <= 2 * epsilon:
        order += 1
        divisor = denominator * order
        term_low = term_low * numerator // divisor
        term_high = -(-term_high * numerator // divisor)
        sum_low += term_low
        sum_high += term_high
    return sum_low, sum_high + term_high


def log_of_ratio(numerator: int, denominator: int, digits: int = 40) -> Decimal:
    """ln(numerator / denominator) to `digits` significant digits, for statements and reports."""
    with localcontext() as context:
        context.prec = digits + 10
        value = (Decimal(numerator) / Decimal(denominator)).ln()
        context.prec = digits
        return +value
