"""The simulated attacker stays under the bound, and gains by every linked track."""

from __future__ import annotations

from benchmarks.repeats import rank1_rate
from calibration.bounds import identification_bound


def test_linked_tracks_add_up_and_stay_under_the_bound() -> None:
    rates = [rank1_rate("1", tracks, people=50, entries=64, runs=400) for tracks in (1, 10, 40)]
    assert rates[0] <= identification_bound(1.0, 50) + 0.03
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > 0.5
