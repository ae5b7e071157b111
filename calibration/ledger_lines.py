"""The form of a ledger line, and the chain that binds the lines together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fractions import Fraction
from functools import lru_cache
from typing import Any

from calibration.cost import Cost
from calibration.errors import CalibrationError, LedgerError
from calibration.exact import as_epsilon, epsilon_text, rational
from calibration.hide import HIDE
from calibration.mechanisms import MECHANISM_NAMES, CodebookMechanism, GaussianMechanism, UniformMechanism
from calibration.mechanisms.base import DrawParameters
from calibration.randomness import DrawLabel

GENESIS = "0" * 64
_VERSION = 1


@dataclass(frozen=True)
class DrawRecord:
    """What is written down about one draw.

    Attributes:
        scope: what the budget is for (a camera and a day, a file, an archive).
        label: stream, session, track, codebook, mechanism and epsilon.
        delta: 0 but for `gaussian`.
        available: K, the entries that could be drawn.
        parameters: A, B, K, m of an integer-exact mechanism; None for a continuous one.
        commitment: see `calibration.ledger.new_commitment`.
        key: fingerprint of the key that the draw can be replayed with, or that the code was rotated by; None without.
    """

    scope: str
    label: DrawLabel
    delta: float
    available: int
    parameters: DrawParameters | None
    commitment: str
    key: str | None = None

    @property
    def cost(self) -> Cost:
        """What it takes from a budget: nothing where no epsilon is stated."""
        return Cost() if self.label.epsilon is None else Cost(self.label.epsilon, rational(self.delta))


@dataclass(frozen=True)
class StoredDraw:
    """A line read back."""

    record: DrawRecord
    sequence: int
    time: str
    previous: str
    hash: str


@dataclass
class Chain:
    """The state after some lines: enough to check or write the next one and to answer for the budget.

    Attributes:
        sequence: number of the last line.
        head, previous: hashes of the last line and of the one before it.
        draws, hidden, keyed: counts by scope; nothing is kept of a line.
    """

    sequence: int = 0
    head: str = GENESIS
    previous: str = GENESIS
    draws: dict[str, int] = field(default_factory=dict)
    hidden: dict[str, int] = field(default_factory=dict)
    keyed: dict[str, int] = field(default_factory=dict)
    _spent: dict[str, Cost] = field(default_factory=dict)

    def spent(self, scope: str) -> Cost:
        return self._spent.get(scope, Cost())

    def next_line(self, record: DrawRecord) -> bytes:
        """The line (without line end) that `record` becomes behind the present head."""
        label, parameters = record.label, record.parameters
        fields: dict[str, Any] = {
            "version": _VERSION,
            "sequence": self.sequence + 1,
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "scope": record.scope,
            "stream": label.stream,
            "session": label.session,
            "track": label.track_id,
            "mechanism": label.mechanism,
            "epsilon": None if label.epsilon is None else epsilon_text(label.epsilon),
            "delta": record.delta,
            # As text: they exceed what other JSON readers hold exactly.
            "A": str(parameters.weight_inside) if parameters else None,
            "B": str(parameters.weight_outside) if parameters else None,
            "K": record.available,
            "m": parameters.nearest if parameters else None,
            "codebook": label.codebook_sha256,
            "commitment": record.commitment,
            "key": record.key,
            "previous": self.head,
        }
        fields["hash"] = _hash_of(fields)
        return _canonical(fields)

    def feed(self, line: bytes, where: str = "the ledger") -> StoredDraw:
        """Take in the next line. Raises LedgerError when it does not continue the chain."""
        number = self.sequence + 1
        try:
            draw = parse_line(line)
        except LedgerError as error:
            raise LedgerError(f"{where}, line {number}: {error}") from None
        if draw.sequence != number:
            raise LedgerError(
                f"{where}, line {number}: it is numbered {draw.sequence}; lines are gone or moved"
            )
        if draw.previous != self.head:
            raise LedgerError(f"{where}, line {number}: it does not follow the line before it")
        scope = draw.record.scope
        self.sequence, self.head, self.previous = number, draw.hash, draw.previous
        self.draws[scope] = self.draws.get(scope, 0) + 1
        self._spent[scope] = self.spent(scope) + draw.record.cost
        if draw.record.label.epsilon is None:
            self.hidden[scope] = self.hidden.get(scope, 0) + 1
        elif draw.record.key is not None:
            self.keyed[scope] = self.keyed.get(scope, 0) + 1
        return draw


def parse_line(line: bytes) -> StoredDraw:
    """Read one line and check it by itself: form, hash, and that its numbers give the epsilon it states.

    Raises LedgerError, and nothing else whatever the bytes are.
    """
    try:
        fields = json.loads(line)
        stated_hash = fields.pop("hash")
        if _integer(fields, "version") != _VERSION:
            raise LedgerError(f"a line of version {fields['version']}, this program reads {_VERSION}")
        if stated_hash != _hash_of(fields) or line != _canonical({**fields, "hash": stated_hash}):
            raise LedgerError("its content does not have its hash: it was changed")
        draw = _from_fields(fields, stated_hash)
        _check_numbers(draw.record)
    except LedgerError:
        raise
    except CalibrationError as error:
        raise LedgerError(f"it is no draw of this program: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise LedgerError("it is not a whole ledger line") from None
    return draw


def _from_fields(fields: dict[str, Any], stated_hash: str) -> StoredDraw:
    epsilon = _optional_text(fields, "epsilon")
    label = DrawLabel(
        stream=_text(fields, "stream"),
        session=_text(fields, "session"),
        track_id=_integer(fields, "track"),
        codebook_sha256=_text(fields, "codebook"),
        mechanism=_text(fields, "mechanism"),
        epsilon=None if epsilon is None else as_epsilon(epsilon),
    )
    available = _integer(fields, "K")
    if available < 1:
        raise LedgerError(f"its K is {available}: nobody was there to draw from")
    parameters = None
    if fields["A"] is not None:
        weights = int(_text(fields, "A")), int(_text(fields, "B"))
        parameters = DrawParameters(*weights, available, _integer(fields, "m"))
    if type(fields["delta"]) not in (int, float):
        raise LedgerError("its delta is no number")
    record = DrawRecord(
        scope=_text(fields, "scope"),
        label=label,
        delta=float(fields["delta"]),
        available=available,
        parameters=parameters,
        commitment=_text(fields, "commitment"),
        # Lines of before there were keys have no such field.
        key=_optional_text({"key": None, **fields}, "key"),
    )
    return StoredDraw(
        record=record,
        sequence=_integer(fields, "sequence"),
        time=_text(fields, "time"),
        previous=_text(fields, "previous"),
        hash=stated_hash,
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise LedgerError(f"its {name} is no text")
    return value


def _optional_text(fields: dict[str, Any], name: str) -> str | None:
    return None if fields[name] is None else _text(fields, name)


def _integer(fields: dict[str, Any], name: str) -> int:
    value = fields[name]
    # True is an int to Python, and to `json` it is not.
    if type(value) is not int:
        raise LedgerError(f"its {name} is no whole number")
    return value


def _check_numbers(record: DrawRecord) -> None:
    """Epsilon, delta, A, B and m must be those of the mechanism: a line cannot claim less than it drew."""
    label = record.label
    if label.mechanism not in (*MECHANISM_NAMES, HIDE):
        raise LedgerError(f"it names no mechanism of this program: {label.mechanism!r}")
    if (label.epsilon is None) != (label.mechanism == HIDE):
        raise LedgerError(
            f"`{label.mechanism}` " + ("has no epsilon" if label.mechanism == HIDE else "has one")
        )
    if label.mechanism == HIDE and record.key is None:
        raise LedgerError(f"`{HIDE}` needs a key, the line names none")
    if label.mechanism == UniformMechanism.name and label.epsilon != 0:
        raise LedgerError(f"`uniform` has epsilon 0, the line states {label.epsilon}")
    if (0.0 < record.delta < 1.0) != (label.mechanism == GaussianMechanism.name):
        raise LedgerError(f"its delta {record.delta} is none of `{label.mechanism}`")
    if record.parameters != _expected_parameters(label.mechanism, label.epsilon, record.available):
        raise LedgerError(f"its A, B and m are not those of `{label.mechanism}` at its epsilon and K")


@lru_cache(maxsize=1024)
def _expected_parameters(mechanism: str, epsilon: Fraction | None, available: int) -> DrawParameters | None:
    if mechanism == UniformMechanism.name:
        return UniformMechanism().parameters(available)
    if mechanism == CodebookMechanism.name and epsilon is not None:
        return CodebookMechanism(epsilon).parameters(available)
    return None


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _hash_of(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(fields)).hexdigest()
