"""Face detectors behind one interface, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from engines.backends import EngineOptions, open_engine
from engines.contract import Engine
from engines.detectors.base import Detection, FaceDetector
from engines.detectors.centerface import CenterFaceDetector
from engines.detectors.retinaface import RetinaFaceDetector
from engines.detectors.tiling import detect_tiled
from engines.detectors.yunet import YuNetDetector
from engines.errors import EngineError
from engines.guard import GuardedEngine
from engines.precision import Precision
from engines.zoo.opening import open_in

if TYPE_CHECKING:
    from typing_extensions import Unpack

DetectorName = Literal["retinaface", "yunet", "centerface", "retina-face-package"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)

__all__ = [
    "DETECTORS",
    "Detection",
    "DetectorName",
    "FaceDetector",
    "create_detector",
    "detect_tiled",
    "detector_on",
    "open_detector_engine",
]


def create_detector(
    name: str = "retinaface",
    *,
    score_threshold: float = 0.5,
    weights: Path | None = None,
    timeout_seconds: float | None = None,
    **options: Unpack[EngineOptions],
) -> FaceDetector:
    """Open a detector.

    Args:
        name: the family: `retinaface` (default), `yunet` (fastest), `centerface`, or `retina-face-package`
            (extra `retina`).
        score_threshold: the lowest score that is returned. A tracker with two thresholds asks for its
            lower one.
        weights: another ONNX file of the same family; by default the registry's, and for the package the
            file in the package's own folder.
        timeout_seconds: a call that takes longer is an EngineError and the engine is given up
            (`engines.guard`); by default calls may take any time.
        options: see `EngineOptions`.

    Raises:
        EngineError: unknown name, missing package, or a refused model file.
    """
    if name not in DETECTORS:
        raise EngineError(f"unknown detector {name!r}; there are: {', '.join(DETECTORS)}")
    engine = open_detector_engine(name, weights=weights, **options)
    if timeout_seconds is not None:
        engine = GuardedEngine(engine, timeout_seconds)
    return detector_on(engine, name, score_threshold=score_threshold)


def detector_on(engine: Engine, name: str, *, score_threshold: float) -> FaceDetector:
    """A detector on an engine that is open already; several may share one, each in a thread of its own.

    Args:
        engine: of the family `name`, as `open_detector_engine` gives it; must bear several threads where it is shared.
        score_threshold: see `create_detector`.
    """
    if name == "retina-face-package":
        from engines.detectors.retina_package import RetinaPackageDetector

        return RetinaPackageDetector(engine, score_threshold=score_threshold)
    if name == "yunet":
        return YuNetDetector(engine, score_threshold=score_threshold)
    if name == "centerface":
        return CenterFaceDetector(engine, score_threshold=score_threshold)
    return RetinaFaceDetector(engine, score_threshold=score_threshold)


def open_detector_engine(
    name: str,
    *,
    weights: Path | None = None,
    precision: Precision = "float",
    **options: Unpack[EngineOptions],
) -> Engine:
    """The engine of a detector without the detector. Arguments and errors as `create_detector`.

    Args:
        precision: see `engines.zoo.opening.open_in`; of the package's detector there is no INT8 version.
    """
    if name == "retina-face-package":
        from engines.detectors.retina_package import weights_file

        options["fp16"] = precision == "fp16"
        return open_engine(weights_file(weights), **options)
    model = {"retinaface": "retinaface-mnet025"}.get(name, name)
    return open_in(precision, model, weights=weights, **options)
