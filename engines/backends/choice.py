"""Which backends work here, and which of them `auto` takes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass
from typing import Literal, get_args

from engines.errors import EngineError

BackendName = Literal["auto", "onnxruntime", "openvino", "tensorrt", "torch"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
# `auto` takes the first that can be used. Where it was measured, openvino needs between the time of onnxruntime
# and 1.8 times as much, and longer to open a model (docs/benchmarks.md, Engines). torch is never taken by itself.
FASTEST_FIRST: tuple[BackendName, ...] = ("tensorrt", "onnxruntime", "openvino")
_EXTRAS = {"openvino": "openvino", "tensorrt": "gpu", "torch": "torch"}
_PACKAGES = {"tensorrt": ("tensorrt", "pycuda", "polygraphy"), "torch": ("torch", "onnx")}


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can be used here.

    Attributes:
        detail: version and device, or the reason why not and what would help.
    """

    name: BackendName
    available: bool
    detail: str


def backend_status(name: BackendName) -> BackendStatus:
    """Look for a backend's packages, and for `tensorrt` for a GPU. Opens no model."""
    packages = _PACKAGES.get(name, (name,))
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        remedy = f"pip install 'veilstream[{_EXTRAS[name]}]'" if name in _EXTRAS else "reinstall veilstream"
        return BackendStatus(name, False, f"{missing[0]} is not installed; {remedy}")
    if name == "tensorrt":
        return _tensorrt_status()
    return BackendStatus(name, True, f"{importlib.metadata.version(packages[0])} on the CPU")


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def _tensorrt_status() -> BackendStatus:
    from engines.backends.tensorrt.bindings import import_driver, import_tensorrt

    try:
        version = import_tensorrt().__version__
        gpu = import_driver().Device(0).name()
    except EngineError as error:
        return BackendStatus("tensorrt", False, str(error))
    return BackendStatus("tensorrt", True, f"{version} on {gpu}")


def backend_statuses() -> tuple[BackendStatus, ...]:
    """Of all backends."""
    return tuple(backend_status(name) for name in BACKENDS if name != "auto")


def available_backends() -> tuple[BackendName, ...]:
    """Those that can be used here, the fastest first and the reference last."""
    here = {status.name for status in backend_statuses() if status.available}
    return tuple(name for name in (*FASTEST_FIRST, "torch") if name in here)


def choose_backend(wanted: str = "auto", *, require_gpu: bool = False) -> BackendStatus:
    """The backend to use: the one that is wanted, or for `auto` the fastest that can be used.

    Args:
        require_gpu: refuse to compute on the CPU.

    Raises:
        EngineError: unknown, not usable here, or not on a GPU where one is required.
    """
    if wanted not in BACKENDS:
        raise EngineError(f"unknown engine backend {wanted!r}; there are: {', '.join(BACKENDS)}")
    if require_gpu:
        if wanted not in ("auto", "tensorrt"):
            raise EngineError(f"a GPU is required, but {wanted} computes on the CPU; use tensorrt or auto")
        status = backend_status("tensorrt")
        if not status.available:
            raise EngineError(f"a GPU is required, but TensorRT cannot be used: {status.detail}")
        return status
    if wanted != "auto":
        status = next(backend_status(name) for name in BACKENDS if name == wanted)
        if not status.available:
            raise EngineError(f"the {wanted} backend cannot be used: {status.detail}")
        return status
    statuses = (backend_status(name) for name in FASTEST_FIRST)
    chosen = next((status for status in statuses if status.available), None)
    if chosen is None:
        raise EngineError("no engine backend can be used; reinstall veilstream")
    return chosen
