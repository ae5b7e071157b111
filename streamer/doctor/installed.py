"""Python, packages, extras, and the weights that ship with the package."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from engines.processor import int8_instructions, usable_cpus
from engines.zoo.commands import status as model_statuses
from streamer.doctor.check import Check, Verdict

OLDEST_PYTHON, NEWEST_TESTED_PYTHON = (3, 10), (3, 13)
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)""")
# "numpy<3,>=1.26", in whatever order and spacing the package was built with.
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^);]*)")
_BOUND = re.compile(r"(>=|<)\s*([0-9.]+)")
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
    yield Check("system", "machine", Verdict.OK, _machine())
    yield Check("system", "veilstream", Verdict.OK, _version("veilstream") or "not installed as a package")
    for item in _requirements().get("", ()):
        if item.version is None:
            yield Check(
                "packages", item.name, Verdict.FAILED, "not installed; reinstall veilstream", essential=True
            )
        else:
            # Another version may work; whether files can be anonymized is tried below.
            verdict = Verdict.OK if item.fits else Verdict.FAILED
            yield Check("packages", item.name, verdict, item.described, essential=item.fits)


def check_extras() -> Iterator[Check]:
    """Which extras are complete."""
    for extra, items in _requirements().items():
        if extra == "" or extra in _NOT_FOR_USERS:
            continue
        missing = [item.name for item in items if item.version is None]
        if missing:
            detail = f"without {', '.join(missing)}; pip install 'veilstream[{extra}]'"
            yield Check("extras", extra, Verdict.ABSENT, detail)
        else:
            verdict = Verdict.OK if all(item.fits for item in items) else Verdict.FAILED
            detail = ", ".join(f"{item.name} {item.described}" for item in items)
            yield Check("extras", extra, verdict, detail)


def check_models() -> Iterator[Check]:
    """Every weight that ships with the package, by its sha256."""
    for item in model_statuses():
        if item.entry.embedded:
            verdict = Verdict.OK if item.state == "ok" else Verdict.FAILED
            detail = item.detail or f"sha256 {item.entry.sha256[:12]}... as registered"
            yield Check("models", item.entry.name, verdict, detail, essential=True)


class Requirement(NamedTuple):
    """A package that veilstream, or one of its extras, asks for.

    Attributes:
        bounds: such as "<3,>=1.26".
        version: the one installed, None without.
    """

    name: str
    bounds: str
    version: str | None

    @property
    def fits(self) -> bool:
        """Whether the version is installed and within the bounds."""
        return self.version is not None and all(
            (_compare(self.version, bound) >= 0) if sign == ">=" else (_compare(self.version, bound) < 0)
            for sign, bound in _BOUND.findall(self.bounds)
        )

    @property
    def described(self) -> str:
        return f"{self.version}" if self.fits else f"{self.version} is not the {self.bounds} asked for"


def _compare(version: str, bound: str) -> int:
    """Below, at or above 0 as the version is below, at or above the bound; by their numbers alone."""
    pairs = zip_longest(_numbers(version), _numbers(bound), fillvalue=0)
    return next((mine - theirs for mine, theirs in pairs if mine != theirs), 0)


def _numbers(version: str) -> list[int]:
    release = re.match(r"[0-9.]*", version.partition("!")[2] or version)
    return [int(part) for part in (release[0] if release else "").split(".") if part]


def _requirements() -> dict[str, list[Requirement]]:
    """What is asked for by extra, by the base under ""."""
    try:
        lines = importlib.metadata.requires("veilstream") or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        match, extra = _REQUIREMENT.match(line), _EXTRA.search(line)
        if match is not None:
            item = Requirement(match[1], match[2].strip(), _version(match[1]))
            found.setdefault(extra[1] if extra else "", []).append(item)
    return found


def _machine() -> str:
    instructions = ", ".join(int8_instructions()) or "none"
    return f"{platform.platform()}, {usable_cpus()} usable CPUs, instructions for INT8: {instructions}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
