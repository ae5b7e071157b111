"""Backends that run a real model, and detectors that find a real-looking face."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from calibration.codebook import Codebook
from engines.backends import BackendName, backend_statuses, open_engine
from engines.detectors import DETECTORS, create_detector
from engines.errors import EngineError
from engines.zoo.registry import model_path
from streamer.doctor.check import Check, Verdict, tried

# The smallest model that ships: whether a backend works does not depend on which one it opens.
_PROBE_MODEL = "yunet"
_REFERENCE = "onnxruntime"


def check_backends() -> Iterator[Check]:
    """Each backend opens a model and runs it."""
    for status in backend_statuses():
        essential = status.name == _REFERENCE
        if status.available:
            yield tried("engines", status.name, partial(_run_model, status.name), essential=essential)
        else:
            yield Check("engines", status.name, Verdict.ABSENT, status.detail, essential)


def check_detectors() -> Iterator[Check]:
    """Each detector is shown the portrait of a synthetic person."""
    for name in DETECTORS:
        essential = name == DETECTORS[0]
        check = tried("detectors", name, partial(_detect, name), essential=essential)
        # The detector of another package comes with neither that package nor its weights.
        is_absent = check.verdict is Verdict.FAILED and not essential and "package" in name
        yield replace(check, verdict=Verdict.ABSENT) if is_absent else check


def _run_model(backend: BackendName) -> str:
    with open_engine(model_path(_PROBE_MODEL), backend=backend) as engine:
        engine.warm_up()
        info = engine.describe()
    return f"{info.backend} runs {_PROBE_MODEL} on {info.device}"


def _detect(name: str) -> str:
    portrait = Codebook.load(model_path("codebook-v1")).person(0).appearance_rgb_u8
    detector = create_detector(name)
    try:
        start = time.perf_counter()
        faces = detector.detect(portrait)
        milliseconds = 1e3 * (time.perf_counter() - start)
    finally:
        detector.close()
    if len(faces) != 1:
        raise EngineError(f"{len(faces)} faces found in a portrait of one person")
    return f"finds the face of a portrait in {milliseconds:.0f} ms"
