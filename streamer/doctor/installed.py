"""Python, packages, extras, and the weights that ship with the package."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Iterator

from engines.zoo.commands import status as model_statuses
from streamer.doctor.check import Check, Verdict

OLDEST_PYTHON, NEWEST_TESTED_PYTHON = (3, 10), (3, 13)
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)""")
# For work on the project itself.
_NOT_FOR_USERS = frozenset({"test", "dev"})


def check_system() -> Iterator[Check]:
    """Python, the machine, veilstream and the packages it cannot do without."""
    found = sys.version_info[:2]
    text = platform.python_version()
    if not OLDEST_PYTHON <= found <= NEWEST_TESTED_PYTHON:
        text += "; tested with {}.{} to {}.{}".format(*OLDEST_PYTHON, *NEWEST_TESTED_PYTHON)
    verdict = Verdict.OK if found >= OLDEST_PYTHON else Verdict.FAILED
    yield Check("system", "python", verdict, text, essential=True)
    yield Check("system", "machine", Verdict.OK, f"{platform.platform()}, {os.cpu_count()} cores")
    yield Check("system", "veilstream", Verdict.OK, _version("veilstream") or "not installed as a package")
    for name in _requirements().get("", ()):
        version = _version(name)
        verdict = Verdict.FAILED if version is None else Verdict.OK
        yield Check(
            "packages", name, verdict, version or "not installed; reinstall veilstream", essential=True
        )


def check_extras() -> Iterator[Check]:
    """Which extras are complete."""
    for extra, names in _requirements().items():
        if extra == "" or extra in _NOT_FOR_USERS:
            continue
        missing = [name for name in names if _version(name) is None]
        if missing:
            detail = f"without {', '.join(missing)}; pip install 'veilstream[{extra}]'"
            yield Check("extras", extra, Verdict.ABSENT, detail)
        else:
            detail = ", ".join(f"{name} {_version(name)}" for name in names)
            yield Check("extras", extra, Verdict.OK, detail)


def check_models() -> Iterator[Check]:
    """Every weight that ships with the package, by its sha256."""
    for item in model_statuses():
        if item.entry.embedded:
            verdict = Verdict.OK if item.state == "ok" else Verdict.FAILED
            detail = item.detail or f"sha256 {item.entry.sha256[:12]}... as registered"
            yield Check("models", item.entry.name, verdict, detail, essential=True)


def _requirements() -> dict[str, list[str]]:
    """Names of the required packages by extra, those of the base under ""."""
    try:
        lines = importlib.metadata.requires("veilstream") or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _EXTRA.search(line)
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        found.setdefault(match[1] if match else "", []).append(name)
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
