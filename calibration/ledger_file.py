"""The ledger's file and the one beside it that holds its head: opening, locking, reading by blocks, syncing.

The order of writing, each step on disk before the next: an empty ledger, its head of no lines, a line, the head of
that line. So whatever a crash leaves is one of

* an empty ledger without a head: it was not begun yet. Whoever opens it to write begins it;
* lines and their head, or no lines and the head of none: whole;
* a line more than the head says: its writer was stopped. The line counts, and the head is put right;
* a line without its end: it was never used, and is dropped.

Anything else is damage, above all lines, or a piece of one, without a head: cut to its first line, and with its head
deleted, a ledger would else pass for one whose writer was stopped. Versions that wrote no head before the first line
could leave a single line without one, which cannot be told from that; its draw was never used.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calibration.durable import sync_folder
from calibration.errors import LedgerError
from calibration.ledger_lines import Chain

LOCK_TIMEOUT_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.005
_BLOCK_BYTES = 1 << 20


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot open the ledger {path}: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which also gives up its lock


def lock(descriptor: int, kind: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LedgerError(f"the ledger {path} is locked by another process") from None
            time.sleep(_LOCK_POLL_SECONDS)
        except OSError as error:
            raise LedgerError(f"cannot lock the ledger {path}: {error.strerror}") from None


def settled_bytes(descriptor: int, path: Path) -> int:
    """Size of the file while nobody writes. What lies within it stays, so it can be read without holding up writers:
    years of lines take longer than these wait for the lock."""
    lock(descriptor, fcntl.LOCK_SH, path)
    size = os.fstat(descriptor).st_size
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return size


def lines_from(descriptor: int, offset: int, path: Path, end: int | None = None) -> Iterator[bytes]:
    """Lines with their ends; the last one without where it was cut off. A block of the file is in memory at a time.

    Args:
        end: nothing from this byte on is read.
    """
    rest = b""
    while block := _read_block(descriptor, offset, end, path):
        offset += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


def _read_block(descriptor: int, offset: int, end: int | None, path: Path) -> bytes:
    size = _BLOCK_BYTES if end is None else min(_BLOCK_BYTES, max(0, end - offset))
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise LedgerError(f"cannot read the ledger {path}: {error.strerror}") from None


def _head_path(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def is_not_begun(descriptor: int, path: Path) -> bool:
    """An empty ledger without a head: as if neither file were there."""
    return os.fstat(descriptor).st_size == 0 and not os.path.lexists(_head_path(path))


def write_head(path: Path, chain: Chain) -> None:
    target = _head_path(path)
    temporary = target.with_name(target.name + ".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{chain.sequence} {chain.head}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
        # Else a power cut could take the names of new files, and with them draws that were shown; or it leaves a head
        # of many lines ago, which reads as damage.
        sync_folder(path.parent)
    except OSError as error:
        raise LedgerError(f"cannot write {target}: {error.strerror}") from None


def check_head_file(path: Path, chain: Chain) -> bool:
    """True when the head file is one line behind (its writer was stopped); raises when it disagrees or is not there."""
    try:
        words = _head_path(path).read_text("ascii").split()
        sequence, head = int(words[0]), words[1]
    except FileNotFoundError:
        raise LedgerError(
            f"the ledger {path} has no {_head_path(path).name} beside it: lines may be gone; restore that file, or move"
            " the ledger away to begin a new one"
        ) from None
    except (OSError, ValueError, IndexError):
        raise LedgerError(f"{_head_path(path)} is not readable as a ledger head") from None
    if (sequence, head) == (chain.sequence, chain.head):
        return False
    if (sequence, head) == (chain.sequence - 1, chain.previous):
        return True
    if sequence > chain.sequence:
        raise LedgerError(f"the ledger {path} ends after line {chain.sequence} of {sequence}: lines are gone")
    raise LedgerError(f"the ledger {path} does not agree with its head file at line {sequence}")
