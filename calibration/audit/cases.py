"""The worst case of each mechanism: two codes and an event that tells them apart as well as anything can.

What an event can show, by mechanism:

* `codebook`: z and -z have disjoint S. The event "the person is in S(z)" has the ratio A/B: all of epsilon.
* `privunit`: z and -z, event "the output is in the cap of z": all of epsilon.
* `laplace`: epsilon is reached where every coordinate lies beyond both codes, an event of probability 2^-d.
  It is audited in two dimensions, where that is 1/4 and the factor sqrt(d) of the sensitivity still shows.
* `gaussian`: (P1 - delta) / P0 reaches e^eps for one half-space only, the one where the privacy loss is
  epsilon. At a delta of 1e-6 it is hit once in a million draws, so the calibration is audited at delta = 0.3.
* `vmf`: epsilon is reached only at the single point y = z. A cap around it shows less, the wider the less,
  and the narrower the rarer. It is audited on the circle, with the cap that promises the highest lower bound.

The three last are audited before the output is brought back to the sphere, which is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationError
from calibration.identity_space import IdentitySpace
from calibration.mechanisms import (
    CodebookMechanism,
    DiscreteMechanism,
    GaussianMechanism,
    LaplaceMechanism,
    Mechanism,
    PrivUnitMechanism,
    UniformMechanism,
    VectorMechanism,
    VmfMechanism,
)
from calibration.randomness import Float64Array, RandomSource
from calibration.special import normal_below

AUDIT_DELTA = 0.3
_CHUNK_DOUBLES = 1 << 21
_CAPS_RADIANS = np.linspace(0.1, 1.5, 57)


@dataclass(frozen=True)
class AuditCase:
    """Two inputs and an event.

    Attributes:
        label: what is audited.
        epsilon, delta: the claim.
        near, far: probability of the event under the code it favours and under the other, by the theory.
        hits: (favoured, trials, random) -> in how many of the trials the event occurred.
    """

    label: str
    epsilon: float
    delta: float
    near: float
    far: float
    hits: Callable[[bool, int, RandomSource], int]


def worst_case(mechanism: Mechanism, space: IdentitySpace, trials: int) -> AuditCase:
    """The case that fits the mechanism; `space` is that of the codebook, `trials` are the draws to be
    made.
    """
    if isinstance(mechanism, UniformMechanism):
        return discrete_case(mechanism, UniformMechanism(), space, event_size=len(space.directions) // 2)
    if isinstance(mechanism, CodebookMechanism):
        reference = CodebookMechanism(mechanism.epsilon)
        nearest = reference.parameters(len(space.directions)).nearest
        return discrete_case(mechanism, reference, space, event_size=nearest)
    if isinstance(mechanism, PrivUnitMechanism):
        return _privunit_case(mechanism)
    if isinstance(mechanism, LaplaceMechanism):
        return _laplace_case(mechanism)
    if isinstance(mechanism, GaussianMechanism):
        return _gaussian_case(mechanism)
    if isinstance(mechanism, VmfMechanism):
        return _vmf_case(mechanism, trials)
    raise CalibrationError(f"no audit is known for the mechanism {type(mechanism).__name__}")


def discrete_case(
    mechanism: DiscreteMechanism, reference: DiscreteMechanism, space: IdentitySpace, event_size: int
) -> AuditCase:
    """Event: the person is among the `event_size` nearest to the favoured code; the other is its opposite.

    `reference` is the mechanism as it should be: what is expected must not come from the one under audit.
    """
    everyone = np.arange(len(space.directions))
    favoured = space.directions[0]
    near_ranked = space.rank(favoured, everyone).tolist()
    far_ranked = space.rank(-favoured, everyone).tolist()
    event = frozenset(near_ranked[:event_size])
    probabilities = reference.probabilities(len(everyone))

    def probability(ranked: Sequence[int]) -> float:
        return float(sum(p for entry, p in zip(ranked, probabilities, strict=True) if entry in event))

    def hits(near: bool, trials: int, random: RandomSource) -> int:
        ranked = near_ranked if near else far_ranked
        return sum(mechanism.draw(ranked, random) in event for _ in range(trials))

    return AuditCase(
        label=f"{mechanism.name}, {len(everyone)} people",
        epsilon=float(mechanism.epsilon),
        delta=0.0,
        near=probability(near_ranked),
        far=probability(far_ranked),
        hits=hits,
    )


def _vector_case(
    mechanism: VectorMechanism,
    near: float,
    far: float,
    event: Callable[[Float64Array, Float64Array], npt.NDArray[np.bool_]],
) -> AuditCase:
    """`event`: (outputs (n, d), favoured code (d,)) -> truth of each output."""
    favoured = np.full(mechanism.dimension, 1.0 / math.sqrt(mechanism.dimension))

    def hits(is_near: bool, trials: int, random: RandomSource) -> int:
        code = favoured if is_near else -favoured
        chunk = max(1, _CHUNK_DOUBLES // mechanism.dimension)
        counts = [min(chunk, trials - start) for start in range(0, trials, chunk)]
        return sum(
            int(np.count_nonzero(event(mechanism.draw_noised(code, count, random), favoured)))
            for count in counts
        )

    label = f"{mechanism.name}, d={mechanism.dimension}" + (
        f", delta={mechanism.delta:g}" if mechanism.delta else ""
    )
    return AuditCase(label, float(mechanism.epsilon), mechanism.delta, near, far, hits)


def _privunit_case(mechanism: PrivUnitMechanism) -> AuditCase:
    reference = PrivUnitMechanism(mechanism.epsilon, mechanism.dimension)
    p, q = reference.cap_probability, reference.cap_share
    return _vector_case(
        mechanism, p, q * (1.0 - p) / (1.0 - q), lambda outputs, code: outputs @ code >= reference.gamma
    )


def _laplace_case(mechanism: LaplaceMechanism) -> AuditCase:
    plane = type(mechanism)(mechanism.epsilon, 2)
    far = math.exp(-float(mechanism.epsilon)) / 4.0
    return _vector_case(plane, 0.25, far, lambda outputs, code: np.all(outputs >= code, axis=1))


def _gaussian_case(mechanism: GaussianMechanism) -> AuditCase:
    audited = type(mechanism)(mechanism.epsilon, mechanism.dimension, delta=AUDIT_DELTA)
    sigma = GaussianMechanism(mechanism.epsilon, mechanism.dimension, delta=AUDIT_DELTA).sigma
    threshold = float(mechanism.epsilon) * sigma**2 / 2.0
    near, far = normal_below((1.0 - threshold) / sigma), normal_below((-1.0 - threshold) / sigma)
    return _vector_case(audited, near, far, lambda outputs, code: outputs @ code >= threshold)


def _vmf_case(mechanism: VmfMechanism, trials: int) -> AuditCase:
    circle = type(mechanism)(mechanism.epsilon, 2)
    kappa = float(mechanism.epsilon) / 2.0

    def expected_bound(radians: float) -> float:
        near, far = _arc(kappa, radians), _arc(-kappa, radians)
        spread = math.sqrt((1.0 - near) / (near * trials)) + math.sqrt((1.0 - far) / (far * trials))
        return math.log(near / far) - 3.3 * spread

    radians = float(max(_CAPS_RADIANS, key=expected_bound))
    return _vector_case(
        circle,
        _arc(kappa, radians),
        _arc(-kappa, radians),
        lambda outputs, code: outputs @ code >= math.cos(radians),
    )


def _arc(kappa: float, radians: float) -> float:
    """P(angle <= radians) on the circle under exp(kappa cos(angle)), by the trapezoid rule."""
    angles = np.linspace(0.0, math.pi, 4001)
    density = np.exp(kappa * np.cos(angles))
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return float(np.interp(radians, angles, share / share[-1]))
