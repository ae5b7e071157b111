"""How fast each model runs on each backend, and whether the backends agree.

Inputs are random, in the range each kind of model is given: what a convolution costs does not depend on the
picture, and noise is the harder test of agreement."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.backends import BackendName, open_engine
from engines.contract import Engine, Tensor, TensorSpec
from engines.errors import EngineError
from engines.zoo.registry import INT8_SUFFIX, Role, entries, entry, open_model

REFERENCE: BackendName = "onnxruntime"
# Largest difference to the reference that a float model may show on any output.
PARITY_LIMIT = 1e-3
BATCHES = (1, 4, 16)
# Height and width where a graph leaves them free: the 640x360 picture that detectors are shown, padded to their stride.
PICTURE_HW_PX = (384, 640)
_LEAST_RUNS = 5
_WARM_UP_RUNS = 2
_INPUT_RANGE: dict[Role, tuple[float, float]] = {
    "detector": (0.0, 255.0),
    "identity": (0.0, 255.0),
    "decoder": (-1.0, 1.0),
}
_OTHER_RANGE = (0.0, 1.0)


@dataclass(frozen=True)
class Latency:
    """Times of one call, milliseconds.

    Attributes:
        cpu_ms: mean processor time of all threads; the steadier figure while others use the machine.
    """

    model: str
    backend: str
    batch: int
    median_ms: float
    p95_ms: float
    cpu_ms: float
    runs: int


@dataclass(frozen=True)
class Comparison:
    """One model on one backend beside the reference.

    Attributes:
        difference: largest absolute difference over all outputs.
        problem: why there are no figures; empty when there are.
    """

    model: str
    backend: str
    difference: float = 0.0
    median_ms: float = 0.0
    reference_ms: float = 0.0
    problem: str = ""

    @property
    def agrees(self) -> bool:
        # Not "not above": NaN must fail.
        return not self.problem and self.difference < PARITY_LIMIT


def runnable_models() -> tuple[str, ...]:
    """Float models of the registry that ship with the package and are graphs.

    INT8 models are judged by their task (`veilstream calibrate int8`): backends round them at different places.
    """
    return tuple(
        item.name
        for item in entries().values()
        if item.embedded and item.inputs and not item.name.endswith(INT8_SUFFIX)
    )


def open_named(model: str, backend: BackendName, threads: int) -> Engine:
    """A registered model, or an ONNX file by its path. Raises EngineError."""
    if model.endswith(".onnx"):
        return open_engine(Path(model), backend=backend, threads=threads)
    if not entry(model).inputs:
        raise EngineError(f"{model} is no graph that can be run; there are: {', '.join(runnable_models())}")
    return open_model(model, backend=backend, threads=threads)


def example_inputs(model: str, specs: Sequence[TensorSpec], batch: int) -> dict[str, Tensor]:
    """Random inputs for a model; the same for the same arguments. A fixed first dimension stays as it is."""
    random = np.random.default_rng(0)
    low, high = _OTHER_RANGE if model.endswith(".onnx") else _INPUT_RANGE.get(entry(model).role, _OTHER_RANGE)
    return {spec.name: random.uniform(low, high, _shape(spec, batch)).astype(spec.dtype) for spec in specs}


def _shape(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    free = iter(PICTURE_HW_PX)
    sizes = []
    for axis, size in enumerate(spec.shape):
        sizes.append(size if size is not None else batch if axis == 0 else next(free, 1))
    return tuple(sizes)


def measure(model: str, backend: BackendName, batch: int, engine: Engine, *, seconds: float) -> Latency:
    """Run for about `seconds`, but at least a few times. Raises EngineError."""
    inputs = example_inputs(model, engine.inputs, batch)
    for _ in range(_WARM_UP_RUNS):
        engine.infer(inputs)
    walls: list[float] = []
    busy, start = time.process_time(), time.perf_counter()
    while len(walls) < _LEAST_RUNS or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        engine.infer(inputs)
        walls.append(time.perf_counter() - before)
    busy = time.process_time() - busy
    median, p95 = np.percentile(walls, (50, 95)) * 1e3
    return Latency(model, backend, batch, float(median), float(p95), 1e3 * busy / len(walls), runs=len(walls))


def bench(
    models: Sequence[str],
    backends: Sequence[BackendName],
    batches: Sequence[int] = BATCHES,
    *,
    threads: int = 1,
    seconds: float = 0.5,
) -> Iterator[Latency]:
    """Latencies, model by model, so that those to be compared are measured close together.

    Raises:
        EngineError: a model that cannot be opened or run.
    """
    for model in models:
        for backend in backends:
            with open_named(model, backend, threads) as engine:
                for batch in batches:
                    yield measure(model, backend, batch, engine, seconds=seconds)


def compare(
    models: Sequence[str],
    backends: Sequence[BackendName],
    *,
    batch: int = 2,
    threads: int = 1,
    seconds: float = 0.3,
) -> Iterator[Comparison]:
    """Each model on each backend beside onnxruntime in float. What fails is a row too, not the end.

    Raises:
        EngineError: the reference itself cannot run a model.
    """
    for model in models:
        with open_named(model, REFERENCE, threads) as reference:
            expected = reference.infer(example_inputs(model, reference.inputs, batch))
            reference_ms = measure(model, REFERENCE, batch, reference, seconds=seconds).median_ms
        for backend in backends:
            try:
                with open_named(model, backend, threads) as engine:
                    found = engine.infer(example_inputs(model, engine.inputs, batch))
                    median_ms = measure(model, backend, batch, engine, seconds=seconds).median_ms
                    difference = largest_difference(expected, found)
            except EngineError as error:
                yield Comparison(model, backend, problem=str(error))
                continue
            yield Comparison(model, backend, difference, median_ms, reference_ms)


def largest_difference(expected: dict[str, Tensor], found: dict[str, Tensor]) -> float:
    """Over all outputs; NaN where one of them holds NaN.

    Raises:
        EngineError: other outputs, or outputs of other shapes.
    """
    if expected.keys() != found.keys():
        raise EngineError(f"outputs {sorted(found)} are not {sorted(expected)}")
    for name, array in expected.items():
        if array.shape != found[name].shape:
            raise EngineError(f"output {name!r} is {found[name].shape}, not {array.shape}")
    # np.max passes NaN on, Python's max does not always.
    return float(np.max([np.abs(found[name] - array).max(initial=0.0) for name, array in expected.items()]))
