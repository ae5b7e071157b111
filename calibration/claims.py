"""What may be claimed, word for word. Reports carry these sentences, and nothing else may be said in their place."""

from __future__ import annotations

from calibration.hide import KeyedRotation
from calibration.mechanisms.base import Mechanism

PURE = (
    "For each track the identity code is chosen by a pure epsilon-LDP mechanism. Whatever else the video shows, the"
    " code raises the log-odds of any identity hypothesis by at most epsilon. Codes of k unlinked tracks of one person"
    " compose to k*epsilon."
)
WITH_DELTA = (
    "For each track the identity code is chosen by an (epsilon, delta)-LDP mechanism. It is not a pure one:"
    " any event may be likelier by delta than epsilon allows. Codes of k unlinked tracks of one person compose to"
    " k*epsilon and k*delta."
)
KEYED = (
    "The draws can be replayed by whoever holds the key: the claim is computational and holds against those who do not"
    " have it."
)
HIDDEN = (
    "Faces are hidden under a key. This is keyed pseudonymisation, not anonymisation: it has no epsilon. Whoever holds"
    " the key can match faces, and tracks of one person under one key resemble each other to everybody."
)


def claim_of(mechanism: Mechanism | KeyedRotation, *, keyed: bool = False) -> str:
    """The claim that a job with this mechanism may make; `keyed`: its draws come from a key."""
    if isinstance(mechanism, KeyedRotation):
        return HIDDEN
    claim = WITH_DELTA if mechanism.delta else PURE
    return f"{claim} {KEYED}" if keyed else claim
