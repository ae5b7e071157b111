"""The ledger: an append-only, hash-chained list of every draw, and the budget it is charged to.

One JSON line per draw. It says when, for which track, by which mechanism with which public numbers, and a
commitment of the drawn index; it holds no embedding, no picture and no index in clear. A line is on disk
before the index it commits to leaves `Reservation.commit`, and the budget is checked before the draw is made,
under one file lock for all processes that share the ledger.

What the chain shows: a line that was edited, removed, moved or cut. `LEDGER.head` holds the number and hash
of the last line, so a missing end shows too, and so does a missing `LEDGER.head` (`calibration.ledger_file` says
what a crash may leave). Whoever can rewrite or delete both files can forge a whole new chain: note the head elsewhere
(reports carry it) and pass it to `verify_ledger`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from weakref import WeakValueDictionary

from calibration.cost import Budget, Cost
from calibration.errors import BudgetExhausted, LedgerError
from calibration.ledger_file import (
    LOCK_TIMEOUT_SECONDS,
    check_head_file,
    is_not_begun,
    lines_from,
    lock,
    opened,
    settled_bytes,
    write_head,
)
from calibration.ledger_lines import GENESIS, Chain, DrawRecord, StoredDraw, parse_line
from calibration.randomness import DrawLabel

NO_BUDGET = Budget()


@dataclass
class Reservation:
    """Room for one draw in the budget. `commit` makes the draw's line durable; without it nothing is
    charged.

    Attributes:
        stored_draws: as `Ledger.stored_draws`, and nobody else can add one while the reservation is held.
    """

    _append: Callable[[DrawRecord], None]
    stored_draws: Callable[[DrawLabel], list[StoredDraw]]
    committed: bool = field(default=False, init=False)

    def commit(self, record: DrawRecord) -> None:
        if self.committed:
            raise LedgerError("a reservation is good for one draw")
        self._append(record)
        self.committed = True


class Ledger(ABC):
    """Where draws are written down."""

    @abstractmethod
    def reserve(
        self, scope: str, cost: Cost, budget: Budget = NO_BUDGET
    ) -> AbstractContextManager[Reservation]:
        """Checks that `cost` fits into `budget` of `scope`, and holds that room while the context is open.

        Raises BudgetExhausted when it does not fit, LedgerError when the ledger cannot be read or is damaged.
        """

    @abstractmethod
    def stored_draws(self, label: DrawLabel) -> list[StoredDraw]:
        """Earlier draws under the same label, oldest first."""

    @abstractmethod
    def spent_cost(self, scope: str) -> Cost:
        """Sums of epsilon and delta of the scope so far."""

    def spent(self, scope: str) -> Fraction:
        """Sum of epsilon of the scope so far."""
        return self.spent_cost(scope).epsilon

    @property
    @abstractmethod
    def head(self) -> str:
        """Hash of the last line, to be noted elsewhere."""


class MemoryLedger(Ledger):
    """A ledger that lives as long as the process: the same chain, budget and checks, no file."""

    def __init__(self) -> None:
        self._chain = Chain()
        self._lines: list[bytes] = []
        self._mutex = threading.Lock()

    @contextmanager
    def reserve(self, scope: str, cost: Cost, budget: Budget = NO_BUDGET) -> Iterator[Reservation]:
        with self._mutex:
            _check_budget(self._chain, scope, cost, budget)
            yield Reservation(self._append, lambda label: _matching(self._lines, label))

    def _append(self, record: DrawRecord) -> None:
        line = self._chain.next_line(record)
        self._chain.feed(line)
        self._lines.append(line)

    def stored_draws(self, label: DrawLabel) -> list[StoredDraw]:
        with self._mutex:
            return _matching(self._lines, label)

    def spent_cost(self, scope: str) -> Cost:
        with self._mutex:
            return self._chain.spent(scope)

    @property
    def head(self) -> str:
        with self._mutex:
            return self._chain.head

    @property
    def lines(self) -> list[bytes]:
        """The JSON lines so far, without line ends."""
        with self._mutex:
            return list(self._lines)


class FileLedger(Ledger):
    """A ledger file that any number of processes and threads of one machine may share.

    The file is opened anew for each reservation: an open file that crosses a fork would share its lock. In memory are
    the sums by scope and the head; lines are read from the file, one at a time, and not kept.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._mutex = _TimedLock(self.path)
        self._lines = 0
        self._forget()
        with self._mutex, opened(self.path, os.O_RDWR | os.O_CREAT) as descriptor:
            self._inode = os.fstat(descriptor).st_ino
            self._take_whole(lines_from(descriptor, 0, self.path, settled_bytes(descriptor, self.path)))
            lock(descriptor, fcntl.LOCK_EX, self.path)
            self._catch_up(descriptor)

    def _forget(self) -> None:
        self._chain = Chain()
        self._offset = 0
        self._inode = -1

    @contextmanager
    def reserve(self, scope: str, cost: Cost, budget: Budget = NO_BUDGET) -> Iterator[Reservation]:
        with self._mutex, self._locked() as descriptor:
            self._catch_up(descriptor)
            _check_budget(self._chain, scope, cost, budget)
            yield Reservation(
                lambda record: self._append(descriptor, record),
                lambda label: _stored_draws(descriptor, label),
            )

    def stored_draws(self, label: DrawLabel) -> list[StoredDraw]:
        with self._mutex, self._locked() as descriptor:
            self._catch_up(descriptor)
            return _stored_draws(descriptor, label)

    def spent_cost(self, scope: str) -> Cost:
        with self._mutex, self._locked() as descriptor:
            self._catch_up(descriptor)
            return self._chain.spent(scope)

    @property
    def head(self) -> str:
        with self._mutex, self._locked() as descriptor:
            self._catch_up(descriptor)
            return self._chain.head

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with opened(self.path, os.O_RDWR | os.O_CREAT) as descriptor:
            lock(descriptor, fcntl.LOCK_EX, self.path)
            yield descriptor

    def _catch_up(self, descriptor: int) -> None:
        """Read and check what other processes appended since the last look, and the head file."""
        if self._lines == 0 and is_not_begun(descriptor, self.path):
            write_head(self.path, Chain())
        status = os.fstat(descriptor)
        if status.st_ino != self._inode or status.st_size < self._offset:
            # Replaced or cut: read it again from the start; the head file and what was read before tell whether lines
            # are gone.
            self._forget()
            self._inode = status.st_ino
        tail = self._take_whole(lines_from(descriptor, self._offset, self.path))
        if self._chain.sequence < self._lines:
            raise LedgerError(
                f"the ledger {self.path} ends after line {self._chain.sequence} of {self._lines}: lines are gone"
            )
        if check_head_file(self.path, self._chain):
            write_head(self.path, self._chain)
        self._lines = self._chain.sequence
        if tail:
            # The head agrees with the last whole line: this one was cut off while being written, before its
            # reservation returned, so its draw was never used.
            os.ftruncate(descriptor, self._offset)

    def _take_whole(self, lines: Iterable[bytes]) -> bool:
        """Feed the chain. True when the last line was cut off, and left out."""
        for line in lines:
            if not line.endswith(b"\n"):
                return True
            self._chain.feed(line[:-1], str(self.path))
            self._offset += len(line)
        return False

    def _append(self, descriptor: int, record: DrawRecord) -> None:
        data = self._chain.next_line(record) + b"\n"
        try:
            written = os.pwrite(descriptor, data, self._offset)
            if written != len(data):
                raise OSError(errno.ENOSPC, "no space left on device")
            os.fsync(descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, self._offset)
            raise LedgerError(f"cannot write the ledger {self.path}: {error.strerror}") from None
        self._take_whole([data])
        self._lines = self._chain.sequence
        write_head(self.path, self._chain)


