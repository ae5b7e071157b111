"""Distinguishing audit: how much does a mechanism tell, measured on its own draws?

For the worst pair of codes and an event (see `cases`), count the event among n draws under each code. With
Clopper and Pearson's exact bounds, each wrong with probability alpha/2, the bound
eps_LB = ln((low(near) - delta) / up(far)) is below the true epsilon with probability 1 - alpha (Ding et al.
2018; Jagielski, Ullman, Oprea 2020).

It fails when eps_LB > epsilon: the claim is false. And when eps_LB < 0.9 epsilon: noise stronger than stated
is a bug too. Where n draws cannot show 0.9 epsilon even of a correct mechanism (vmf, or very large or small
epsilon), the lower limit is what a correct mechanism shows all but once in thirty thousand audits. And it fails when
the event does not occur as often as the mechanism's law says.

It passes only when it could have failed: with so few draws that a mechanism which spends twice its epsilon would not
be caught, or one that tells nothing would do, the verdict is that nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.audit.cases import AuditCase, worst_case
from calibration.audit.lower_bound import (
    DEFAULT_ALPHA,
    TIGHTNESS,
    epsilon_lower_bound,
    fits,
    refutes,
    required_bound,
    trials_needed,
)
from calibration.audit.own import NoiseCase, own_cases
from calibration.identity_space import IdentitySpace
from calibration.mechanisms import Mechanism
from calibration.randomness import RandomSource, SystemRandom

DEFAULT_TRIALS = 100_000


@dataclass(frozen=True)
class EpsilonFinding:
    """What one audit found.

    Attributes:
        label: mechanism and setting.
        epsilon, delta: the claim.
        trials: draws under each of the two codes.
        near_hits, far_hits: how often the event occurred under the favoured and under the other code; None where
            no event was counted.
        lower_bound: eps_LB.
        required: the least lower bound that is not suspiciously small.
        strict: True when `required` is 0.9 epsilon, False when the trials cannot show that much.
        needed_trials: about how many trials it takes to say anything; 0 for what only adds to other findings.
        unlike: True when the event did not occur as often as the mechanism's law says.
        changed_tracks: tracks that did not wear one person all the time.
        recovery, required_recovery: share of looks from which the person worn was read back, and the least that is
            an audit at all; None and 0 where nothing is read back.
    """

    label: str
    epsilon: float
    delta: float
    trials: int
    alpha: float
    near_hits: int | None
    far_hits: int | None
    lower_bound: float
    required: float
    strict: bool
    needed_trials: int = 0
    unlike: bool = False
    changed_tracks: int = 0
    recovery: float | None = None
    required_recovery: float = 0.0

    @property
    def claim_broken(self) -> bool:
        return self.lower_bound > self.epsilon

    @property
    def too_noisy(self) -> bool:
        return self.lower_bound < self.required

    @property
    def unread(self) -> bool:
        return self.recovery is not None and self.recovery < self.required_recovery

    @property
    def failed(self) -> bool:
        return self.claim_broken or self.too_noisy or self.unlike or self.changed_tracks > 0 or self.unread

    @property
    def conclusive(self) -> bool:
        """False when neither passing nor what did not fail means anything."""
        return self.trials >= self.needed_trials

    @property
    def passed(self) -> bool:
        return self.conclusive and not self.failed

    @property
    def verdict(self) -> str:
        if self.changed_tracks:
            return f"FAIL: {self.changed_tracks} tracks changed their person"
        if self.claim_broken:
            return "FAIL: spends more than it states"
        if self.unread:
            return f"FAIL: only {self.recovery:.0%} of the people read back"
        if self.too_noisy:
            return "FAIL: noisier than it states"
        if self.unlike:
            return "FAIL: not the law it states"
        return "pass" if self.conclusive else f"too few: {self.needed_trials:,} needed"


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
    required, strict = required_bound(case.near, case.far, case.epsilon, case.delta, trials, alpha)
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
        needed_trials=_needed(case, alpha),
        unlike=not (fits(near_hits, trials, case.near) and fits(far_hits, trials, case.far)),
    )


def _needed(case: AuditCase, alpha: float) -> int:
    """Trials in which a mechanism that spends twice is caught, and one that tells nothing is too."""
    twice = case.twice
    if twice is None:
        return 0
    claim = case.epsilon, case.delta

    def enough(trials: int) -> bool:
        tells = case.epsilon == 0.0 or required_bound(case.near, case.far, *claim, trials, alpha)[0] > 0.0
        return tells and refutes(*twice, *claim, trials, alpha)

    return trials_needed(enough)


def audit_noise(
    case: NoiseCase,
    *,
    trials: int = DEFAULT_TRIALS,
    alpha: float = DEFAULT_ALPHA,
    random: RandomSource | None = None,
) -> EpsilonFinding:
    """What epsilon the size of the noise stands for. Its bounds lie four standard deviations away, whatever alpha."""
    source = random if random is not None else SystemRandom()
    shown, asked = case.required(trials), TIGHTNESS * case.epsilon
    return EpsilonFinding(
        label=case.label,
        epsilon=case.epsilon,
        delta=case.delta,
        trials=trials,
        alpha=alpha,
        near_hits=None,
        far_hits=None,
        lower_bound=case.lower_bound(case.mean(trials, source), trials),
        required=min(shown, asked),
        strict=shown >= asked,
        needed_trials=trials_needed(case.refutes_twice),
    )


def audit_mechanism(
    mechanism: Mechanism,
    space: IdentitySpace,
    *,
    trials: int = DEFAULT_TRIALS,
    alpha: float = DEFAULT_ALPHA,
    random: RandomSource | None = None,
) -> list[EpsilonFinding]:
    """The audit of a mechanism: on its worst case first; then, where that is another object of its class, on itself,
    through its own draw method.
    """
    findings = [audit_case(worst_case(mechanism, space, trials), trials=trials, alpha=alpha, random=random)]
    for case in own_cases(mechanism, trials):
        if isinstance(case, NoiseCase):
            findings.append(audit_noise(case, trials=trials, alpha=alpha, random=random))
        else:
            findings.append(audit_case(case, trials=trials, alpha=alpha, random=random))
    return findings


def reference_space(people: int = 1024, dimension: int = 128, seed: int = 1) -> IdentitySpace:
    """A space of random codes, for audits without a codebook file: the audit does not depend on what the
    codes are.
    """
    codes = np.random.default_rng(seed).normal(size=(people, dimension))
    return IdentitySpace.fit(codes / np.linalg.norm(codes, axis=1, keepdims=True))
