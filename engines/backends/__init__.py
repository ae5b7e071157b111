"""Open a model file with one of the inference backends."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from engines.backends.choice import (
    BACKENDS,
    BackendName,
    BackendStatus,
    available_backends,
    backend_statuses,
    choose_backend,
)
from engines.backends.int8 import is_quantised
from engines.contract import Engine
from engines.errors import EngineError, ModelMissingError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from engines.backends.tensorrt.profiles import Profiles

__all__ = [
    "BACKENDS",
    "BackendName",
    "BackendStatus",
    "EngineOptions",
    "available_backends",
    "backend_statuses",
    "choose_backend",
    "open_engine",
    "read_model",
]


class EngineOptions(TypedDict, total=False):
    """How an engine is opened, whatever the model; what is not given has a default.

    Attributes:
        backend: `auto`, the default, takes the fastest that can be used here, see `choose_backend`.
        threads: threads inside one operator, at least 1, the default. One is right where several stages share the
            cores; a GPU has none of them.
        fp16: compute a float model in float16, which TensorRT alone does; a quantised one stays as it is.
        profiles: sizes a compiled plan must work for; backends that do not compile take any.
    """

    backend: BackendName
    threads: int
    fp16: bool
    profiles: Profiles


def open_engine(source: Path | str | bytes, **options: Unpack[EngineOptions]) -> Engine:
    """Open an ONNX model.

    Args:
        source: path of an ONNX file, or its bytes.
        options: see `EngineOptions`.

    Raises:
        ModelMissingError: no file at that path.
        EngineError: unknown or missing backend, or a graph it refuses.
    """
    if isinstance(source, bytes):
        return _open(source, **options)
    data = read_model(Path(source))
    try:
        return _open(data, **options)
    except EngineError as error:
        raise EngineError(f"{source}: {error}") from error


def _open(
    data: bytes,
    *,
    backend: BackendName = "auto",
    threads: int = 1,
    fp16: bool = False,
    profiles: Profiles | None = None,
) -> Engine:
    if threads < 1:
        raise EngineError(f"threads must be at least 1, not {threads}")
    chosen = choose_backend(backend).name
    if fp16 and chosen != "tensorrt":
        raise EngineError(f"{chosen} does not compute in float16; TensorRT does")
    sha256 = hashlib.sha256(data).hexdigest()
    if chosen == "openvino":
        from engines.backends.openvino_backend import OpenVinoEngine

        return OpenVinoEngine(data, weights_sha256=sha256, threads=threads)
    if chosen == "tensorrt":
        from engines.backends.tensorrt import Precision, TensorRtEngine

        precision: Precision = "fp16" if fp16 and not is_quantised(data) else "fp32"
        return TensorRtEngine(data, weights_sha256=sha256, precision=precision, profiles=profiles)
    if chosen == "torch":
        from engines.backends.torch_backend import TorchEngine

        return TorchEngine(data, weights_sha256=sha256, threads=threads)
    from engines.backends.onnxruntime_backend import OnnxRuntimeEngine

    return OnnxRuntimeEngine(data, weights_sha256=sha256, threads=threads)


def read_model(path: Path) -> bytes:
    """The bytes of a model file. Raises ModelMissingError, EngineError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelMissingError(f"no model file at {path}; give the path of an ONNX file") from None
    except OSError as error:
        raise EngineError(f"cannot read the model file {path}: {error.strerror}") from error
