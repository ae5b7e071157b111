"""Open a model file with one of the inference backends."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Literal, get_args

from engines.contract import Engine
from engines.errors import EngineError, ModelMissingError

BackendName = Literal["auto", "onnxruntime", "openvino", "torch"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


def available_backends() -> tuple[str, ...]:
    """Backends whose package is installed here, the default first. Imports none of them."""
    return tuple(name for name in BACKENDS if name != "auto" and importlib.util.find_spec(name) is not None)


def open_engine(source: Path | str | bytes, *, backend: BackendName = "auto", threads: int = 1) -> Engine:
    """Open an ONNX model.

    Args:
        source: path of an ONNX file, or its bytes.
        backend: `auto` takes onnxruntime, which is always installed and the reference for the others.
        threads: threads inside one operator, at least 1. One is right where several stages share the cores.

    Raises:
        ModelMissingError: no file at that path.
        EngineError: unknown or missing backend, or a graph it refuses.
    """
    if threads < 1:
        raise EngineError(f"threads must be at least 1, not {threads}")
    if backend not in BACKENDS:
        raise EngineError(f"unknown engine backend {backend!r}; there are: {', '.join(BACKENDS)}")
    data = source if isinstance(source, bytes) else _read(Path(source))
    sha256 = hashlib.sha256(data).hexdigest()
    if backend == "openvino":
        from engines.backends.openvino_backend import OpenVinoEngine

        return OpenVinoEngine(data, weights_sha256=sha256, threads=threads)
    if backend == "torch":
        from engines.backends.torch_backend import TorchEngine

        return TorchEngine(data, weights_sha256=sha256, threads=threads)
    from engines.backends.onnxruntime_backend import OnnxRuntimeEngine

    return OnnxRuntimeEngine(data, weights_sha256=sha256, threads=threads)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelMissingError(f"no model file at {path}; give the path of an ONNX file") from None
    except OSError as error:
        raise EngineError(f"cannot read the model file {path}: {error.strerror}") from error
