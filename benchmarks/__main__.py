"""`python -m benchmarks all --data FOLDER --out results/`, or any part by itself. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import growth, parts, speed, stages
from benchmarks.context import Context
from benchmarks.processes import machine
from benchmarks.report import Part, write_report


def _runners(context: Context, options: argparse.Namespace) -> dict[str, Callable[[], Part]]:
    """The parts by name, cheap and noise-sensitive ones first."""
    watched = parts.Watched(context)
    return {
        "speed": lambda: speed.part(context, options.clips),
        "stages": lambda: stages.part(context, profile=options.profile or options.part == "all"),
        "growth": lambda: growth.part(context),
        "coverage": lambda: parts.coverage(context),
        "utility": watched.utility,
        "temporal": watched.temporal,
        "privacy": lambda: parts.privacy(context),
        "fidelity": lambda: parts.fidelity(context),
        "sheets": lambda: parts.sheets(context),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = list(_runners(Context(None, Path(), None), argparse.Namespace()))
    parser.add_argument("part", choices=["all", *names])
    parser.add_argument("--data", type=Path, help="folder of the evaluation data")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--peers", type=Path, help="folder for other programs' virtual environments")
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of each command")
    parser.add_argument("--pairs", type=int, default=300, help="LFW pairs")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="speed: these clips alone")
    parser.add_argument("--profile", action="store_true", help="stages: with a flame graph")
    parser.add_argument("--quick", action="store_true", help="the smallest run that shows every part")
    options = parser.parse_args()
    if options.data is not None and not options.data.is_dir():
        parser.error(f"--data: {options.data} is not a folder")
    context = Context(
        options.data, options.out, options.peers, options.rounds, options.pairs, quick=options.quick
    )
    runners = _runners(context, options)
    chosen = names if options.part == "all" else [options.part]
    version = importlib.metadata.version("veilstream")
    day = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    head = f"veilstream {version}, {day}, {machine()}"
    done: list[Part] = []
    for name in chosen:
        start = time.perf_counter()
        part = runners[name]()
        done.append(part)
        print(part.markdown(), end="\n\n", flush=True)
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        # After each part: a long run that is stopped leaves what it found.
        write_report(options.out, head, done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
