"""Recognition code of an aligned face (SFace).

Zhong, Deng, Hu, Zhao, Li, Wen: SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition (IEEE
Transactions on Image Processing 2021). A code tells who somebody is: callers use it once, to draw a synthetic
person, and let go of it at once. Nothing here keeps, logs or prints one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engines.backends import EngineOptions
from engines.contract import Engine, EngineInfo, checked_infer
from engines.errors import EngineError
from engines.zoo.registry import open_model

if TYPE_CHECKING:
    from typing_extensions import Unpack

Floats = npt.NDArray[np.float32]

ALIGNED_PX = 112
CODE_LENGTH = 128
# Below this, a code is the answer to an empty picture, and its direction is noise.
LEAST_NORM = 1e-6


class IdentityEncoder:
    """Aligned faces to codes of unit length."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, **options: Unpack[EngineOptions]) -> IdentityEncoder:
        """With the registry's model."""
        return cls(open_model("sface", **options))

    def encode(self, aligned_rgb_f32: Floats) -> Floats:
        """Codes of faces aligned by the 112 px recognition template.

        Args:
            aligned_rgb_f32: (N, 112, 112, 3) float32 RGB in 0..255.

        Returns:
            code_unit: (N, 128) float32 of unit length; the cosine of two is their dot product.

        Raises:
            EngineError: wrong shape or dtype, or the engine failed or gave no usable code.
        """
        shape = (ALIGNED_PX, ALIGNED_PX, 3)
        if aligned_rgb_f32.shape[1:] != shape or aligned_rgb_f32.dtype != np.float32:
            raise EngineError(
                f"expected (N, 112, 112, 3) float32, not {aligned_rgb_f32.shape} {aligned_rgb_f32.dtype}"
            )
        if not len(aligned_rgb_f32):
            return np.empty((0, CODE_LENGTH), np.float32)
        inputs = {"data": np.ascontiguousarray(aligned_rgb_f32.transpose(0, 3, 1, 2))}
        (codes,) = checked_infer(self._engine, inputs, ("fc1",))
        norms = np.linalg.norm(codes, axis=1, keepdims=True)
        if (norms < LEAST_NORM).any():
            raise EngineError("the identity encoder gave an empty code")
        unit: Floats = (codes / norms).astype(np.float32)
        return unit

    def describe(self) -> EngineInfo:
        """What runs the model."""
        return self._engine.describe()
