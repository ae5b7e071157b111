"""Engines opened once and shared: the cameras of a gateway run the same models."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engines.backends import BackendName
from engines.batching import BatchingEngine
from engines.contract import Engine
from engines.processor import usable_cpus


class EnginePool:
    """Opens each engine at its first use. What several threads ask of one meanwhile goes through in one call.

    Args:
        max_batch: rows of one call at most.
        lanes: engines of each model side by side, see `lanes_for`.
    """

    def __init__(self, max_batch: int, lanes: int = 1) -> None:
        self._max_batch = max_batch
        self._lanes = lanes
        self._engines: dict[str, BatchingEngine] = {}
        self._mutex = threading.Lock()

    def shared(self, key: str, open_one: Callable[[], Engine]) -> Engine:
        """The engine known by `key`, opened by `open_one` when there is none yet. Raises what that raises."""
        with self._mutex:
            if key not in self._engines:
                engine = BatchingEngine([open_one() for _ in range(self._lanes)], self._max_batch)
                # Live frames do not wait for what an engine does at its first call.
                engine.warm_up()
                self._engines[key] = engine
            return self._engines[key]

    def close(self) -> None:
        """Close them all; a call that is running ends first."""
        with self._mutex:
            engines, self._engines = list(self._engines.values()), {}
        for engine in engines:
            engine.close()


def lanes_for(streams: int, backend: BackendName, threads: int) -> int:
    """How many engines of each model several streams share.

    On a CPU one engine keeps one core busy (times its threads), however many wait for it; further ones cost little
    memory. A GPU is kept busy by larger batches.

    Args:
        streams: cameras at work at the same time.
        backend: what the engines run on.
        threads: of each engine; 0 for all CPUs.
    """
    if backend == "tensorrt" or not threads:
        return 1
    return max(1, min(streams, usable_cpus() // threads))
