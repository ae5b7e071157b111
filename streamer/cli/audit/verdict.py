"""The end of an audit: what was judged, how it came out, and the exit status that says so."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console

from streamer.cli.exit_codes import FAILED, UNDECIDED


def conclude(console: Console, judged: str, broken: Sequence[str], unresolved: Sequence[str]) -> None:
    """Print the verdict, a line each, and leave with its status: 0, `FAILED`, or `UNDECIDED`.

    Args:
        judged: what was judged, and against which bar.
        broken: claims that do not hold.
        unresolved: what could not be judged, and what that takes.
    """
    lines: list[tuple[str, str | None]] = [(f"judged: {judged}", None)]
    lines += [(f"FAIL {line}", "red") for line in broken]
    lines += [(f"NOT RESOLVED {line}", "yellow") for line in unresolved]
    if not broken and not unresolved:
        lines.append(("PASS", "green"))
    for line, style in lines:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
    if broken or unresolved:
        raise typer.Exit(FAILED if broken else UNDECIDED)
