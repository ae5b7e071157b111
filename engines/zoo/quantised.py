"""Which INT8 model stands for a float one: the one the user calibrated, else the one that ships.

`veilstream calibrate int8` leaves its files and `int8.json` in a folder of the user's cache. An INT8 file counts only
for the float file it was made from, told by sha256: when a model is exchanged, its old INT8 version is not used any
more.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from engines.errors import EngineError, ModelHashError
from engines.places import user_cache_directory
from engines.zoo.registry import INT8_SUFFIX, entries, read_checked

MANIFEST = "int8.json"


def calibrated_directory() -> Path:
    """Where `veilstream calibrate int8` puts what `--precision int8` takes."""
    return user_cache_directory() / "int8"


def int8_model(name: str, made_from_sha256: str) -> bytes | None:
    """Bytes of the INT8 version of a float model; None when there is none, or none that is faster here.

    Args:
        name: the float model in the registry.
        made_from_sha256: of the float file that would be used.

    Raises:
        ModelHashError: a file is not the one that was calibrated or registered.
        EngineError: the list of calibrated models is damaged.
    """
    line = _calibrated(made_from_sha256)
    if line is not None:
        return _read(line) if line["faster"] else None
    shipped = entries().get(name + INT8_SUFFIX)
    if shipped is None or shipped.source.member_sha256 != made_from_sha256:
        return None
    return read_checked(shipped)


def _calibrated(made_from_sha256: str) -> dict[str, Any] | None:
    """The line of the user's manifest for a float file, checked for what is read of it."""
    path = calibrated_directory() / MANIFEST
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))["models"]
        line: dict[str, Any] | None = next(
            (item for item in lines if item["made_from_sha256"] == made_from_sha256), None
        )
        if line is not None:
            line = {key: line[key] for key in ("file", "sha256", "faster")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise EngineError(f"{path} is damaged; delete it or run: veilstream calibrate int8") from None
    return line


def _read(line: dict[str, Any]) -> bytes:
    # The name only: a manifest must not lead out of its folder.
    path = calibrated_directory() / Path(str(line["file"])).name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EngineError(f"cannot read {path}: {error.strerror}; run: veilstream calibrate int8") from None
    if hashlib.sha256(data).hexdigest() != line["sha256"]:
        raise ModelHashError(f"{path} is not the file that was calibrated; run: veilstream calibrate int8")
    return data
