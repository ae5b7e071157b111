"""Engines that several streams share: opened once, as many side by side as the CPUs are good for."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from engines.contract import Engine, EngineInfo, TensorSpec
from streamer.engine_pool import EnginePool, lanes_for


class MeetingEngine(Engine):
    """Answers once as many calls are under way as the barrier wants."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier
        self.closed = False

    inputs = outputs = (TensorSpec("x", (None, 1), "float32"),)

    def infer(self, inputs: Any) -> dict[str, Any]:
        self._barrier.wait(10)
        return dict(inputs)

    def describe(self) -> EngineInfo:
        return EngineInfo("test", "cpu", "fp32", "0" * 64, 1)

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_lanes_of_a_model_work_at_the_same_time_and_are_all_closed() -> None:
    barrier = threading.Barrier(2)
    opened: list[MeetingEngine] = []

    def open_one() -> Engine:
        opened.append(MeetingEngine(barrier))
        return opened[-1]

    pool = EnginePool(max_batch=16, lanes=2)
    engine = pool.shared("model", open_one)
    assert pool.shared("model", open_one) is engine
    assert len(opened) == 2
    # Neither would come back alone.
    threads = [
        threading.Thread(target=engine.infer, args=({"x": np.ones((1, 1), np.float32)},)) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert not barrier.broken
    pool.close()
    assert all(item.closed for item in opened)


@pytest.mark.parametrize(
    ("streams", "cpus", "threads", "backend", "lanes"),
    [
        (4, 2, 1, "onnxruntime", 2),
        (1, 16, 1, "onnxruntime", 1),
        (4, 16, 2, "openvino", 4),
        (8, 8, 2, "onnxruntime", 4),
        (4, 1, 2, "onnxruntime", 1),
        (4, 16, 0, "onnxruntime", 1),
        (4, 16, 1, "tensorrt", 1),
    ],
)
def test_as_many_lanes_as_streams_and_cpus_are_good_for(
    monkeypatch: pytest.MonkeyPatch, streams: int, cpus: int, threads: int, backend: Any, lanes: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cpus)))
    monkeypatch.setattr("engines.processor.cpu_quota", lambda: None)
    assert lanes_for(streams, backend, threads) == lanes
