"""Face detectors behind one interface, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from engines.backends import BackendName, open_engine
from engines.detectors.base import Detection, FaceDetector
from engines.detectors.centerface import CenterFaceDetector
from engines.detectors.retinaface import RetinaFaceDetector
from engines.detectors.tiling import detect_tiled
from engines.detectors.yunet import YuNetDetector
from engines.errors import EngineError
from engines.zoo.registry import open_model

DetectorName = Literal["retinaface", "yunet", "centerface", "retina-face-package"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)

__all__ = ["DETECTORS", "Detection", "DetectorName", "FaceDetector", "create_detector", "detect_tiled"]


def create_detector(
    name: DetectorName = "retinaface",
    *,
    score_threshold: float = 0.5,
    threads: int = 1,
    backend: BackendName = "auto",
    weights: Path | None = None,
) -> FaceDetector:
    """Open a detector.

    Args:
        name: the family: `retinaface` (default), `yunet` (fastest), `centerface` (small faces), or
            `retina-face-package` (extra `retina`).
        score_threshold: the lowest score that is returned. A tracker with two thresholds asks for its lower
        one. threads: threads of the engine. backend: inference backend. weights: another ONNX file of the
        same family, or the package's own weights file; by default the
            registry's.

    Raises:
        EngineError: unknown name, missing package, or a refused model file.
    """
    if name == "retina-face-package":
        from engines.detectors.retina_package import RetinaPackageDetector

        return RetinaPackageDetector.open(
            weights, score_threshold=score_threshold, backend=backend, threads=threads
        )
    if name not in DETECTORS:
        raise EngineError(f"unknown detector {name!r}; there are: {', '.join(DETECTORS)}")
    model = {"retinaface": "retinaface-mnet025"}.get(name, name)
    engine = (
        open_model(model, backend=backend, threads=threads)
        if weights is None
        else open_engine(weights, backend=backend, threads=threads)
    )
    if name == "yunet":
        return YuNetDetector(engine, score_threshold=score_threshold)
    if name == "centerface":
        return CenterFaceDetector(engine, score_threshold=score_threshold)
    return RetinaFaceDetector(engine, score_threshold=score_threshold)
