"""Where this user's files of the engines lie."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache_directory() -> Path:
    """`$XDG_CACHE_HOME/veilstream`, by default `~/.cache/veilstream`; nothing in it is missed when deleted."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and must be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "veilstream"
