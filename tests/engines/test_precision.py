"""`auto` computes in what was found to be fastest, and never in INT8 where that is not exact."""

from __future__ import annotations

from typing import Any

import pytest

from engines import precision as module
from engines.errors import EngineError
from engines.precision import choose_precision


@pytest.mark.parametrize(
    ("backend", "vnni", "chosen"),
    [
        ("tensorrt", True, "fp16"),
        ("tensorrt", False, "fp16"),
        ("onnxruntime", True, "int8"),
        ("onnxruntime", False, "float"),
        ("openvino", True, "int8"),
        ("openvino", False, "float"),
        ("torch", True, "float"),
    ],
)
def test_auto_follows_backend_and_processor(
    monkeypatch: pytest.MonkeyPatch, backend: Any, vnni: bool, chosen: str
) -> None:
    monkeypatch.setattr(module, "has_vnni", lambda: vnni)
    assert choose_precision("auto", backend) == chosen


@pytest.mark.parametrize("wanted", ["float", "int8"])
@pytest.mark.parametrize("backend", ["tensorrt", "onnxruntime", "openvino", "torch"])
def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch, wanted: str, backend: Any) -> None:
    monkeypatch.setattr(module, "has_vnni", lambda: False)
    assert choose_precision(wanted, backend) == wanted


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "torch"])
def test_float16_is_refused_where_nothing_computes_in_it(backend: Any) -> None:
    assert choose_precision("fp16", "tensorrt") == "fp16"
    with pytest.raises(EngineError, match=f"for TensorRT; {backend} computes in float or int8") as caught:
        choose_precision("fp16", backend)
    assert "\n" not in str(caught.value)


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match=r"'int4'; there are: auto, float, fp16, int8"):
        choose_precision("int4", "onnxruntime")
