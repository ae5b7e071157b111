"""Mechanisms that are broken on purpose. An audit that does not catch them is no audit.

Each states an epsilon and spends another, in a way that has been seen in the wild: a probability that belongs to
another epsilon, the sensitivity of a data set in place of the true one, noise drawn anew for every frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from calibration.audit.cases import AuditCase, worst_case
from calibration.audit.epsilon import EpsilonFinding, audit_case, audit_mechanism
from calibration.errors import CalibrationError
from calibration.exact import EpsilonLike, floor_scaled_exp
from calibration.identity_space import IdentitySpace
from calibration.mechanisms import CodebookMechanism, LaplaceMechanism, Mechanism
from calibration.mechanisms.codebook import WEIGHT_OUTSIDE
from calibration.randomness import RandomSource

FRAMES = 10


class WrongP(CodebookMechanism):
    """Says epsilon, draws with the weight of twice epsilon."""

    factor = Fraction(2)

    def __init__(self, epsilon: EpsilonLike = 1) -> None:
        super().__init__(epsilon)
        self._weight_inside = floor_scaled_exp(self.factor * self.epsilon, WEIGHT_OUTSIDE) - 1


class TooNoisy(WrongP):
    """Says epsilon, draws with the weight of four fifths of it: safe, but not what is stated."""

    factor = Fraction(4, 5)


class HalvedSensitivity(LaplaceMechanism):
    """Uses sqrt(d), half the largest distance of two unit vectors, as data sets' own maxima do."""

    def __init__(self, epsilon: EpsilonLike, dimension: int) -> None:
        super().__init__(epsilon, dimension)
        self.scale /= 2.0


def per_frame_case(
    mechanism: CodebookMechanism,
    space: IdentitySpace,
    trials: int,
    frames: int = FRAMES,
    threshold: float = 0.5,
) -> AuditCase:
    """A pipeline that draws anew for each frame: what the viewer sees is the share of frames inside S."""
    once = worst_case(mechanism, space, trials)
    everyone = np.arange(len(space.directions))
    ranked = {
        near: space.rank(space.directions[0] * (1 if near else -1), everyone).tolist()
        for near in (True, False)
    }
    event = frozenset(ranked[True][: mechanism.parameters(len(everyone)).nearest])

    def hits(near: bool, trials: int, random: RandomSource) -> int:
        counts = (
            sum(mechanism.draw(ranked[near], random) in event for _ in range(frames)) for _ in range(trials)
        )
        return sum(count >= threshold * frames for count in counts)

    return replace(once, label=f"drawn per frame, {frames} frames", hits=hits)


def audit_broken(
    name: str,
    epsilon: EpsilonLike,
    space: IdentitySpace,
    *,
    trials: int,
    random: RandomSource | None = None,
) -> list[EpsilonFinding]:
    """The audit of a broken mechanism; it is caught when one of the findings failed.

    Raises CalibrationError for a name that is none of `BROKEN_NAMES`.
    """
    if name not in BROKEN_NAMES:
        raise CalibrationError(f"no broken mechanism {name!r}: choose one of {', '.join(BROKEN_NAMES)}")
    if name == "per-frame":
        case = per_frame_case(CodebookMechanism(epsilon), space, trials)
        findings = [audit_case(case, trials=trials, random=random)]
    else:
        findings = audit_mechanism(_BROKEN[name](epsilon, space), space, trials=trials, random=random)
    return [replace(finding, label=f"BROKEN {name}: {finding.label}") for finding in findings]


_BROKEN: dict[str, Callable[[EpsilonLike, IdentitySpace], Mechanism]] = {
    "wrong-p": lambda epsilon, space: WrongP(epsilon),
    "too-noisy": lambda epsilon, space: TooNoisy(epsilon),
    "half-sensitivity": lambda epsilon, space: HalvedSensitivity(epsilon, space.dimension),
}
BROKEN_NAMES = (*_BROKEN, "per-frame")
