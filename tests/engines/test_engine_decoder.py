"""The decoder's wrapper passes on exactly the three outputs of the right shapes, or raises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.decoder import FaceDecoder
from engines.errors import EngineError, ModelMissingError


def outputs(count: int) -> dict[str, Any]:
    return {
        "fields": np.zeros((count, 6, 16, 16), np.float32),
        "mask": np.ones((count, 1, 128, 128), np.float32),
        "fill": np.zeros((count, 3, 128, 128), np.float32),
    }


def conditioning(count: int) -> Any:
    return np.zeros((count, 12, 128, 128), np.float32)


@pytest.mark.parametrize("count", [1, 3])
def test_outputs_come_by_name(stub_engine: Any, count: int) -> None:
    result = FaceDecoder(stub_engine(lambda inputs: outputs(len(inputs["conditioning"])))).run(
        conditioning(count)
    )
    assert result.fields.shape == (count, 6, 16, 16)
    assert result.mask.shape == (count, 1, 128, 128)
    assert result.mask.min() == 1
    assert result.fill.shape == (count, 3, 128, 128)


def test_no_faces_are_no_work(stub_engine: Any) -> None:
    engine = stub_engine(lambda inputs: {})
    assert FaceDecoder(engine).run(conditioning(0)).fill.shape == (0, 3, 128, 128)
    assert engine.calls == 0


@pytest.mark.parametrize("name", ["fields", "mask", "fill"])
def test_a_missing_misshapen_or_infinite_output_is_an_error(stub_engine: Any, name: str) -> None:
    missing = {key: value for key, value in outputs(1).items() if key != name}
    misshapen = {**outputs(1), name: np.zeros((1, 2, 8, 8), np.float32)}
    infinite = outputs(1)
    infinite[name].flat[3] = -np.inf
    for broken in (missing, misshapen, infinite):
        with pytest.raises(EngineError, match=name):
            FaceDecoder(stub_engine(lambda inputs, broken=broken: broken)).run(conditioning(1))


@pytest.mark.parametrize("shape", [(12, 128, 128), (1, 11, 128, 128), (1, 12, 256, 256)])
def test_other_conditioning_is_refused(stub_engine: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError, match="expected"):
        FaceDecoder(stub_engine(lambda inputs: outputs(1))).run(np.zeros(shape, np.float32))


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"other\.onnx"):
        FaceDecoder.open(tmp_path / "other.onnx")
