"""Audits for people and for machines: a table on the terminal, a JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from calibration.audit.epsilon import EpsilonFinding
from calibration.audit.rates import Rate
from calibration.audit.reid import AttackResult
from calibration.audit.svg import Series, line_chart


def epsilon_table(findings: Sequence[EpsilonFinding]) -> Table:
    """One row per finding."""
    table = Table(title="Distinguishing audit: epsilon")
    for heading in ("mechanism", "stated", "measured >=", "required", "trials", "verdict"):
        justify: Literal["left", "right"] = "left" if heading in ("mechanism", "verdict") else "right"
        table.add_column(heading, justify=justify, no_wrap=heading == "mechanism")
    for finding in findings:
        required = f"{finding.required:.3f}" + ("" if finding.strict else " *")
        colour = "green" if finding.passed else "red" if finding.failed else "yellow"
        table.add_row(
            finding.label,
            f"{finding.epsilon:g}",
            f"{finding.lower_bound:.3f}",
            required,
            f"{finding.trials:,}",
            f"[{colour}]{finding.verdict}[/{colour}]",
        )
    if any(not finding.strict and finding.required > 0 for finding in findings):
        table.caption = "* this many trials cannot show 0.9 epsilon here; less is required"
    return table


def reid_table(results: Sequence[AttackResult]) -> Table:
    """One row per attack and recogniser, and chance below them."""
    table = Table(title="Re-identification (95 % intervals)")
    for heading in ("pictures", "recogniser", "attack", "TAR at FAR .1 %", "at FAR 1 %", "rank-1", "shift"):
        table.add_column(heading)
    for result in results:
        table.add_row(
            result.row,
            result.recogniser,
            result.attack,
            percent(result.tar_far_1e3.tar) + ("" if result.tar_far_1e3.resolved else " *"),
            percent(result.tar_far_1e2.tar) + ("" if result.tar_far_1e2.resolved else " *"),
            "" if result.rank1 is None else f"{percent(result.rank1)} of {result.people}",
            "" if result.shift is None else f"{result.shift.shift:+.3f} +-{result.shift.interval:.3f}",
        )
    chance = ", ".join(f"{100 / people:.2g}" for people in sorted({r.people for r in results if r.rank1}))
    table.add_row("chance", "", "", "0.10", "1.00", chance, "+0.000")
    if not all(result.tar_far_1e3.resolved and result.tar_far_1e2.resolved for result in results):
        table.caption = "* fewer impostors than the rate needs: the threshold lies above them all"
    return table


def percent(rate: Rate) -> str:
    """A rate and its interval, in percent."""
    return f"{100 * rate.value:.2f} ({100 * rate.low:.2f}-{100 * rate.high:.2f})"


def print_table(table: Table, console: Console | None = None) -> None:
    (console or Console()).print(table)


def epsilon_chart(findings: Sequence[EpsilonFinding]) -> str:
    """SVG: lower bound against the stated epsilon, between the lines epsilon and 0.9 epsilon."""
    top = max(finding.epsilon for finding in findings)
    names = sorted({finding.label for finding in findings})
    series = [
        Series("stated", ((0.0, 0.0), (top, top)), dashed=True),
        Series("0.9 of it", ((0.0, 0.0), (top, 0.9 * top)), dashed=True),
    ]
    for name in names:
        points = sorted((f.epsilon, f.lower_bound) for f in findings if f.label == name)
        series.append(Series(name, tuple(points)))
    return line_chart("Distinguishing audit", "epsilon stated", "lower bound measured", series)


def as_json(value: Any) -> Any:
    """Dataclasses (with their properties), sequences and mappings as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        names += [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(item) for item in value]
    return value


def write_json(path: Path | str, **parts: Any) -> None:
    """Write the parts as one JSON object."""
    text = json.dumps(as_json(parts), indent=2, sort_keys=True, default=str)
    Path(path).write_text(text + "\n", encoding="utf-8")
