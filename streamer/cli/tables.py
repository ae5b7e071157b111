"""Tables of plain text, the same on a terminal and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# A pipe has no width of its own, and cutting names at 80 columns helps nobody who searches in them.
_PIPE_WIDTH = 240


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of as many cells as `head` has; cells are text, never markup."""
    table = Table(box=None)
    for name in head:
        # Folded on a narrow terminal, never cut: names are there to be copied.
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
