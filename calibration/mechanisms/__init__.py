"""Mechanisms: each object that makes a draw states what the draw costs."""

from __future__ import annotations

from calibration.errors import CalibrationError
from calibration.exact import EpsilonLike
from calibration.mechanisms.base import (
    DiscreteMechanism,
    DrawParameters,
    Exactness,
    Mechanism,
    VectorMechanism,
)
from calibration.mechanisms.codebook import CodebookMechanism
from calibration.mechanisms.gaussian import DEFAULT_DELTA, GaussianMechanism
from calibration.mechanisms.laplace import LaplaceMechanism
from calibration.mechanisms.privunit import PrivUnitMechanism
from calibration.mechanisms.uniform import UniformMechanism
from calibration.mechanisms.vmf import VmfMechanism

MECHANISM_NAMES = ("uniform", "codebook", "privunit", "laplace", "gaussian", "vmf")


def create_mechanism(
    name: str, epsilon: EpsilonLike, *, dimension: int, delta: float = DEFAULT_DELTA
) -> Mechanism:
    """A mechanism by its name.

    Args:
        name: one of `MECHANISM_NAMES`.
        epsilon: ignored by `uniform`, whose epsilon is 0. Check it with `bounds.check_epsilon` first.
        dimension: of the codebook's identity space (`codebook.space.dimension`), for the continuous
        mechanisms.
        delta: of `gaussian`; the others have none.
    """
    if name == UniformMechanism.name:
        return UniformMechanism()
    if name == CodebookMechanism.name:
        return CodebookMechanism(epsilon)
    continuous: dict[str, type[VectorMechanism]] = {
        kind.name: kind for kind in (PrivUnitMechanism, LaplaceMechanism, VmfMechanism)
    }
    if name == GaussianMechanism.name:
        return GaussianMechanism(epsilon, dimension, delta)
    if name not in continuous:
        raise CalibrationError(f"no mechanism '{name}': choose one of {', '.join(MECHANISM_NAMES)}")
    return continuous[name](epsilon, dimension)


__all__ = [
    "DEFAULT_DELTA",
    "MECHANISM_NAMES",
    "CodebookMechanism",
    "DiscreteMechanism",
    "DrawParameters",
    "Exactness",
    "GaussianMechanism",
    "LaplaceMechanism",
    "Mechanism",
    "PrivUnitMechanism",
    "UniformMechanism",
    "VectorMechanism",
    "VmfMechanism",
    "create_mechanism",
]
