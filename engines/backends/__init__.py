"""Open a model file with one of the inference backends."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engines.backends.choice import (
    BACKENDS,
    BackendName,
    BackendStatus,
    available_backends,
    backend_statuses,
    choose_backend,
)
from engines.contract import Engine
from engines.errors import EngineError, ModelMissingError

__all__ = [
    "BACKENDS",
    "BackendName",
    "BackendStatus",
    "available_backends",
    "backend_statuses",
    "choose_backend",
    "open_engine",
]


def open_engine(source: Path | str | bytes, *, backend: BackendName = "auto", threads: int = 1) -> Engine:
    """Open an ONNX model.

    Args:
        source: path of an ONNX file, or its bytes.
        backend: `auto` takes the fastest that can be used here, see `choose_backend`.
        threads: threads inside one operator, at least 1. One is right where several stages share the cores; a
            GPU has none of them.

    Raises:
        ModelMissingError: no file at that path.
        EngineError: unknown or missing backend, or a graph it refuses.
    """
    if threads < 1:
        raise EngineError(f"threads must be at least 1, not {threads}")
    chosen = choose_backend(backend).name
    if isinstance(source, bytes):
        return _open(source, chosen, threads)
    data = _read(Path(source))
    try:
        return _open(data, chosen, threads)
    except EngineError as error:
        raise EngineError(f"{source}: {error}") from error


def _open(data: bytes, chosen: BackendName, threads: int) -> Engine:
    sha256 = hashlib.sha256(data).hexdigest()
    if chosen == "openvino":
        from engines.backends.openvino_backend import OpenVinoEngine

        return OpenVinoEngine(data, weights_sha256=sha256, threads=threads)
    if chosen == "tensorrt":
        from engines.backends.tensorrt import TensorRtEngine

        return TensorRtEngine(data, weights_sha256=sha256)
    if chosen == "torch":
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
