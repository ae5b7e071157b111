"""A file that is no model, or the model of something else, is refused when it is opened, not at the first face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engines.decoder import FaceDecoder
from engines.detectors import create_detector
from engines.errors import EngineError, ModelMissingError
from engines.zoo import registry
from engines.zoo.family import open_like

WEIGHTS = registry.WEIGHTS_DIRECTORY


@pytest.mark.parametrize("name", ["decoder-v1", "retinaface-mnet025", "yunet", "centerface", "iris"])
def test_a_model_is_like_itself(name: str) -> None:
    with open_like(WEIGHTS / f"{name}.onnx", name) as engine:
        assert engine.describe().weights_sha256 == registry.entry(name).sha256


@pytest.mark.parametrize(
    ("file", "name", "said"),
    [
        ("yunet", "decoder-v1", "no input 'conditioning'"),
        ("decoder-v1", "yunet", "no input 'input'"),
        ("retinaface-mnet025", "yunet", "no output 'cls_8'"),
        ("iris", "face-mesh", "input 'input_1' is"),
    ],
)
def test_a_swapped_model_is_refused_with_one_line(file: str, name: str, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        open_like(WEIGHTS / f"{file}.onnx", name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def damaged(folder: Path, how: str) -> Path:
    data = (WEIGHTS / "decoder-v1.onnx").read_bytes()
    path = folder / "own.onnx"
    path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"<html></html>"}[how])
    return path


@pytest.mark.parametrize("how", ["truncated", "empty", "text"])
def test_a_damaged_file_is_refused_with_one_line(tmp_path: Path, how: str) -> None:
    path = damaged(tmp_path, how)
    opens: list[Any] = [FaceDecoder.open, lambda weights: create_detector("yunet", weights=weights)]
    for opened in opens:
        with pytest.raises(EngineError) as caught:
            opened(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_users_of_own_files_look_at_them_too() -> None:
    with pytest.raises(EngineError, match="decoder-v1"):
        FaceDecoder.open(WEIGHTS / "yunet.onnx")
    with pytest.raises(EngineError, match="retinaface"):
        create_detector("retinaface", weights=WEIGHTS / "yunet.onnx")
    with pytest.raises(ModelMissingError, match=r"none\.onnx"):
        FaceDecoder.open(Path("none.onnx"))
