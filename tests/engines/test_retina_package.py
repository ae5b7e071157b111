"""The optional retina-face package: never imported unasked, never left to download by itself."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.contract import TensorSpec
from engines.detectors import create_detector
from engines.detectors.retina_package import RetinaPackageDetector
from engines.errors import EngineError, ModelMissingError


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for the package that runs the model it is handed and reports one face."""
    seen: dict[str, Any] = {}

    def detect_faces(picture: Any, *, threshold: float, model: Any, allow_upscaling: bool) -> dict[str, Any]:
        seen.update(picture=picture, threshold=threshold, upscaling=allow_upscaling)
        seen["maps"] = model(picture[None, ..., ::-1].astype(np.float64))
        landmarks = {"right_eye": [10, 12], "left_eye": [20, 12], "nose": [15, 18]}
        landmarks |= {"mouth_left": [19, 24], "mouth_right": [11, 24]}
        return {"face_1": {"score": 0.95, "facial_area": [5, 5, 25, 30], "landmarks": landmarks}}

    module, part = types.ModuleType("retinaface"), types.ModuleType("retinaface.RetinaFace")
    part.detect_faces = detect_faces  # type: ignore[attr-defined]
    module.RetinaFace = part  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "retinaface", module)
    monkeypatch.setitem(sys.modules, "retinaface.RetinaFace", part)
    return seen


def test_faces_of_the_package_come_as_detections(package: dict[str, Any], stub_engine: Any) -> None:
    def infer(inputs: Any) -> dict[str, Any]:
        assert inputs["input"].dtype == np.float32
        return {"a": np.zeros((1, 2, 2, 4), np.float32)}

    class Engine(stub_engine):  # type: ignore[misc]
        outputs = (TensorSpec("a", (None, None, None, 4), "float32"),)

    engine = Engine(infer, inputs=(TensorSpec("input", (None, None, None, 3), "float32"),))
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[..., 0] = 200
    (face,) = RetinaPackageDetector(engine, score_threshold=0.7).detect(picture)
    assert face.box_xyxy_px.tolist() == [5, 5, 25, 30]
    assert face.points_xy_px.tolist() == [[10, 12], [20, 12], [15, 18], [11, 24], [19, 24]]
    assert package["threshold"] == 0.7
    assert package["picture"][0, 0].tolist() == [0, 0, 200]
    assert package["upscaling"] is False
    assert len(package["maps"]) == 1


def test_missing_weights_say_where_to_put_them(
    package: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(ModelMissingError, match=r"\.deepface/weights/retinaface\.onnx"):
        create_detector("retina-face-package")


def test_a_missing_package_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retinaface", None)
    with pytest.raises(EngineError, match=r"pip install 'veilstream\[retina\]'"):
        create_detector("retina-face-package")


def test_the_other_package_of_that_name_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retinaface", types.ModuleType("retinaface"))
    monkeypatch.delitem(sys.modules, "retinaface.RetinaFace", raising=False)
    with pytest.raises(EngineError, match="cannot be imported"):
        create_detector("retina-face-package")
