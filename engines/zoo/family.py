"""A user's own model file in the place of a registered one: opened only when it has the same inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engines.backends import EngineOptions, open_engine
from engines.contract import Engine, TensorSpec
from engines.errors import EngineError
from engines.zoo.registry import entry

if TYPE_CHECKING:
    from typing_extensions import Unpack


def open_like(path: Path, name: str, **options: Unpack[EngineOptions]) -> Engine:
    """Open an ONNX file that is to stand in for the registered model `name`.

    Without the look at its tensors, another model would open well and fail at every face: the output would be masked
    from the first frame to the last.

    Raises:
        ModelMissingError: no file at that path.
        EngineError: no ONNX file, or one of another family.
    """
    engine = open_engine(path, **options)
    item = entry(name)
    for kind, specs, stated in (
        ("input", engine.inputs, item.inputs),
        ("output", engine.outputs, item.outputs),
    ):
        problem = _difference(specs, stated)
        if problem:
            engine.close()
            raise EngineError(f"{path} is no {item.role} like {name}: {problem.format(kind=kind)}")
    return engine


def _difference(specs: Sequence[TensorSpec], stated: Mapping[str, Sequence[int | str]]) -> str:
    """What is missing or of another shape; further outputs do no harm. A free dimension fits every size."""
    found = {spec.name: spec.shape for spec in specs}
    for name, shape in stated.items():
        if name not in found:
            return f"it has no {{kind}} {name!r}, only {', '.join(sorted(found))}"
        fits = len(shape) == len(found[name]) and all(
            here is None or isinstance(there, str) or here == there
            for here, there in zip(found[name], shape, strict=True)
        )
        if not fits:
            return f"{{kind}} {name!r} is {found[name]}, not {tuple(shape)}"
    return ""
