"""The face decoder: what a warped synthetic face still lacks to sit in its scene.

It gives gain and bias fields for light and colour, a mask and a fill; `engines.face.compose` applies them
at the face's own resolution, so the network never limits sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engines.backends import EngineOptions
from engines.contract import Engine, EngineInfo, checked_infer
from engines.errors import EngineError
from engines.zoo.opening import open_in

if TYPE_CHECKING:
    from typing_extensions import Unpack

Floats = npt.NDArray[np.float32]

CROP_PX = 128
CONDITIONING_CHANNELS = 12
FIELD_CELLS = 16
DECODER_MODEL = "decoder-v1"


@dataclass(frozen=True)
class DecoderOutput:
    """Of N faces.

    Attributes:
        fields: (N, 6, 16, 16) float32, log gain of R, G, B, then bias of R, G, B.
        mask: (N, 1, 128, 128) float32, share of the corrected warp in the face.
        fill: (N, 3, 128, 128) float32 RGB, what stands where the warp does not.
    """

    fields: Floats
    mask: Floats
    fill: Floats


class FaceDecoder:
    """Conditioning of faces to fields, mask and fill."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, weights: Path | None = None, **options: Unpack[EngineOptions]) -> FaceDecoder:
        """With the registry's model, or another ONNX file of the same inputs and outputs.

        Raises:
            ModelMissingError: the file is not there.
            EngineError: it is damaged, or not a decoder.
        """
        return cls(open_in("float", DECODER_MODEL, weights=weights, **options))

    def run(self, conditioning: Floats) -> DecoderOutput:
        """All faces of a frame, or of several streams, in one call.

        Args:
            conditioning: (N, 12, 128, 128) float32, the channels of `engines.face.conditioning`.

        Raises:
            EngineError: wrong shape or dtype, or the engine failed or gave a wrong shape, NaN or infinity.
        """
        shape = (CONDITIONING_CHANNELS, CROP_PX, CROP_PX)
        if conditioning.shape[1:] != shape or conditioning.dtype != np.float32:
            raise EngineError(
                f"expected (N, 12, 128, 128) float32, not {conditioning.shape} {conditioning.dtype}"
            )
        count = len(conditioning)
        shapes = {
            "fields": (count, 6, FIELD_CELLS, FIELD_CELLS),
            "mask": (count, 1, CROP_PX, CROP_PX),
            "fill": (count, 3, CROP_PX, CROP_PX),
        }
        if not count:
            return DecoderOutput(*(np.empty(size, np.float32) for size in shapes.values()))
        inputs = {"conditioning": np.ascontiguousarray(conditioning)}
        outputs = checked_infer(self._engine, inputs, tuple(shapes))
        for array, (name, size) in zip(outputs, shapes.items(), strict=True):
            if array.shape != size:
                raise EngineError(f"the decoder's output {name!r} is {array.shape}, expected {size}")
        return DecoderOutput(*outputs)

    def describe(self) -> EngineInfo:
        """What runs the model."""
        return self._engine.describe()
