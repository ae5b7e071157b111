"""`auto` takes the fastest backend that works here, and a GPU that is required is never replaced by a CPU."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engines.backends import available_backends, backend_statuses, choose_backend, open_engine
from engines.backends import choice as module
from engines.errors import EngineError


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that of the optional packages these alone are installed."""

    def pretend(*packages: str) -> None:
        for name in ("openvino", "tensorrt", "pycuda", "polygraphy", "torch", "onnx"):
            monkeypatch.setitem(sys.modules, name, SimpleNamespace() if name in packages else None)
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.3")

    return pretend


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, only: Any) -> None:
    """Pretends that TensorRT and a GPU are there."""
    only("tensorrt", "pycuda", "polygraphy", "openvino")
    monkeypatch.setattr(
        module, "_tensorrt_status", lambda: module.BackendStatus("tensorrt", True, "11.0 on NVIDIA L4")
    )


def test_without_extras_onnxruntime_is_taken(only: Any) -> None:
    only()
    assert choose_backend("auto").name == "onnxruntime"
    assert available_backends() == ("onnxruntime",)


def test_auto_takes_the_gpu_where_there_is_one(gpu: None) -> None:
    chosen = choose_backend("auto")
    assert (chosen.name, chosen.detail) == ("tensorrt", "11.0 on NVIDIA L4")
    assert choose_backend("auto", require_gpu=True).name == "tensorrt"


def test_on_a_cpu_onnxruntime_comes_before_openvino_and_torch_is_never_taken(only: Any) -> None:
    only("openvino", "torch", "onnx")
    assert choose_backend("auto").name == "onnxruntime"
    assert available_backends() == ("onnxruntime", "openvino", "torch")


@pytest.mark.parametrize("wanted", ["auto", "tensorrt"])
def test_a_required_gpu_that_is_not_there_is_one_line(only: Any, wanted: str) -> None:
    only()
    with pytest.raises(EngineError, match=r"GPU is required.*veilstream\[gpu\]") as caught:
        choose_backend(wanted, require_gpu=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["onnxruntime", "openvino", "torch"])
def test_a_cpu_backend_contradicts_a_required_gpu(gpu: None, wanted: str) -> None:
    with pytest.raises(EngineError, match=f"{wanted} computes on the CPU"):
        choose_backend(wanted, require_gpu=True)


def test_a_gpu_that_does_not_answer_is_reported_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, only: Any
) -> None:
    only("tensorrt", "pycuda", "polygraphy")
    refused = module.BackendStatus("tensorrt", False, "no NVIDIA GPU here")
    monkeypatch.setattr(module, "_tensorrt_status", lambda: refused)
    assert choose_backend("auto").name == "onnxruntime"
    with pytest.raises(EngineError, match="no NVIDIA GPU here"):
        choose_backend("tensorrt")
    with pytest.raises(EngineError, match="no NVIDIA GPU here"):
        choose_backend("auto", require_gpu=True)


@pytest.mark.parametrize("name", ["openvino", "torch", "tensorrt"])
def test_a_backend_that_is_not_installed_says_how_to_install_it(only: Any, name: Any) -> None:
    only()
    extra = "gpu" if name == "tensorrt" else name
    with pytest.raises(EngineError, match=rf"pip install 'veilstream\[{extra}\]'"):
        open_engine(b"", backend=name)


def test_every_backend_has_a_status_here() -> None:
    statuses = {status.name: status for status in backend_statuses()}
    assert statuses.keys() == {"onnxruntime", "openvino", "tensorrt", "torch"}
    assert statuses["onnxruntime"].available
    assert all(status.detail for status in statuses.values())


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EngineError, match=r"tpu.*onnxruntime"):
        choose_backend("tpu")
