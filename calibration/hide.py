"""`hide`: keyed rotation of identity codes, so that machines with the key can match and people see somebody
else.

z' = R_k z with R_k uniform among the orthogonal matrices (Haar), made from the key. Cosines between codes
under one key are those between the original codes; across two keys they are chance. After the second task of
Diff-Privacy (He et al. 2024, visual identity hiding).

What it is not. It has no epsilon and is not anonymous: it is pseudonymisation under a key. Tracks of one person
under one key look alike to everybody. Whoever has the key, or d known pairs of a code and its rotation (orthogonal
Procrustes), undoes it for everybody under that key. Use one key per purpose and rotate it.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

import numpy as np

from calibration.keys import key_fingerprint
from calibration.mechanisms.base import unit_vector
from calibration.randomness import Float64Array, KeyedRandom, standard_normals

HIDE = "hide"


class KeyedRotation:
    """R_k of one key, purpose and dimension: the same three always give the same rotation.

    Attributes:
        epsilon: None; there is none, and none must be stated.
        fingerprint: names the key.
        purpose: what the rotation is for; another purpose is another rotation under the same key.
    """

    name: ClassVar[str] = HIDE
    epsilon: ClassVar[None] = None
    needs_code: ClassVar[bool] = True

    def __init__(self, key: bytes, dimension: int, purpose: str) -> None:
        label = f"veilstream hide 1\x00{dimension}\x00{purpose}".encode()
        self.dimension = dimension
        self.purpose = purpose
        self.fingerprint = key_fingerprint(key)
        self._rotation = haar_orthogonal(KeyedRandom(key, label), dimension)

    def __repr__(self) -> str:
        return f"KeyedRotation({self.dimension} dimensions, hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keyed rotation is a secret and is not pickled")

    def hide(self, code_unit: Float64Array) -> Float64Array:
        """R_k z, (d,) float64 unit vector. Raises CodeError for another shape or a code without direction."""
        return unit_vector(self._rotation @ unit_vector(code_unit, self.dimension), self.dimension)

    def reveal(self, hidden_unit: Float64Array) -> Float64Array:
        """The code whose rotation is `hidden_unit`: what a holder of the key can do."""
        return unit_vector(self._rotation.T @ unit_vector(hidden_unit, self.dimension), self.dimension)

    def describe(self) -> dict[str, str | float | bool | None]:
        """The statement for reports; `epsilon` is there to say that there is none."""
        return {
            "mechanism": self.name,
            "epsilon": self.epsilon,
            "key": self.fingerprint,
            "purpose": self.purpose,
            "needs_code": self.needs_code,
        }


def haar_orthogonal(random: KeyedRandom, dimension: int) -> Float64Array:
    """(d, d) orthogonal matrix, uniform: QR of normals with the signs of R's diagonal put right (Mezzadri
    2007).
    """
    q, r = np.linalg.qr(standard_normals(random, (dimension, dimension)))
    rotation: Float64Array = q * np.sign(np.diag(r))
    return rotation