class _TimedLock:
    """A lock for the threads of this process that is waited for no longer than the one for other processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise LedgerError(f"the ledger {self._path} is in use by another thread")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_open_ledgers: WeakValueDictionary[Path, FileLedger] = WeakValueDictionary()
_opening = threading.Lock()


def open_ledger(path: Path | str) -> FileLedger:
    """The ledger of a file, one object for all who ask for it: a long one is read once, however many cameras it has.

    Raises LedgerError.
    """
    place = Path(path).resolve()
    with _opening:
        ledger = _open_ledgers.get(place)
        if ledger is None:
            ledger = _open_ledgers[place] = FileLedger(path)
        return ledger


@dataclass(frozen=True)
class ScopeSum:
    """What one scope has spent.

    Attributes:
        draws: lines of the scope, the hidden ones included.
        hidden: tracks that were hidden under a key, which no epsilon covers.
        keyed: draws that can be replayed by a key; their epsilon holds against those who do not have it.
    """

    scope: str
    draws: int
    epsilon: Fraction
    delta: Fraction
    hidden: int = 0
    keyed: int = 0


@dataclass(frozen=True)
class LedgerSummary:
    """Of a ledger that verified.

    Attributes:
        lines: number of draws.
        head: hash of the last line.
        scopes: sums, by name of the scope.
        note: something the reader should know that is no damage, or None.
    """

    lines: int
    head: str
    scopes: tuple[ScopeSum, ...]
    note: str | None = None


def verify_ledger(path: Path | str, *, noted_head: str | None = None) -> LedgerSummary:
    """Check every line, the chain, the head file and, when given, a head noted elsewhere.

    Reads only. Raises LedgerError naming the first line that does not hold; also for a ledger without a head file, even
    an empty one: nothing says that it always was.
    """
    path = Path(path)
    chain = Chain()
    offset = 0
    noted = noted_head in (None, GENESIS)

    def take(lines: Iterable[bytes]) -> bool:
        nonlocal offset, noted
        for line in lines:
            if not line.endswith(b"\n"):
                return True
            chain.feed(line[:-1], str(path))
            offset += len(line)
            noted = noted or chain.head == noted_head
        return False

    with opened(path, os.O_RDONLY) as descriptor:
        take(lines_from(descriptor, 0, path, settled_bytes(descriptor, path)))
        lock(descriptor, fcntl.LOCK_SH, path)
        tail = take(lines_from(descriptor, offset, path))
        behind = check_head_file(path, chain)
    if not noted:
        raise LedgerError(f"the ledger {path} does not contain the noted head {noted_head}")
    note = None
    if tail:
        note = "the last line was cut off while being written; its draw was never used"
    elif behind:
        note = "the head file is one line behind: the last writer was stopped just after its line"
    sums = tuple(
        ScopeSum(
            scope,
            draws,
            chain.spent(scope).epsilon,
            chain.spent(scope).delta,
            chain.hidden.get(scope, 0),
            chain.keyed.get(scope, 0),
        )
        for scope, draws in sorted(chain.draws.items())
    )
    return LedgerSummary(lines=chain.sequence, head=chain.head, scopes=sums, note=note)


def new_commitment(index: int, nonce: bytes) -> str:
    """Hex SHA-256 that binds an index and, without its 32-byte nonce, says nothing about it."""
    if len(nonce) != 32:
        raise ValueError(f"a commitment's nonce has 32 bytes, got {len(nonce)}")
    return hashlib.sha256(b"veilstream index commitment 1\x00" + nonce + index.to_bytes(8, "big")).hexdigest()


def _check_budget(chain: Chain, scope: str, cost: Cost, budget: Budget) -> None:
    spent = chain.spent(scope)
    if not budget.allows(spent + cost):
        raise BudgetExhausted(
            f"the budget of scope '{scope}' is spent: {spent} of {budget} used, {cost} asked for;"
            " the face is masked"
        )


def _stored_draws(descriptor: int, label: DrawLabel) -> list[StoredDraw]:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return _matching((line.rstrip(b"\n") for line in file), label)


def _matching(lines: Iterator[bytes] | list[bytes], label: DrawLabel) -> list[StoredDraw]:
    needle = f'"track":{label.track_id}'.encode()
    stored = (parse_line(line) for line in lines if needle in line)
    return [draw for draw in stored if draw.record.label == label]
