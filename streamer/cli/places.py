"""Where the command line keeps what it keeps, after the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path

from streamer.errors import OutputError


def default_ledger_path() -> Path:
    """`$XDG_STATE_HOME/veilstream/ledger.jsonl`, by default under ~/.local/state. Not made here."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is invalid there and must be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / "veilstream" / "ledger.jsonl"


def ready_ledger_path() -> Path:
    """`default_ledger_path`, with its folder made, readable by its owner alone. Raises OutputError."""
    path = default_ledger_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the ledger's folder {path.parent} cannot be made ({error.strerror}); give --ledger FILE"
        ) from None
    return path
