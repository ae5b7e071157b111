"""Key files: secret bytes that make draws replayable, or that `hide` rotates codes with.

A key file holds nothing but the key, at least 32 bytes, readable by its owner alone. Keys are never logged:
an error names the file, a report names `key_fingerprint`.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from calibration.durable import sync_folder
from calibration.errors import KeyFileError

MIN_KEY_BYTES = 32
_MAX_KEY_BYTES = 4096
_MIN_DIFFERENT_BYTES = 12


def load_key(path: Path | str) -> bytes:
    """The key in `path`.

    Raises KeyFileError when the file is missing, is a link or no plain file, belongs to somebody else, can be
    read or written by others, is too short, or is no random key at all (a repeated character).
    """
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"the key file {path} is not a plain file")
        if status.st_uid not in (os.geteuid(), 0):
            raise KeyFileError(f"the key file {path} belongs to another user")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(
                f"the key file {path} has mode {mode:04o}: others may use it; run chmod 600 on it"
            )
        key = os.read(descriptor, _MAX_KEY_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if not MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise KeyFileError(f"the key file {path} must hold {MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes")
    if len(set(key)) < _MIN_DIFFERENT_BYTES:
        raise KeyFileError(
            f"the key file {path} does not hold a random key; make one with `veilstream key new`"
        )
    return key


def new_key_file(path: Path | str) -> str:
    """Write a new random key of 32 bytes to `path`, which must not exist. Returns its fingerprint."""
    path = Path(path)
    key = secrets.token_bytes(MIN_KEY_BYTES)
    _write_new(path, key)
    return key_fingerprint(key)


def rotate_key_file(path: Path | str) -> tuple[str, Path]:
    """Put a new key at `path`; the old one is kept beside it under its fingerprint.

    What was drawn or hidden under the old key can be replayed or matched for as long as that file exists:
    delete it to make the change final. Stopped at any moment, there is a whole key at `path`, and another rotation goes
    on from what is there. Returns (fingerprint of the new key, path of the old one).
    """
    path = Path(path)
    old = load_key(path)
    kept = path.with_name(f"{path.name}.{key_fingerprint(old)}.old")
    # A name that nobody gives a key of theirs: what lies there was left by a rotation that was stopped.
    fresh = path.with_name(f".{path.name}.rotation")
    key = secrets.token_bytes(MIN_KEY_BYTES)
    try:
        fresh.unlink(missing_ok=True)
        _write_new(fresh, key)
        _keep(path, kept, old)
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise KeyFileError(f"cannot rotate the key file {path}: {error.strerror}") from None
    if load_key(path) != key:
        raise KeyFileError(f"the key file {path} was rotated by somebody else at the same time")
    return key_fingerprint(key), kept


def _keep(path: Path, kept: Path, old: bytes) -> None:
    """Give the old key a second name, unless it has it already. Raises OSError."""
    try:
        os.link(path, kept)
    except FileExistsError:
        try:
            if load_key(kept) == old:
                return
        except KeyFileError:
            pass
        raise


def key_fingerprint(key: bytes) -> str:
    """16 hex digits that name a key and say nothing else about it."""
    return hmac.digest(key, b"veilstream key fingerprint 1", "sha256").hex()[:16]


def _write_new(path: Path, key: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} exists: a key file is never overwritten") from None
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from None
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, key)
        os.fsync(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
