"""Where this user's files of the engines lie."""

from __future__ import annotations

import os
from pathlib import Path

from engines.errors import EngineError


def user_cache_directory() -> Path:
    """`$XDG_CACHE_HOME/veilstream`, by default `~/.cache/veilstream`; nothing in it is missed when deleted.

    Raises EngineError where neither is known.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification: a relative path is invalid and must be ignored.
    if base and Path(base).is_absolute():
        return Path(base) / "veilstream"
    try:
        return Path.home() / ".cache" / "veilstream"
    except RuntimeError:
        raise EngineError("this user has no home folder: set HOME, or XDG_CACHE_HOME to a folder") from None
