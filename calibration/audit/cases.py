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

The three last are audited before the output is brought back to the sphere, which is post-processing. What they
show here is shown by their class in a setting chosen for the audit; the very object that is used is audited, in
its own dimension and at its own delta, by `own`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
CAPS_RADIANS = np.linspace(0.1, 1.56, 147)


@dataclass(frozen=True)
class AuditCase:
    """Two inputs and an event.

    Attributes:
        label: what is audited.
        epsilon, delta: the claim.
        near, far: probability of the event under the code it favours and under the other, by the theory.
        hits: (favoured, trials, random) -> in how many of the trials the event occurred.
        twice: the same two probabilities under a mechanism that spends twice its epsilon; an audit that would not
            catch that says nothing. None where the event cannot show epsilon.
    """

    label: str
    epsilon: float
    delta: float
    near: float
    far: float
    hits: Callable[[bool, int, RandomSource], int]
    twice: tuple[float, float] | None = None


def worst_case(mechanism: Mechanism, space: IdentitySpace, trials: int) -> AuditCase:
    """The case that shows most of the mechanism's epsilon; `space` is that of the codebook, `trials` are the draws
    to be made.
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
    # Of `uniform`, whose epsilon is 0, an epsilon of 1 is to be told.
    spent = 2.0 * float(mechanism.epsilon) or 1.0

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
        twice=two_valued(event_size / len(everyone), spent),
    )


def two_valued(share: float, epsilon: float) -> tuple[float, float]:
    """Probability of S(z) and of a set as large outside S(z), when what holds `share` of all outputs is favoured
    by e^epsilon.
    """
    total = share * math.exp(epsilon) + 1.0 - share
    return share * math.exp(epsilon) / total, share / total


def vector_case(
    mechanism: VectorMechanism,
    probabilities: tuple[float, float],
    event: Callable[[Float64Array, Float64Array], npt.NDArray[np.bool_]],
    twice: tuple[float, float] | None = None,
) -> AuditCase:
    """A case of `mechanism` itself, in its dimension and at its delta, under z = (1, ..., 1)/sqrt(d) and -z.

    `probabilities` are those of the event under z and -z; `event`: (outputs (n, d), z (d,)) -> truth of each.
    """
    near, far = probabilities
    favoured = favoured_code(mechanism)

    def hits(is_near: bool, trials: int, random: RandomSource) -> int:
        code = favoured if is_near else -favoured
        return sum(
            int(np.count_nonzero(event(mechanism.draw_noised(code, count, random), favoured)))
            for count in chunks(trials, mechanism.dimension)
        )

    return AuditCase(
        vector_label(mechanism), float(mechanism.epsilon), mechanism.delta, near, far, hits, twice
    )


def favoured_code(mechanism: VectorMechanism) -> Float64Array:
    """z (d,), with -z the pair of codes that lie farthest apart in every norm."""
    return np.full(mechanism.dimension, 1.0 / math.sqrt(mechanism.dimension))


def vector_label(mechanism: VectorMechanism) -> str:
    """Name, dimension and delta."""
    delta = f", delta={mechanism.delta:g}" if mechanism.delta else ""
    return f"{mechanism.name}, d={mechanism.dimension}{delta}"


def chunks(trials: int, dimension: int) -> list[int]:
    """`trials` in parts of which a matrix (part, dimension) is not too large."""
    most = max(1, _CHUNK_DOUBLES // dimension)
    return [min(most, trials - start) for start in range(0, trials, most)]


def _privunit_case(mechanism: PrivUnitMechanism) -> AuditCase:
    reference = PrivUnitMechanism(mechanism.epsilon, mechanism.dimension)
    epsilon = float(mechanism.epsilon)
    return vector_case(
        mechanism,
        two_valued(reference.cap_share, epsilon),
        lambda outputs, code: outputs @ code >= reference.gamma,
        two_valued(reference.cap_share, 2.0 * epsilon),
    )


def _laplace_case(mechanism: LaplaceMechanism) -> AuditCase:
    plane = type(mechanism)(mechanism.epsilon, 2)
    epsilon = float(mechanism.epsilon)
    return vector_case(
        plane,
        (0.25, math.exp(-epsilon) / 4.0),
        lambda outputs, code: np.all(outputs >= code, axis=1),
        (0.25, math.exp(-2.0 * epsilon) / 4.0),
    )


def _gaussian_case(mechanism: GaussianMechanism) -> AuditCase:
    audited = type(mechanism)(mechanism.epsilon, mechanism.dimension, delta=AUDIT_DELTA)
    epsilon = float(mechanism.epsilon)
    sigma = needed_sigma(epsilon, AUDIT_DELTA)
    threshold = epsilon * sigma**2 / 2.0
    return vector_case(
        audited,
        half_space(sigma, threshold),
        lambda outputs, code: outputs @ code >= threshold,
        half_space(needed_sigma(2.0 * epsilon, AUDIT_DELTA), threshold),
    )


def half_space(sigma: float, threshold: float) -> tuple[float, float]:
    """P(<y, z> >= threshold) for normal noise around z and around -z."""
    return normal_below((1.0 - threshold) / sigma), normal_below((-1.0 - threshold) / sigma)


@lru_cache(maxsize=1024)
def needed_sigma(epsilon: float, delta: float) -> float:
    """The normal noise that (epsilon, delta) asks for, from what delta is: P(E | z) - e^eps P(E | -z) at its
    largest, which is where the privacy loss 2 <y, z> / sigma^2 is above epsilon. By bisection.
    """
    low, high = 1e-3, 1e12
    for _ in range(200):
        middle = math.sqrt(low * high)
        near, far = half_space(middle, epsilon * middle**2 / 2.0)
        low, high = (middle, high) if near - math.exp(epsilon) * far > delta else (low, middle)
    return high


def _vmf_case(mechanism: VmfMechanism, trials: int) -> AuditCase:
    circle = type(mechanism)(mechanism.epsilon, 2)
    return cap_case(circle, trials, twice=True)


def cap_case(mechanism: VmfMechanism, trials: int, *, twice: bool = False) -> AuditCase:
    """Event: the output is in a cap around z, as wide as promises the highest lower bound."""
    kappa, dimension = float(mechanism.epsilon) / 2.0, mechanism.dimension
    caps = cap_probabilities(kappa, dimension), cap_probabilities(-kappa, dimension)
    best = most_telling(*caps, trials)
    cosine = math.cos(CAPS_RADIANS[best])
    doubled = cap_probabilities(2.0 * kappa, dimension), cap_probabilities(-2.0 * kappa, dimension)
    return vector_case(
        mechanism,
        (float(caps[0][best]), float(caps[1][best])),
        lambda outputs, code: outputs @ code >= cosine,
        (float(doubled[0][best]), float(doubled[1][best])) if twice else None,
    )


def most_telling(near: Float64Array, far: Float64Array, trials: int, delta: float = 0.0) -> int:
    """Which of several events, given by their probabilities, promises the highest lower bound after `trials`; where
    none promises any, the one whose two counts differ most.
    """
    with np.errstate(all="ignore"):
        spread = np.sqrt((1.0 - near) / (near * trials)) + np.sqrt((1.0 - far) / (far * trials))
        bound = np.log((near - delta) / far) - 3.3 * spread
        apart = (near - far) / np.sqrt(near * (1.0 - near) + far * (1.0 - far))
    bound[~np.isfinite(bound)] = -np.inf
    apart[~np.isfinite(apart)] = -np.inf
    return int(np.argmax(bound if bound.max() > 0.0 else apart))


def cap_probabilities(kappa: float, dimension: int) -> Float64Array:
    """P(angle to z <= r) for every r of CAPS_RADIANS under exp(kappa cos(angle)) on the sphere."""
    angles, share = polar_law(kappa, dimension)
    return np.interp(CAPS_RADIANS, angles, share)


def polar_law(kappa: float, dimension: int) -> tuple[Float64Array, Float64Array]:
    """Angles to z (n,), and the share (n,) of the law exp(kappa cos(angle)) on the sphere that lies within each; by
    the trapezoid rule.
    """
    angles = np.linspace(0.0, math.pi, 20_001)
    with np.errstate(divide="ignore"):
        # At the poles of a circle this is 0 * -inf, where the density is that of the point itself.
        ring = (dimension - 2) * np.log(np.abs(np.sin(angles))) if dimension > 2 else np.zeros_like(angles)
    height = kappa * np.cos(angles) + ring
    density = np.exp(height - height.max())
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return angles, share / share[-1]
