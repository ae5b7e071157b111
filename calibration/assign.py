"""Gives each track its synthetic person: one draw, written in the ledger, held while the track lives.

Noise drawn afresh per frame averages out and identifies people; a draw per track does not. Draws are made one
after another from the people not worn by a live track, so no two faces in a picture share one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from calibration.cost import Budget, Cost
from calibration.errors import CalibrationError, CodebookExhausted, CodeError
from calibration.exact import EpsilonLike
from calibration.hide import KeyedRotation
from calibration.identity_space import IdentitySpace
from calibration.keys import key_fingerprint
from calibration.ledger import Ledger, MemoryLedger, new_commitment
from calibration.ledger_lines import DrawRecord, StoredDraw
from calibration.mechanisms.base import DiscreteMechanism, DrawParameters, Mechanism, VectorMechanism
from calibration.names import check_name
from calibration.randomness import DrawLabel, KeyedRandom, RandomSource, SystemRandom

IndexArray = npt.NDArray[np.intp]


class IdentityBook(Protocol):
    """What is needed of a codebook."""

    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def space(self) -> IdentitySpace: ...


@dataclass(frozen=True)
class Assignment:
    """The identity a track wears.

    Attributes:
        stream, track_id: the track.
        index: entry of the codebook.
        epsilon, delta: what the draw costs; epsilon is None where none is stated (`hide`). Of a replayed draw, what it
            cost when it was made: the delta may be another than the mechanism's now.
        mechanism: its name.
        replayed: True when a keyed draw was found in the ledger and reused; it was charged then, not now.
        commitment: as in the ledger.
        opening: the commitment's nonce. With it the ledger line shows the index: keep it secret or forget it.
    """

    stream: str
    track_id: int
    index: int = field(repr=False)
    epsilon: Fraction | None
    delta: float
    mechanism: str
    replayed: bool
    commitment: str
    opening: bytes = field(repr=False)


class IdentityAssigner:
    """Draws, holds and releases identities. Thread-safe. Every error it raises means: mask the face.

    Args:
        mechanism: see `calibration.mechanisms`; a `KeyedRotation` hides instead of drawing, and states no epsilon.
        codebook: the people; `calibration.codebook.Codebook` fits.
        ledger: where draws are written; without one they are kept in memory.
        scope: what `budget` is for. Like `session`, without credentials: it is written down.
        budget, delta_budget: the most epsilon and delta the scope may spend; None for no limit (they are still
            added up). A mechanism that has a delta needs both or none.
        session: names this run. With a key, the same session name replays the same draws from the same
        ledger.
        key: bytes of a key file, for replayable draws; needs a ledger. None for the system's generator.
    """

    def __init__(
        self,
        mechanism: Mechanism | KeyedRotation,
        codebook: IdentityBook,
        *,
        session: str,
        ledger: Ledger | None = None,
        scope: str = "default",
        budget: EpsilonLike | None = None,
        delta_budget: EpsilonLike | None = None,
        key: bytes | None = None,
    ) -> None:
        if not isinstance(mechanism, (DiscreteMechanism, VectorMechanism, KeyedRotation)):
            raise CalibrationError(f"a mechanism of an unknown kind: {type(mechanism).__name__}")
        if not isinstance(mechanism, DiscreteMechanism) and mechanism.dimension != codebook.space.dimension:
            raise CodeError(
                f"`{mechanism.name}` was made for {mechanism.dimension} dimensions,"
                f" the codebook's identity space has {codebook.space.dimension}"
            )
        if key is not None and ledger is None:
            raise CalibrationError(
                "a key needs a ledger: it is where a draw is found again instead of made again"
            )
        check_name("scope", scope)
        check_name("session", session)
        self._mechanism: DiscreteMechanism | VectorMechanism | KeyedRotation = mechanism
        self._cost = Cost() if isinstance(mechanism, KeyedRotation) else mechanism.cost
        self._codebook = codebook
        self._ledger = ledger if ledger is not None else MemoryLedger()
        self._scope = scope
        self._budget = _checked_budget(mechanism, budget, delta_budget)
        self._session = session
        self._key = key
        self._fingerprint = _fingerprint(mechanism, key)
        self._live: dict[tuple[str, int], Assignment] = {}
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"IdentityAssigner({self._mechanism.name}, {len(self._live)} live)"

    @property
    def needs_code(self) -> bool:
        """False when no embedding of a real face is needed: then none should be computed."""
        return self._mechanism.needs_code

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    @property
    def live_count(self) -> int:
        return len(self._live)

    def assign(self, stream: str, track_id: int, code_unit: npt.NDArray[np.floating] | None) -> Assignment:
        """The identity of a track: the one it holds, else a new draw.

        Args:
            stream: name of the source, without credentials.
            track_id: never used again within the stream and session.
            code_unit: (d,) recognition code of the track, looked at for a new draw only and not kept; None
            when
                `needs_code` is False.

        Raises:
            BudgetExhausted, CodebookExhausted, LedgerError, CodeError: the caller masks the face.
            CalibrationError: the stream's name carries credentials.
        """
        with self._mutex:
            held = self._live.get((stream, track_id))
            if held is None:
                held = self._new_assignment(stream, track_id, code_unit)
                self._live[(stream, track_id)] = held
            return held

    def release(self, track_id: int, stream: str | None = None) -> None:
        """The track has ended: its identity can be drawn again. An unknown track is ignored.

        `stream` may be left out as long as the id is alive in one stream only.
        """
        with self._mutex:
            keys = [key for key in self._live if key[1] == track_id and stream in (None, key[0])]
            if len(keys) > 1:
                raise CalibrationError(f"track {track_id} is alive in {len(keys)} streams: say which ended")
            for key in keys:
                del self._live[key]

    def _new_assignment(
        self, stream: str, track_id: int, code_unit: npt.NDArray[np.floating] | None
    ) -> Assignment:
        mechanism = self._mechanism
        label = DrawLabel(
            stream=stream,
            session=self._session,
            track_id=track_id,
            codebook_sha256=self._codebook.sha256,
            mechanism=mechanism.name,
            epsilon=mechanism.epsilon,
        )
        # Before the budget is asked: a replay costs nothing.
        replayed = self._replay(label, self._ledger.stored_draws)
        if replayed is not None:
            return replayed
        check_name("stream", stream)
        available = self._available()
        with self._ledger.reserve(self._scope, self._cost, self._budget) as reservation:
            # Another process may have drawn under this label since.
            replayed = self._replay(label, reservation.stored_draws)
            if replayed is not None:
                return replayed
            index, parameters = self._draw(available, code_unit, self._random(label, "draw"))
            opening = self._random(label, "commitment").token_bytes(32)
            commitment = new_commitment(index, opening)
            delta = float(self._cost.delta)
            reservation.commit(
                DrawRecord(
                    self._scope, label, delta, len(available), parameters, commitment, self._fingerprint
                )
            )
        return self._assignment(label, index, delta, commitment, opening, replayed=False)

    def _draw(
        self, available: IndexArray, code_unit: npt.NDArray[np.floating] | None, random: RandomSource
    ) -> tuple[int, DrawParameters | None]:
        mechanism = self._mechanism
        if isinstance(mechanism, DiscreteMechanism) and not mechanism.needs_code:
            return int(mechanism.draw(available.tolist(), random)), mechanism.parameters(len(available))
        if code_unit is None:
            raise CodeError(f"`{mechanism.name}` needs the track's identity code and was given none")
        space = self._codebook.space
        direction = space.direction(code_unit)
        if isinstance(mechanism, DiscreteMechanism):
            ranked = space.rank(direction, available).tolist()
            return int(mechanism.draw(ranked, random)), mechanism.parameters(len(available))
        if isinstance(mechanism, KeyedRotation):
            return int(space.rank(mechanism.hide(direction), available)[0]), None
        return int(space.rank(mechanism.draw(direction, random), available)[0]), None

    def _available(self) -> IndexArray:
        free = np.ones(self._codebook.size, dtype=bool)
        free[[assignment.index for assignment in self._live.values()]] = False
        available = np.flatnonzero(free)
        if available.size == 0:
            raise CodebookExhausted(f"all {self._codebook.size} synthetic people are worn by live tracks")
        return available

    def _random(self, label: DrawLabel, purpose: str) -> RandomSource:
        return SystemRandom() if self._key is None else KeyedRandom.for_draw(self._key, label, purpose)

    def _replay(
        self, label: DrawLabel, stored_draws: Callable[[DrawLabel], list[StoredDraw]]
    ) -> Assignment | None:
        """The index drawn earlier under this key and label, read from its commitment; None without one.

        With a key one label means one random number. Used on two different embeddings, the pair of outputs
        would say more than two draws may, so a label is never drawn twice.
        """
        if self._key is None:
            return None
        opening = KeyedRandom.for_draw(self._key, label, "commitment").token_bytes(32)
        deltas = {draw.record.commitment: draw.record.delta for draw in stored_draws(label)}
        if not deltas:
            return None
        for index in range(self._codebook.size):
            commitment = new_commitment(index, opening)
            if commitment in deltas:
                if any(assignment.index == index for assignment in self._live.values()):
                    raise CodebookExhausted(f"the identity stored for track {label.track_id} is in use")
                delta = deltas[commitment]
                return self._assignment(label, index, delta, commitment, opening, replayed=True)
        return None

    def _assignment(
        self, label: DrawLabel, index: int, delta: float, commitment: str, opening: bytes, *, replayed: bool
    ) -> Assignment:
        return Assignment(
            stream=label.stream,
            track_id=label.track_id,
            index=index,
            epsilon=self._mechanism.epsilon,
            delta=delta,
            mechanism=self._mechanism.name,
            replayed=replayed,
            commitment=commitment,
            opening=opening,
        )


def _checked_budget(
    mechanism: Mechanism | KeyedRotation, epsilon: EpsilonLike | None, delta: EpsilonLike | None
) -> Budget:
    """Raises CalibrationError when the budget would not limit what the mechanism spends."""
    budget = Budget.of(epsilon, delta)
    if budget == Budget():
        return budget
    if isinstance(mechanism, KeyedRotation):
        raise CalibrationError(f"`{mechanism.name}` has no epsilon: a budget would limit nothing")
    if mechanism.delta and None in (budget.epsilon, budget.delta):
        raise CalibrationError(f"`{mechanism.name}` spends epsilon and delta: its budget needs both")
    return budget


def _fingerprint(mechanism: Mechanism | KeyedRotation, key: bytes | None) -> str | None:
    if isinstance(mechanism, KeyedRotation):
        return mechanism.fingerprint
    return None if key is None else key_fingerprint(key)
