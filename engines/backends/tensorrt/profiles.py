"""Between which sizes a plan works: TensorRT's optimisation profile, from a rule that fits every model here.

A model's free axes are its batch and, for detectors, the sides of the picture. The rule rather than each model's
shapes is part of the plan cache's key: with the ONNX file it determines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.errors import EngineError

Shape = tuple[int, ...]
# To whose multiples detectors pad their pictures.
_STRIDE_PX = 32


@dataclass(frozen=True)
class Range:
    """Least, usual and largest size of a free axis. Kernels are chosen for the usual one; all between work."""

    least: int
    usual: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise EngineError(f"a profile needs 1 <= least <= usual <= most, not {self}")


@dataclass(frozen=True)
class Profiles:
    """The rule.

    Attributes:
        faces: batch of models whose only free axis is the batch. A larger batch goes through in parts.
        pictures: batch of models with free sides, the detectors; memory is reserved for the largest.
        side_px: height and width of such pictures, multiples of the coarsest stride of the detectors.
    """

    faces: Range = Range(1, 4, 16)
    pictures: Range = Range(1, 1, 4)
    side_px: Range = Range(32, 640, 1280)

    @classmethod
    def for_pictures(cls, usual_px: int, most_px: int) -> Profiles:
        """The rule for detectors that are shown pictures of these long sides; the default one where it will do.

        Larger pictures go through in smaller batches, so that no more memory is reserved.
        """
        default = cls()
        if most_px <= default.side_px.most:
            return default
        usual, most = (-(-side // _STRIDE_PX) * _STRIDE_PX for side in (usual_px, most_px))
        batch = max(1, default.pictures.most * default.side_px.most**2 // most**2)
        return cls(pictures=Range(1, 1, batch), side_px=Range(default.side_px.least, usual, most))

    def shapes(self, shape: Sequence[int]) -> tuple[Shape, Shape, Shape]:
        """Least, usual and largest shape of a graph input whose free axes are -1, axis 0 being the batch."""
        sides_free = any(size < 0 for size in shape[1:])
        batch = self.pictures if sides_free else self.faces
        ranges = [
            Range(size, size, size) if size >= 0 else batch if axis == 0 else self.side_px
            for axis, size in enumerate(shape)
        ]
        return (
            tuple(item.least for item in ranges),
            tuple(item.usual for item in ranges),
            tuple(item.most for item in ranges),
        )
