"""Distinguishing audit: how much does a mechanism tell, measured on its own draws?

For the worst pair of codes and an event (see `cases`), count the event among n draws under each code. With
Clopper and Pearson's exact bounds, each wrong with probability alpha/2, the bound
eps_LB = ln((low(near) - delta) / up(far)) is below the true epsilon with probability 1 - alpha (Ding et al.
2018; Jagielski, Ullman, Oprea 2020).

It fails when eps_LB > epsilon: the claim is false. And when eps_LB < 0.9 epsilon: noise stronger than stated
is a bug too. Where n draws cannot show 0.9 epsilon even of a correct mechanism (vmf, or very large or small
epsilon), the lower limit is what a correct mechanism shows all but once in thirty thousand audits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.audit.cases import AuditCase, worst_case
from calibration.identity_space import IdentitySpace
from calibration.mechanisms import Mechanism
from calibration.randomness import RandomSource, SystemRandom
from calibration.special import clopper_pearson_low, clopper_pearson_up

DEFAULT_TRIALS = 100_000
DEFAULT_ALPHA = 1e-3
TIGHTNESS = 0.9
_SAFE_DEVIATIONS = 4.0


@dataclass(frozen=True)
class EpsilonFinding:
    """What one audit found.

    Attributes:
        label: mechanism and setting.
        epsilon, delta: the claim.
        trials: draws under each of the two codes.
        near_hits, far_hits: how often the event occurred under the favoured and under the other code.
        lower_bound: eps_LB.
        required: the least lower bound that is not suspiciously small.
        strict: True when `required` is 0.9 epsilon, False when the trials cannot show that much.
    """

    label: str
    epsilon: float
    delta: float
    trials: int
    alpha: float
    near_hits: int
    far_hits: int
    lower_bound: float
    required: float
    strict: bool

    @property
    def claim_broken(self) -> bool:
        return self.lower_bound > self.epsilon

    @property
    def too_noisy(self) -> bool:
        return self.lower_bound < self.required

    @property
    def passed(self) -> bool:
        return not (self.claim_broken or self.too_noisy)

    @property
    def verdict(self) -> str:
        if self.claim_broken:
            return "FAIL: spends more than it states"
        return "FAIL: noisier than it states" if self.too_noisy else "pass"


def epsilon_lower_bound(
    near_hits: int, far_hits: int, trials: int, alpha: float, delta: float = 0.0
) -> float:
    """eps_LB, at least 0: true with probability 1 - alpha whatever the mechanism."""
    near = clopper_pearson_low(near_hits, trials, alpha / 2.0) - delta
    far = clopper_pearson_up(far_hits, trials, alpha / 2.0)
    return max(0.0, math.log(near / far)) if near > 0.0 else 0.0


def audit_case(
    case: AuditCase,
    *,
    trials: int = DEFAULT_TRIALS,
    alpha: float = DEFAULT_ALPHA,
    random: RandomSource | None = None,
) -> EpsilonFinding:
    """Draw, count, judge."""
    source = random if random is not None else SystemRandom()
    near_hits, far_hits = case.hits(True, trials, source), case.hits(False, trials, source)
    required, strict = _required(case, trials, alpha)
    return EpsilonFinding(
        label=case.label,
        epsilon=case.epsilon,
        delta=case.delta,
        trials=trials,
        alpha=alpha,
        near_hits=near_hits,
        far_hits=far_hits,
        lower_bound=epsilon_lower_bound(near_hits, far_hits, trials, alpha, case.delta),
        required=required,
        strict=strict,
    )


def audit_mechanism(
    mechanism: Mechanism,
    space: IdentitySpace,
    *,
    trials: int = DEFAULT_TRIALS,
    alpha: float = DEFAULT_ALPHA,
    random: RandomSource | None = None,
) -> EpsilonFinding:
    """The audit of a mechanism on its worst case, through its own draw method."""
    return audit_case(worst_case(mechanism, space, trials), trials=trials, alpha=alpha, random=random)


def audit_recovered(
    label: str,
    epsilon: float,
    event: frozenset[int],
    recovered_near: Sequence[int],
    recovered_far: Sequence[int],
    *,
    alpha: float = DEFAULT_ALPHA,
) -> EpsilonFinding:
    """The same through the pixels: indices recovered from output videos of the two worst-case inputs.

    `event` holds the indices near to the first input. Recovery may fail, which only makes the bound smaller:
    there is no lower limit here, the claim alone is tested. Both sequences have the same length.
    """
    trials = len(recovered_near)
    if len(recovered_far) != trials or trials == 0:
        raise ValueError(f"both inputs need the same number of runs, got {trials} and {len(recovered_far)}")
    near_hits = sum(index in event for index in recovered_near)
    far_hits = sum(index in event for index in recovered_far)
    lower = epsilon_lower_bound(near_hits, far_hits, trials, alpha)
    return EpsilonFinding(label, epsilon, 0.0, trials, alpha, near_hits, far_hits, lower, 0.0, strict=False)


def reference_space(people: int = 1024, dimension: int = 128, seed: int = 1) -> IdentitySpace:
    """A space of random codes, for audits without a codebook file: the audit does not depend on what the
    codes are.
    """
    codes = np.random.default_rng(seed).normal(size=(people, dimension))
    return IdentitySpace.fit(codes / np.linalg.norm(codes, axis=1, keepdims=True))


def _required(case: AuditCase, trials: int, alpha: float) -> tuple[float, bool]:
    """What a correct mechanism shows at its expected counts, against the 0.9 epsilon that is asked."""
    near, far = round(case.near * trials), round(case.far * trials)
    expected = epsilon_lower_bound(near, far, trials, alpha, case.delta)
    relative_near = math.sqrt(near * (1.0 - near / trials)) / max(1.0, near - case.delta * trials)
    deviation = math.hypot(relative_near, math.sqrt(1.0 / max(1, far)))
    asked = TIGHTNESS * case.epsilon
    surely_shown = max(0.0, expected - _SAFE_DEVIATIONS * deviation)
    return (asked, True) if surely_shown >= asked else (surely_shown, False)
