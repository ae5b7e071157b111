"""How long a call takes, float and INT8 in turns, so that what else the machine does meets both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.int8 import Sample
from engines.contract import Engine

BATCHES = (1, 4, 16)
_ROUNDS = 12
# A slow model is not called so often: a round of all takes no longer than this where one call does not.
_SECONDS_PER_BATCH = 6.0


@dataclass(frozen=True)
class Latency:
    """Least CPU time of a call with `batch` rows, ms: on a shared machine the least is what the work itself takes."""

    batch: int
    float_ms: float
    int8_ms: float


def latencies(
    reference: Engine, tested: Engine, sample: Sample, batches: Sequence[int] = BATCHES
) -> list[Latency]:
    """Engines of one thread each; the sample is repeated to fill a batch."""
    return [_latency(reference, tested, sample, batch) for batch in batches]


def _latency(reference: Engine, tested: Engine, sample: Sample, batch: int) -> Latency:
    inputs = {name: np.repeat(array[:1], batch, axis=0) for name, array in sample.items()}
    best = [float("inf"), float("inf")]
    deadline = time.monotonic() + _SECONDS_PER_BATCH
    for number in range(_ROUNDS):
        for which, engine in enumerate((reference, tested)):
            milliseconds = _cpu_ms(engine, inputs)
            # The first call pays for lazy set-up.
            if number:
                best[which] = min(best[which], milliseconds)
        if number > 1 and time.monotonic() > deadline:
            break
    return Latency(batch, *best)


def _cpu_ms(engine: Engine, inputs: Sample) -> float:
    # Of the process: a backend may compute in a thread of its own.
    start = time.process_time()
    engine.infer(inputs)
    return 1000.0 * (time.process_time() - start)
