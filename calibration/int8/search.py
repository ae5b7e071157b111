"""Which layers stay in float: measured, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.errors import Int8Error
from calibration.int8.graph import FloatModel, open_float_model
from calibration.int8.quantise import quantised
from calibration.int8.ranges import Ranges, Sample, measure_ranges

Outputs = Mapping[str, npt.NDArray[Any]]
Run = Callable[[Sample], Outputs]
Opener = Callable[[bytes], Run]
"""Opens a model file's bytes; the result answers a sample with every graph output by name."""

ErrorOf = Callable[[Sequence[Outputs], Sequence[Outputs]], float]
"""Outputs of the float model and of the quantised one over the same samples -> one error, 0 for none."""

# Enough to put layers in order; the error that decides is measured on all.
SAMPLES_OF_A_LAYER = 8

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps there are."""


@dataclass(frozen=True)
class LayerError:
    """Error of the outputs when this layer alone is in INT8."""

    name: str
    error: float


@dataclass(frozen=True)
class Quantised:
    """A quantised model and how it came about.

    Attributes:
        model: bytes of the ONNX file.
        error: its error on the held-out samples.
        error_all: error with no layer left in float for its accuracy.
        layers: error of each layer alone, worst first.
        float_layers: those left in float for accuracy; `narrow_layers`, for speed.
        layer_count: convolutions in all.
    """

    model: bytes
    error: float
    error_all: float
    layers: tuple[LayerError, ...]
    float_layers: tuple[str, ...]
    narrow_layers: tuple[str, ...]
    layer_count: int


def relative_error(wanted: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """Root mean square of the difference over the standard deviation of what is wanted; the worst output's."""
    worst = 0.0
    for name in wanted[0]:
        truth = np.concatenate([item[name].ravel() for item in wanted]).astype(np.float64)
        answer = np.concatenate([item[name].ravel() for item in found]).astype(np.float64)
        spread = max(float(truth.std()), 1e-9)
        worst = max(worst, float(np.sqrt(np.mean((truth - answer) ** 2))) / spread)
    return worst


def quantise_model(
    model: bytes,
    calibration: Sequence[Sample],
    held_out: Sequence[Sample],
    *,
    open_model: Opener,
    most_error: float,
    error_of: ErrorOf = relative_error,
    on_progress: Progress = lambda done, steps: None,
) -> Quantised:
    """Quantise every convolution, then return the worst to float, one by one, until the error is small enough.

    Args:
        model: bytes of the float ONNX file.
        calibration: inputs that show what values activations take.
        held_out: other inputs, on which errors are measured.
        open_model: the runtime in which the model will be used.
        most_error: the largest error accepted, in units of `error_of`.

    Raises:
        Int8Error: a model that cannot be quantised, no inputs, or an error that nothing brings below `most_error`.
    """
    if not held_out:
        raise Int8Error("there is no input to measure the error on; give more footage with faces in it")
    source = open_float_model(model)
    ranges = measure_ranges(source, calibration)
    judge = _Judge(source, ranges, model, held_out, open_model, error_of)
    alone = []
    for number, name in enumerate(source.layers):
        alone.append(LayerError(name, judge.error(set(source.layers) - {name}, SAMPLES_OF_A_LAYER)))
        on_progress(number + 1, len(source.layers))
    alone.sort(key=lambda item: -item.error)
    error_all = error = judge.error(())
    kept: list[str] = []
    while error > most_error:
        if len(kept) + 1 >= len(alone):
            raise Int8Error(
                f"INT8 costs this model too much: its error is {error_all:.3g} and no choice of float layers "
                f"brings it to {most_error:.3g}"
            )
        kept.append(alone[len(kept)].name)
        error = judge.error(kept)
    return Quantised(
        model=quantised(source, ranges, kept),
        error=error,
        error_all=error_all,
        layers=tuple(alone),
        float_layers=tuple(kept),
        narrow_layers=source.narrow_layers,
        layer_count=len(source.layers) + len(source.narrow_layers),
    )


class _Judge:
    """The error that a choice of float layers leaves on the held-out samples."""

    def __init__(
        self,
        source: FloatModel,
        ranges: Ranges,
        model: bytes,
        held_out: Sequence[Sample],
        open_model: Opener,
        error_of: ErrorOf,
    ) -> None:
        self._source = source
        self._ranges = ranges
        self._held_out = held_out
        self._open = open_model
        self._error_of = error_of
        run = open_model(model)
        self._wanted = [run(sample) for sample in held_out]

    def error(self, float_layers: Collection[str], samples: int | None = None) -> float:
        """On the first `samples`, or on all."""
        run = self._open(quantised(self._source, self._ranges, float_layers))
        error = self._error_of(self._wanted[:samples], [run(sample) for sample in self._held_out[:samples]])
        # NaN would count as small enough.
        return error if np.isfinite(error) else float("inf")
