"""One draw per track, audited where it is kept: by the assigner that gives out people, and in the pictures.

Noise drawn anew for each frame averages out, so a mechanism may be right and the product still be broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.assign import IdentityAssigner, IdentityBook
from calibration.audit.cases import two_valued
from calibration.audit.epsilon import EpsilonFinding
from calibration.audit.lower_bound import (
    DEFAULT_ALPHA,
    epsilon_lower_bound,
    refutes,
    trials_needed,
)
from calibration.mechanisms import CodebookMechanism, Mechanism
from calibration.randomness import Float64Array

LOOKS = 3
HELD_TRACKS = 500
"""Tracks under each code of mechanisms whose epsilon no event of people can show: whether they hold their person."""
MIN_RECOVERY = 0.9
_EXPECTED_RECOVERY = 0.99


@dataclass(frozen=True)
class TrackReading:
    """One track, look by look.

    Attributes:
        worn: the index that the product holds for the track.
        seen: the index that an attacker makes of it.
    """

    worn: tuple[int, ...]
    seen: tuple[int, ...]


def tracks_needed(
    mechanism: CodebookMechanism,
    people: int,
    *,
    recovery: float = _EXPECTED_RECOVERY,
    alpha: float = DEFAULT_ALPHA,
) -> int:
    """Tracks under each of two codes in which a mechanism that spends twice its epsilon is caught, when the person
    is recognised with probability `recovery` and is anybody otherwise.
    """
    epsilon = float(mechanism.epsilon)
    share = CodebookMechanism(mechanism.epsilon).parameters(people).nearest / people
    near, far = (recovery * p + (1.0 - recovery) * share for p in two_valued(share, 2.0 * epsilon))
    return trials_needed(lambda trials: refutes(near, far, epsilon, 0.0, trials, alpha))


def audit_tracks(
    label: str,
    mechanism: Mechanism,
    book: IdentityBook,
    near: Sequence[TrackReading],
    far: Sequence[TrackReading],
    *,
    alpha: float = DEFAULT_ALPHA,
) -> EpsilonFinding:
    """The claim, on what was seen of tracks of the two worst-case codes, `space.directions[0]` and its opposite.

    An attacker who errs only makes the bound smaller, so 0.9 epsilon is not asked; but he has to read back who is worn
    in `MIN_RECOVERY` of all looks, or the audit has looked at nothing. No track may change its person.

    Raises:
        ValueError: the inputs do not have the same number of tracks, or a track has fewer than two looks.
    """
    trials = len(near)
    if len(far) != trials or trials == 0:
        raise ValueError(f"both inputs need the same number of runs, got {trials} and {len(far)}")
    tracks = [*near, *far]
    if any(len(track.seen) != len(track.worn) or len(track.worn) < 2 for track in tracks):
        raise ValueError("a track needs two looks or more, each with what is worn and what is seen")
    pairs = [pair for track in tracks for pair in zip(track.worn, track.seen, strict=True)]
    recovery = sum(worn == seen for worn, seen in pairs) / len(pairs)
    event = _event(mechanism, book)
    near_hits, far_hits = (sum(track.seen[0] in event for track in side) for side in (near, far))
    needed = 0
    if isinstance(mechanism, CodebookMechanism):
        # Below the least recovery the audit fails; how many tracks would then be enough is no question.
        needed = tracks_needed(mechanism, book.size, recovery=max(recovery, MIN_RECOVERY), alpha=alpha)
    return EpsilonFinding(
        label=label,
        epsilon=float(mechanism.epsilon),
        delta=mechanism.delta,
        trials=trials,
        alpha=alpha,
        near_hits=near_hits,
        far_hits=far_hits,
        lower_bound=epsilon_lower_bound(near_hits, far_hits, trials, alpha, mechanism.delta),
        required=0.0,
        strict=False,
        needed_trials=needed,
        changed_tracks=sum(len(set(track.worn)) > 1 for track in tracks),
        recovery=recovery,
        required_recovery=MIN_RECOVERY,
    )


def audit_assigner(
    mechanism: Mechanism, book: IdentityBook, *, most_trials: int, alpha: float = DEFAULT_ALPHA
) -> EpsilonFinding:
    """The draws as the product makes them: asked for `LOOKS` times per track, of the assigner, with the ledger.

    As many tracks as are needed, up to `most_trials` under each code. Who is worn shows all of epsilon with `codebook`
    alone; with the others it is held to epsilon, and to one person per track.
    """
    trials = HELD_TRACKS
    if isinstance(mechanism, CodebookMechanism):
        trials = tracks_needed(mechanism, book.size, recovery=1.0, alpha=alpha)
    trials = min(most_trials, trials)
    direction = book.space.directions[0]
    near, far = (
        _assigned(IdentityAssigner(mechanism, book, session="audit"), book.space.code(towards), trials)
        for towards in (direction, -direction)
    )
    return audit_tracks(f"{mechanism.name}, assigned", mechanism, book, near, far, alpha=alpha)


def _assigned(assigner: IdentityAssigner, code_unit: Float64Array, trials: int) -> list[TrackReading]:
    readings = []
    for track_id in range(trials):
        worn = tuple(assigner.assign("audit", track_id, code_unit).index for _ in range(LOOKS))
        assigner.release(track_id)
        readings.append(TrackReading(worn, worn))
    return readings


def _event(mechanism: Mechanism, book: IdentityBook) -> frozenset[int]:
    """S(z) of `codebook` as it should be; for others the nearer half of the people."""
    nearest = book.size // 2
    if isinstance(mechanism, CodebookMechanism):
        nearest = CodebookMechanism(mechanism.epsilon).parameters(book.size).nearest
    ranked = book.space.rank(book.space.directions[0], np.arange(book.size))
    return frozenset(ranked[:nearest].tolist())
