"""The one contract every inference backend keeps: named tensors in, named tensors out.

A model wrapper (detector, landmarks, identity encoder, decoder) takes an `Engine` and never knows which
backend is behind it; tests hand in engines that fail on purpose. Wrappers call `checked_infer`, so that
whatever an engine does wrong (an exception of any kind, a missing output, NaN, infinity) reaches the caller
as one `EngineError`, on which the renderer masks the face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError

Tensor = npt.NDArray[Any]

# What a dynamic dimension is warmed up with when nothing better is known: one item, and a side every
# detector accepts.
WARM_UP_BATCH = 1
WARM_UP_SIDE_PX = 320


@dataclass(frozen=True)
class TensorSpec:
    """One graph input or output: its name, its shape (None where any size goes) and its numpy dtype name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class EngineInfo:
    """What runs a model: stated in reports, and what `veilstream doctor` prints."""

    backend: str
    device: str
    precision: str
    weights_sha256: str
    threads: int


class Engine(ABC):
    """One opened model. Not safe for use by two threads at a time; usable as a context manager."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs in order."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The graph's outputs in order."""

    @abstractmethod
    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once and return every output by name; the arrays are the caller's to keep.

        Raises:
            EngineError: an input is missing or does not fit, or the backend failed.
        """

    @abstractmethod
    def describe(self) -> EngineInfo:
        """Backend, device, precision and weights, as they are in use and not as they were asked for."""

    @property
    def is_given_up(self) -> bool:
        """True when it will never answer again, and is to be replaced by another where there is one."""
        return False

    def warm_up(self) -> None:
        """Run once on zeros, so that the first real frame does not pay for lazy set-up."""
        self.infer({spec.name: np.zeros(_warm_up_shape(spec), spec.dtype) for spec in self.inputs})

    def close(self) -> None:  # noqa: B027 - most backends hold nothing that the garbage collector does not free
        """Give back what the backend holds; the engine must not be used afterwards."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _warm_up_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Batch 1; free spatial dimensions at WARM_UP_SIDE_PX."""
    return tuple(
        size if size is not None else WARM_UP_BATCH if axis == 0 else WARM_UP_SIDE_PX
        for axis, size in enumerate(spec.shape)
    )


def checked_infer(
    engine: Engine, inputs: Mapping[str, Tensor], wanted: tuple[str, ...]
) -> tuple[Tensor, ...]:
    """The outputs `wanted`, in that order, all present and finite.

    Raises:
        EngineError: for any failure of the engine; the original exception is its cause. The message holds
            names and shapes only, never values.
    """
    try:
        outputs = engine.infer(inputs)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"the engine failed with {type(error).__name__}") from error
    results = []
    for name in wanted:
        if name not in outputs:
            raise EngineError(f"the engine gave no output {name!r}; it has {sorted(outputs)}")
        array = outputs[name]
        # min and max pass NaN and infinity on, and need no boolean array of the output's size.
        if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
            raise EngineError(f"the engine's output {name!r} {array.shape} is not finite")
        results.append(array)
    return tuple(results)


def weights_precision(names: set[str]) -> str:
    """`fp32`, `fp16` or `mixed`, from the dtype names of a graph's float inputs and outputs."""
    floats = {name for name in names if name.startswith("float")}
    if floats == {"float16"}:
        return "fp16"
    return "fp32" if floats <= {"float32"} else "mixed"
