"""Where the command line keeps what it keeps, after the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path


def default_ledger_path() -> Path:
    """`$XDG_STATE_HOME/veilstream/ledger.jsonl`, by default under ~/.local/state. Not made here."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is invalid there and must be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "veilstream" / "ledger.jsonl"
