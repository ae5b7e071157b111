"""Encoders that write to the terminal by themselves, past FFmpeg's log, made to say nothing but errors."""

from __future__ import annotations

import os
from collections.abc import Mapping


def silenced(encoder: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options, with what keeps this encoder quiet added to them."""
    result = dict(options)
    if encoder == "libx265":
        result["x265-params"] = ":".join(
            part for part in ("log-level=none", result.get("x265-params")) if part
        )
    if encoder == "libsvtav1":
        # It has no option for that; 1 leaves errors only.
        os.environ.setdefault("SVT_LOG", "1")
    return result
