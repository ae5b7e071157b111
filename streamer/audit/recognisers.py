"""Face recognisers for attacks on ourselves: one that took part in training (SFace), others that did not.

The held-out ones are fetched by the user (`veilstream models fetch attacker-...`), never shipped and never used in
training: a system that was trained against a recogniser fools that one and may fool no other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from engines.backends import open_engine
from engines.contract import checked_infer
from engines.errors import EngineError
from engines.face.template import RECOGNITION_POINTS_PX, RECOGNITION_SIDE_PX, similarity_from_points
from engines.identity import IdentityEncoder
from engines.zoo.registry import entry, model_path, read_checked
from streamer.audit.dlib_network import CHIP_SIDE_PX, INPUT, OUTPUT, onnx_of_dlib
from streamer.audit.pictures import FoundFace
from streamer.frame import Float32Array, UInt8Array

# Share of the chip's side that dlib leaves around the face.
_CHIP_PADDING = 0.25


class Recogniser(Protocol):
    """A picture and the place of the face in it to a code."""

    @property
    def name(self) -> str: ...

    @property
    def held_out(self) -> bool:
        """True when it took no part in training."""
        ...

    @property
    def has_common_part(self) -> bool:
        """True when its codes of any two faces are alike, and say who it is only by what differs from their mean."""
        ...

    def encode(self, picture_rgb_u8: UInt8Array, face: FoundFace) -> Float32Array:
        """(d,) float32 code; the cosine of two (less the common part) tells how alike they are."""
        ...


@dataclass(frozen=True)
class Recognisers:
    """Those that can be opened here, and for each of the others a line that says what is missing."""

    ready: tuple[Recogniser, ...]
    missing: tuple[str, ...]


def open_recognisers(threads: int = 1) -> Recognisers:
    """All that are available on this machine. SFace always is; raises EngineError when it is not."""
    ready: list[Recogniser] = [SFaceRecogniser(IdentityEncoder.open(threads=threads))]
    missing = []
    makers: dict[str, Callable[[], Recogniser]] = {
        MobileFaceNetRecogniser.name: lambda: MobileFaceNetRecogniser(threads),
        DlibRecogniser.name: lambda: DlibRecogniser(threads),
    }
    for name, make in makers.items():
        try:
            ready.append(make())
        except EngineError as error:
            missing.append(f"{name}: {error}")
    return Recognisers(tuple(ready), tuple(missing))


class SFaceRecogniser:
    """SFace, the recogniser that draws are made with and the decoder was trained against."""

    name = "sface"
    held_out = False
    has_common_part = False

    def __init__(self, encoder: IdentityEncoder) -> None:
        self._encoder = encoder

    def encode(self, picture_rgb_u8: UInt8Array, face: FoundFace) -> Float32Array:
        code: Float32Array = self._encoder.encode(_aligned(picture_rgb_u8, face)[None])[0]
        return code


class MobileFaceNetRecogniser:
    """`fr_feature`: a MobileFaceNet, 112 px aligned BGR, (x - 127) / 128, 512 numbers."""

    name = "mobilefacenet"
    held_out = True
    has_common_part = False
    _model = "attacker-fr-feature"

    def __init__(self, threads: int = 1) -> None:
        self._engine = open_engine(read_checked(entry(self._model)), backend="onnxruntime", threads=threads)
        self._input, self._output = self._engine.inputs[0].name, self._engine.outputs[0].name

    def encode(self, picture_rgb_u8: UInt8Array, face: FoundFace) -> Float32Array:
        bgr = _aligned(picture_rgb_u8, face)[:, :, ::-1]
        values = np.ascontiguousarray((bgr.transpose(2, 0, 1)[None] - 127.0) / 128.0, dtype=np.float32)
        (codes,) = checked_infer(self._engine, {self._input: values}, (self._output,))
        return np.asarray(codes[0], dtype=np.float32)


class DlibRecogniser:
    """dlib's ResNet (King 2017) on a chip that dlib aligns itself, by its own five points.

    Its weights run in onnxruntime (see `dlib_network`), which gives the same codes. The chip needs a box as dlib's own
    detector draws them: square, from the brows to below the mouth.
    """

    name = "dlib"
    held_out = True
    has_common_part = True

    def __init__(self, threads: int = 1) -> None:
        try:
            self._dlib: Any = importlib.import_module("dlib")
        except ImportError:
            raise EngineError("dlib is not installed; run: pip install 'veilstream[audit]'") from None
        self._points = self._dlib.shape_predictor(str(model_path("attacker-dlib-points")))
        network = onnx_of_dlib(read_checked(entry("attacker-dlib")))
        self._engine = open_engine(network, backend="onnxruntime", threads=threads)

    def encode(self, picture_rgb_u8: UInt8Array, face: FoundFace) -> Float32Array:
        points = face.points_xy_px.astype(np.float64)
        eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
        centre = 0.55 * eyes + 0.45 * mouth
        half = 1.25 * max(float(np.linalg.norm(points[1] - points[0])), float(np.linalg.norm(mouth - eyes)))
        left, top = (round(float(value)) for value in centre - half)
        right, bottom = (round(float(value)) for value in centre + half)
        shape = self._points(picture_rgb_u8, self._dlib.rectangle(left, top, right, bottom))
        chip = self._dlib.get_face_chip(picture_rgb_u8, shape, CHIP_SIDE_PX, _CHIP_PADDING)
        values = np.ascontiguousarray(chip.transpose(2, 0, 1)[None], dtype=np.float32)
        (codes,) = checked_infer(self._engine, {INPUT: values}, (OUTPUT,))
        return np.asarray(codes[0], dtype=np.float32)


def _aligned(picture_rgb_u8: UInt8Array, face: FoundFace) -> Float32Array:
    """(112, 112, 3) float32 RGB in 0..255."""
    aligned_from_picture = similarity_from_points(face.points_xy_px, RECOGNITION_POINTS_PX)
    side = (RECOGNITION_SIDE_PX, RECOGNITION_SIDE_PX)
    aligned = cv2.warpAffine(picture_rgb_u8, aligned_from_picture, side, flags=cv2.INTER_LINEAR)
    return np.asarray(aligned, dtype=np.float32)
