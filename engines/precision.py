"""What models compute in: as asked for, or what suits the backend and the processor."""

from __future__ import annotations

from typing import Literal, get_args

from engines.backends.choice import BackendName
from engines.errors import EngineError
from engines.processor import has_vnni

Precision = Literal["float", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def choose_precision(wanted: str, backend: BackendName) -> Precision:
    """The precision to open models in.

    Args:
        wanted: `float` takes the models as they are, `fp16` converts them (TensorRT alone), `int8` takes the quantised
            version of each model that has one, the others in float. `auto` is `fp16` on TensorRT, `int8` in
            onnxruntime and OpenVINO on a CPU with VNNI, where it was measured to be faster, else `float`.
        backend: the one that was chosen, not `auto`.

    Raises:
        EngineError: unknown, or not for this backend.
    """
    if wanted == "auto":
        if backend == "tensorrt":
            return "fp16"
        return "int8" if backend in ("onnxruntime", "openvino") and has_vnni() else "float"
    chosen = next((name for name in PRECISIONS if name == wanted), None)
    if chosen is None:
        raise EngineError(f"unknown precision {wanted!r}; there are: auto, {', '.join(PRECISIONS)}")
    if chosen == "fp16" and backend != "tensorrt":
        raise EngineError(
            f"precision fp16 is for TensorRT; {backend} computes in float or int8: give one of them, or auto"
        )
    return chosen
