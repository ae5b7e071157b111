"""`veilstream calibrate`: from a wished bound to the epsilon that keeps it, and back; and INT8 models."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from calibration.audit.tradeoff import tradeoff, tradeoff_chart, tradeoff_table
from calibration.bounds import (
    TABLE_EPSILONS,
    bound_row,
    check_epsilon,
    epsilon_for_identification,
    epsilon_for_verification,
)
from streamer.audit.people import open_codebook
from streamer.cli.int8 import int8
from streamer.cli.results import write_results
from streamer.errors import InputError, SettingsError

calibrate_app = typer.Typer(help="Choose an epsilon; make INT8 models.", no_args_is_help=True)

calibrate_app.command()(int8)

# Epsilon is rounded down to this step: rounded up it would not keep the bound that was asked for.
_STEPS_PER_UNIT = 10_000
# False-acceptance rates that a reid.json holds rates at.
_MEASURED_FARS = {1e-3: "tar_far_1e3", 1e-2: "tar_far_1e2"}


@calibrate_app.command()
def epsilon(
    tpr: Annotated[
        float | None, typer.Option(help="Largest true-positive rate at --far that you accept.")
    ] = None,
    far: Annotated[float, typer.Option(help="False-acceptance rate of the attacker.")] = 1e-3,
    rank1: Annotated[
        float | None, typer.Option(help="Largest rank-1 rate among --people that you accept.")
    ] = None,
    people: Annotated[int, typer.Option(min=2, help="People among whom the attacker looks.")] = 1000,
    epsilon: Annotated[float | None, typer.Option(help="An epsilon: what does it bound?")] = None,
    reid: Annotated[
        Path | None,
        typer.Option(
            help="reid.json of `audit reid`, to draw what was measured (at --far .001 or .01) beside the bound."
        ),
    ] = None,
    codebook: Annotated[Path | None, typer.Option(help="Another codebook, for the resemblance.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the JSON file and the plot.")] = None,
) -> None:
    """Give a bound and get epsilon (--tpr with --far, or --rank1 with --people), or --epsilon and get the bounds."""
    if sum(wish is not None for wish in (tpr, rank1, epsilon)) != 1:
        raise SettingsError("give one of --tpr, --rank1 and --epsilon")
    if not 0.0 < far < 1.0:
        raise SettingsError(f"far: a false-acceptance rate lies between 0 and 1, got {far:g}")
    value = _wished(tpr, far, rank1, people, epsilon)
    warning = check_epsilon(value, allow_large=True)
    row = bound_row(value, far=far, people=people)
    console = Console()
    console.print(f"epsilon {value:g}", highlight=False)
    console.print(
        f"  TPR at FAR {100 * far:g} %: at most {100 * row.verification:.3g} %\n"
        f"  rank-1 among {people:,}: at most {100 * row.identification:.3g} % (chance {100 / people:.3g} %)\n"
        f"  odds of any identity hypothesis: at most {row.odds_factor:.3g} times what they were",
        highlight=False,
    )
    if warning is not None:
        console.print(f"  {warning}", style="yellow", highlight=False)
    space = open_codebook(codebook).space
    rows = tradeoff(space, sorted({*TABLE_EPSILONS, value}), far=far, people=people)
    console.print(tradeoff_table(rows))
    measured = [] if reid is None else _measured(reid, far)
    charts = {"calibrate": tradeoff_chart(rows, measured)}
    write_results(out, "calibrate", charts, chosen=row, rows=rows, measured=measured)


def _wished(tpr: float | None, far: float, rank1: float | None, people: int, epsilon: float | None) -> float:
    if tpr is not None:
        return _rounded_down(epsilon_for_verification(tpr, far))
    if rank1 is not None:
        return _rounded_down(epsilon_for_identification(rank1, people))
    assert epsilon is not None
    return epsilon


def _rounded_down(epsilon: float) -> float:
    return max(0, math.floor(epsilon * _STEPS_PER_UNIT)) / _STEPS_PER_UNIT


def _measured(path: Path, far: float) -> list[tuple[float, float]]:
    """(epsilon, largest naive TAR at that FAR of any recogniser) of our rows in a reid.json, infinity left out."""
    if far not in _MEASURED_FARS:
        known = " or ".join(f"{rate:g}" for rate in _MEASURED_FARS)
        raise SettingsError(f"reid: rates were measured at --far {known}, not at {far:g}; give one of these")
    try:
        results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
        worst: dict[float, float] = {}
        for result in results:
            kind, _, number = str(result["row"]).partition(" ")
            if kind == "epsilon" and result["attack"] == "naive":
                rate = float(result[_MEASURED_FARS[far]]["tar"]["value"])
                worst[float(number)] = max(rate, worst.get(float(number), 0.0))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not a reid.json of `veilstream audit reid`") from None
    return sorted(point for point in worst.items() if math.isfinite(point[0]))
