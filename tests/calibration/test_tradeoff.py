"""Resemblance is nothing at epsilon 0, rises with epsilon, and is what draws give on average."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rich.console import Console

from calibration.audit.epsilon import reference_space
from calibration.audit.tradeoff import resemblance, tradeoff, tradeoff_chart, tradeoff_table
from calibration.mechanisms import CodebookMechanism
from calibration.randomness import KeyedRandom

SPACE = reference_space(people=120, dimension=16)


def test_rises_from_nothing() -> None:
    values = [resemblance(SPACE, epsilon) for epsilon in ("0", "0.5", "1", "2.3", "4", "8")]
    assert abs(values[0]) < 0.02
    assert values == sorted(values)
    assert values[-1] > 0.4


def test_is_the_mean_of_draws() -> None:
    mechanism = CodebookMechanism(2)
    random = KeyedRandom(bytes(range(32)), b"tradeoff")
    everyone = np.arange(120)
    cosines = []
    for person in range(120):
        ranked = SPACE.rank(SPACE.directions[person], everyone[everyone != person]).tolist()
        cosines += [
            float(SPACE.directions[mechanism.draw(ranked, random)] @ SPACE.directions[person])
            for _ in range(30)
        ]
    assert np.mean(cosines) == pytest.approx(
        resemblance(SPACE, 2), abs=4 * np.std(cosines) / np.sqrt(len(cosines))
    )


def test_table_and_chart() -> None:
    rows = tradeoff(SPACE, ["0", "1", "2.3"])
    assert rows[1].verification == pytest.approx(np.e * 1e-3)
    console = Console(record=True, width=100, quiet=True)
    console.print(tradeoff_table(rows))
    assert ElementTree.fromstring(tradeoff_chart(rows, [(1, 0.001), (0, 0.001)])).tag.endswith("svg")
