"""Compiled plans on disk: found again by everything that decides what they hold, and never trusted unseen.

A plan is code: deserialising one runs what is in it. So plans are kept in, and taken from, a folder that belongs to
the user and that nobody else may write to, and a plan is handed out only when its sha256 and its key are those of
the side file that was written with it. What does not fit is refused with one line and not rebuilt silently: a
damaged plan is worth a look."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.backends.tensorrt.compile import Compiled
from engines.backends.tensorrt.profiles import Profiles
from engines.errors import EngineError

_log = logging.getLogger(__name__)

# Counted up when plans are made in another way, so that older ones are not found any more.
FORMAT = 1
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class PlanKey:
    """All that decides what a plan holds and where it runs.

    Attributes:
        onnx_sha256: of the model file, before it is prepared.
        precision: as asked for, see `prepare`.
        compute_capability: such as "8.9".
    """

    onnx_sha256: str
    profiles: Profiles
    precision: str
    tensorrt_version: str
    gpu_name: str
    compute_capability: str

    def document(self) -> dict[str, Any]:
        """The key as JSON."""
        return {"format": FORMAT, **asdict(self)}

    @property
    def name(self) -> str:
        """Of the files, without suffix."""
        return _digest(self.document())

    @property
    def timing_cache_name(self) -> str:
        """Of the timing cache; what was learned about kernels holds for all models on this GPU."""
        parts = (FORMAT, self.tensorrt_version, self.gpu_name, self.compute_capability)
        return f"timing-{_digest(parts)}.cache"


class PlanCache:
    """Plans in one folder, which is made when it is first needed.

    Raises (from every method):
        EngineError: the folder or a file in it may have been written by somebody else, is damaged, or cannot be
            read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load_or_build(self, key: PlanKey, build: Callable[[bytes], Compiled]) -> bytes:
        """The plan of a key; built when there is none, by one process while others wait for it.

        Args:
            build: gets the timing cache of earlier builds, gives the plan.
        """
        with self._opened() as folder:
            plan = self._read_plan(folder, key)
            if plan is not None:
                return plan
            # One build at a time on a GPU: TensorRT chooses kernels by timing them.
            with self._locked(folder):
                plan = self._read_plan(folder, key)
                if plan is None:
                    compiled = build(self._read(folder, key.timing_cache_name) or b"")
                    plan = compiled.plan
                    self._write_plan(folder, key, plan)
                    self._write(folder, key.timing_cache_name, compiled.timing_cache)
                return plan

    def keys(self) -> list[dict[str, Any]]:
        """What the side files say, for a list: the keys' documents with `plan_bytes`."""
        if not self._folder.exists():
            return []
        with self._opened() as folder:
            sides = [self._read_side(folder, path.name) for path in sorted(self._folder.glob("*.json"))]
        return [{**side["key"], "plan_bytes": side["plan_bytes"]} for side in sides if side is not None]

    def _read_plan(self, folder: int, key: PlanKey) -> bytes | None:
        plan = self._read(folder, f"{key.name}.plan")
        if plan is None:
            return None
        path = self._folder / f"{key.name}.plan"
        remedy = "delete it to have it built anew"
        side = self._read_side(folder, f"{key.name}.json")
        if side is None:
            raise EngineError(
                f"the TensorRT plan {path} has no side file beside it and is not used; {remedy}"
            )
        if side["key"] != key.document():
            raise EngineError(f"the TensorRT plan {path} is that of another model or GPU; {remedy}")
        found = hashlib.sha256(plan).hexdigest()
        if found != side["plan_sha256"]:
            raise EngineError(
                f"the TensorRT plan {path} is damaged: its sha256 is {found[:12]}..., "
                f"its side file says {str(side['plan_sha256'])[:12]}...; {remedy}"
            )
        return plan

    def _read_side(self, folder: int, name: str) -> dict[str, Any] | None:
        data = self._read(folder, name)
        if data is None:
            return None
        try:
            side = json.loads(data)
            return {entry: side[entry] for entry in ("key", "plan_sha256", "plan_bytes")}
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"the side file {self._folder / name} of a TensorRT plan is damaged; delete it and the plan"
            ) from error

    def _write_plan(self, folder: int, key: PlanKey, plan: bytes) -> None:
        side = {
            "key": key.document(),
            "plan_sha256": hashlib.sha256(plan).hexdigest(),
            "plan_bytes": len(plan),
        }
        # The side file first: a plan is never seen without it, and one without a plan is written over.
        self._write(folder, f"{key.name}.json", json.dumps(side, indent=1, sort_keys=True).encode())
        self._write(folder, f"{key.name}.plan", plan)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, proven to be the user's own; all files are reached through it."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise EngineError(
                f"the folder of TensorRT plans {self._folder} cannot be used: {error.strerror}"
            ) from error
        try:
            _refuse_if_not_own(os.fstat(folder), self._folder)
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self, folder: int) -> Iterator[None]:
        # The lock file stays: deleting it would let two processes hold two different ones.
        lock = self._open(folder, "build.lock", os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("another process compiles for TensorRT; this one waits for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _open(self, folder: int, name: str, flags: int) -> int:
        try:
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise EngineError(f"{self._folder / name} cannot be opened: {error.strerror}") from error

    def _read(self, folder: int, name: str) -> bytes | None:
        """A file's bytes; the file that was looked at is the file that is read."""
        try:
            descriptor = self._open(folder, name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            _refuse_if_not_own(os.fstat(descriptor), self._folder / name)
            return file.read()

    def _write(self, folder: int, name: str, data: bytes) -> None:
        """All or nothing: a temporary file beside it, fsync, rename."""
        temporary = f".{name}.{secrets.token_hex(4)}"
        descriptor = self._open(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise EngineError(f"{self._folder / name} cannot be written: {error.strerror}") from error


def _refuse_if_not_own(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid():
        raise EngineError(
            f"{path} belongs to another user; TensorRT plans are only taken from your own folder"
        )
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise EngineError(f"{path} can be written by other users; run: chmod go-w {path}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:40]
