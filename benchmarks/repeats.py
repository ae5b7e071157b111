"""What repeated appearances of one person cost: `python -m benchmarks.repeats`.

An attacker knows the identity codes of N people, so the nearest-m set S of each, and that k tracks show one of them,
each with a draw of its own. He names the person whose S holds most of the drawn identities, which is the best that can
be done. S is drawn at random for each person: codes of real people lie closer together, and he would do a little worse.
"""

from __future__ import annotations

import argparse

import numpy as np

from calibration.bounds import identification_bound
from calibration.mechanisms import CodebookMechanism

TRACKS = (1, 3, 5, 10, 20, 30, 50, 100)


def rank1_rate(epsilon: str, tracks: int, *, people: int, entries: int, runs: int, seed: int = 1) -> float:
    """How often the person who is on `tracks` tracks is named, ties by lot."""
    random = np.random.default_rng(seed)
    weights = CodebookMechanism(epsilon).parameters(entries)
    inside = weights.nearest * weights.weight_inside / weights.total
    sets = np.zeros((people, entries), dtype=bool)
    for row in sets:
        row[random.choice(entries, weights.nearest, replace=False)] = True
    near, far = np.flatnonzero(sets[0]), np.flatnonzero(~sets[0])
    named = 0.0
    for _ in range(runs):
        drawn = np.where(
            random.random(tracks) < inside, random.choice(near, tracks), random.choice(far, tracks)
        )
        votes = sets[:, drawn].sum(axis=1)
        best = votes == votes.max()
        named += float(best[0]) / float(best.sum())
    return named / runs


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.repeats", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--codebook-size", type=int, default=1024)
    parser.add_argument("--epsilons", nargs="*", default=["0.5", "1", "2.3"])
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    print(f"rank-1 among {options.people} people in percent, by linked tracks; in brackets, the bound")
    print(f"{'epsilon':<9}" + "".join(f"{tracks:>16}" for tracks in TRACKS))
    for epsilon in options.epsilons:
        cells = []
        for tracks in TRACKS:
            rate = rank1_rate(
                epsilon, tracks, people=options.people, entries=options.codebook_size, runs=options.runs
            )
            bound = identification_bound(tracks * float(epsilon), options.people)
            cells.append(f"{100 * rate:.2f} ({100 * bound:.2f})")
        print(f"{epsilon:<9}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
