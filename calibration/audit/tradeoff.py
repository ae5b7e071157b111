"""Choosing an epsilon: what it bounds, what was measured, and how much the synthetic person resembles the
real one.

Resemblance is exact, not sampled: the mean, over people, of the expected cosine between a person's code and
the identity that `codebook` gives, in the codebook's identity space. The codebook's own people stand in for
the public; each is left out of the list that is drawn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from calibration.audit.svg import Series, line_chart
from calibration.bounds import identification_bound, verification_bound
from calibration.exact import EpsilonLike, as_epsilon
from calibration.identity_space import IdentitySpace
from calibration.mechanisms import CodebookMechanism, UniformMechanism


@dataclass(frozen=True)
class TradeoffRow:
    """One epsilon: largest TPR at `far`, largest rank-1 among `people`, and resemblance (a cosine)."""

    epsilon: float
    far: float
    verification: float
    people: int
    identification: float
    resemblance: float


def resemblance(space: IdentitySpace, epsilon: EpsilonLike) -> float:
    """Expected cosine of the drawn person to the code, mean over the codebook's people."""
    value = as_epsilon(epsilon)
    mechanism = UniformMechanism() if value == 0 else CodebookMechanism(value)
    others = len(space.directions) - 1
    probabilities = np.array([float(p) for p in mechanism.probabilities(others)])
    table = space.directions @ space.directions.T
    np.fill_diagonal(table, -np.inf)
    nearest_first = -np.sort(-table, axis=1)[:, :others]
    return float((nearest_first @ probabilities).mean())


def tradeoff(
    space: IdentitySpace, epsilons: Sequence[EpsilonLike], *, far: float = 1e-3, people: int = 1000
) -> list[TradeoffRow]:
    """A row per epsilon."""
    rows = []
    for epsilon in epsilons:
        value = float(as_epsilon(epsilon))
        rows.append(
            TradeoffRow(
                epsilon=value,
                far=far,
                verification=verification_bound(value, far),
                people=people,
                identification=identification_bound(value, people),
                resemblance=resemblance(space, epsilon),
            )
        )
    return rows


def tradeoff_table(rows: Sequence[TradeoffRow]) -> Table:
    table = Table(title="What an epsilon buys")
    far, people = rows[0].far, rows[0].people
    for heading in (
        "epsilon",
        f"TPR at FAR {100 * far:g} %, at most",
        f"rank-1 of {people:,}, at most",
        "resemblance",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        rates = (f"{100 * row.verification:.3g} %", f"{100 * row.identification:.3g} %")
        table.add_row(f"{row.epsilon:g}", *rates, f"{row.resemblance:.3f}")
    return table


def tradeoff_chart(rows: Sequence[TradeoffRow], measured: Sequence[tuple[float, float]] = ()) -> str:
    """SVG: the bound of the TPR, the measured TPR as (epsilon, rate), and resemblance, against epsilon."""
    series = [
        Series("TPR, bound", tuple((row.epsilon, row.verification) for row in rows), dashed=True),
        Series("resemblance", tuple((row.epsilon, row.resemblance) for row in rows)),
    ]
    if measured:
        series.append(Series("TPR, measured", tuple(sorted(measured))))
    return line_chart("Bound, attack and resemblance", "epsilon", "rate or cosine", series)
