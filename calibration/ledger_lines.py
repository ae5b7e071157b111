"""The form of a ledger line, and the chain that binds the lines together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fractions import Fraction
from typing import Any

from calibration.errors import CalibrationError, LedgerError
from calibration.exact import as_epsilon, epsilon_text
from calibration.mechanisms import CodebookMechanism, UniformMechanism
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
    """

    scope: str
    label: DrawLabel
    delta: float
    available: int
    parameters: DrawParameters | None
    commitment: str


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
    """The state after some lines: enough to check or write the next one and to answer for the budget."""

    sequence: int = 0
    head: str = GENESIS
    draws: dict[str, int] = field(default_factory=dict)
    _spent: dict[str, Fraction] = field(default_factory=dict)
    _delta: dict[str, float] = field(default_factory=dict)

    def spent(self, scope: str) -> Fraction:
        return self._spent.get(scope, Fraction(0))

    def delta(self, scope: str) -> float:
        return self._delta.get(scope, 0.0)

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
            "epsilon": epsilon_text(label.epsilon),
            "delta": record.delta,
            # As text: they exceed what other JSON readers hold exactly.
            "A": str(parameters.weight_inside) if parameters else None,
            "B": str(parameters.weight_outside) if parameters else None,
            "K": record.available,
            "m": parameters.nearest if parameters else None,
            "codebook": label.codebook_sha256,
            "commitment": record.commitment,
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
        self.sequence, self.head = number, draw.hash
        self.draws[scope] = self.draws.get(scope, 0) + 1
        self._spent[scope] = self.spent(scope) + draw.record.label.epsilon
        self._delta[scope] = self.delta(scope) + draw.record.delta
        return draw


def parse_line(line: bytes) -> StoredDraw:
    """Read one line and check it by itself: form, hash, and that its numbers give the epsilon it states."""
    try:
        fields = json.loads(line)
        stated_hash = fields.pop("hash")
        if fields.get("version") != _VERSION:
            raise LedgerError(f"a line of version {fields.get('version')}, this program reads {_VERSION}")
        if stated_hash != _hash_of(fields) or line != _canonical({**fields, "hash": stated_hash}):
            raise LedgerError("its content does not have its hash: it was changed")
        draw = _from_fields(fields, stated_hash)
    except LedgerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, CalibrationError):
        raise LedgerError("it is not a whole ledger line") from None
    _check_numbers(draw.record)
    return draw


def _from_fields(fields: dict[str, Any], stated_hash: str) -> StoredDraw:
    label = DrawLabel(
        stream=str(fields["stream"]),
        session=str(fields["session"]),
        track_id=int(fields["track"]),
        codebook_sha256=str(fields["codebook"]),
        mechanism=str(fields["mechanism"]),
        epsilon=as_epsilon(fields["epsilon"]),
    )
    available = int(fields["K"])
    parameters = None
    if fields["A"] is not None:
        parameters = DrawParameters(int(fields["A"]), int(fields["B"]), available, int(fields["m"]))
    record = DrawRecord(
        scope=str(fields["scope"]),
        label=label,
        delta=float(fields["delta"]),
        available=available,
        parameters=parameters,
        commitment=str(fields["commitment"]),
    )
    return StoredDraw(
        record=record,
        sequence=int(fields["sequence"]),
        time=str(fields["time"]),
        previous=str(fields["previous"]),
        hash=stated_hash,
    )


def _check_numbers(record: DrawRecord) -> None:
    """A, B and m must be those of this epsilon and K: a line cannot claim less than it drew."""
    label = record.label
    if label.mechanism == CodebookMechanism.name:
        expected = CodebookMechanism(label.epsilon).parameters(record.available)
    elif label.mechanism == UniformMechanism.name:
        expected = UniformMechanism().parameters(record.available)
        if label.epsilon != 0:
            raise LedgerError(f"`uniform` has epsilon 0, the line states {epsilon_text(label.epsilon)}")
    else:
        return
    if record.parameters != expected:
        raise LedgerError(f"its A, B and m are not those of `{label.mechanism}` at its epsilon and K")


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _hash_of(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(fields)).hexdigest()
