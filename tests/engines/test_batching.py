"""Several threads share an engine: joined, in order, each with its own answer and its own errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from engines.batching import BatchingEngine
from engines.contract import Tensor, TensorSpec
from engines.errors import EngineError
from engines.guard import GuardedEngine
from engines.zoo import registry

WAIT_SECONDS = 10
X = (TensorSpec("x", (None, None), "float32"),)


class Gate:
    """The function of a stub engine: doubles `x`; its calls can be held up, and are recorded.

    The engine must never be in two calls at once: that is an error here.
    """

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.calls: list[list[float]] = []
        self._inside = threading.Lock()

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        assert self._inside.acquire(blocking=False), "two calls at once"
        try:
            self.calls.append(inputs["x"][:, 0].tolist())
            self.entered.release()
            assert self.open.wait(WAIT_SECONDS)
            if (inputs["x"] < 0).any():
                raise ValueError("a negative number")
            return {"y": 2 * inputs["x"]}
        finally:
            self._inside.release()


def rows(*values: float, width: int = 2) -> dict[str, Tensor]:
    """One input whose rows are filled with `values`."""
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Callers:
    """Threads that wait in the engine, queued in a known order behind a call that is held up."""

    def __init__(self, engine: BatchingEngine, gate: Gate, pool: ThreadPoolExecutor) -> None:
        self.engine = engine
        self._pool = pool
        self._gate = gate
        self.first = pool.submit(engine.infer, rows(0))
        assert gate.entered.acquire(timeout=WAIT_SECONDS)

    def send(self, inputs: dict[str, Tensor]) -> Future[dict[str, Tensor]]:
        before = len(self.engine._waiting)
        future = self._pool.submit(self.engine.infer, inputs)
        wait_until(lambda: len(self.engine._waiting) > before)
        return future

    def release(self) -> None:
        self._gate.open.set()
        self.first.result(WAIT_SECONDS)


@pytest.fixture
def calling(stub_engine: Any) -> Callable[..., Any]:
    @contextmanager
    def make(max_batch: int = 8, specs: tuple[TensorSpec, ...] = X) -> Iterator[tuple[Gate, Callers, Any]]:
        gate = Gate()
        inner = stub_engine(gate, specs)
        with ThreadPoolExecutor(16) as pool:
            try:
                yield gate, Callers(BatchingEngine(inner, max_batch), gate, pool), inner
            finally:
                gate.open.set()

    return make


def test_a_caller_alone_is_served_at_once_and_unchanged(stub_engine: Any) -> None:
    gate = Gate()
    gate.open.set()
    engine = BatchingEngine(stub_engine(gate, X), 4)
    given = rows(1, 2)
    assert np.array_equal(engine.infer(given)["y"], 2 * given["x"])
    assert gate.calls == [[1, 2]]


def test_those_who_wait_share_one_call_and_get_their_own_rows(calling: Any) -> None:
    with calling() as (gate, callers, _):
        futures = [callers.send(rows(1)), callers.send(rows(2, 3)), callers.send(rows(4))]
        callers.release()
        answers = [future.result(WAIT_SECONDS)["y"][:, 0].tolist() for future in futures]
    assert gate.calls == [[0], [1, 2, 3, 4]]
    assert answers == [[2], [4, 6], [8]]


def test_other_shapes_go_through_in_calls_of_their_own_and_nobody_starves(calling: Any) -> None:
    with calling() as (gate, callers, _):
        futures = [
            callers.send(rows(value, width=width))
            for value, width in ((1, 2), (2, 3), (3, 2), (4, 3), (5, 4))
        ]
        callers.release()
        shapes = [future.result(WAIT_SECONDS)["y"].shape for future in futures]
    assert gate.calls == [[0], [1, 3], [2, 4], [5]]
    assert shapes == [(1, 2), (1, 3), (1, 2), (1, 3), (1, 4)]


def test_a_call_has_at_most_max_batch_rows_and_keeps_the_order(calling: Any) -> None:
    with calling(max_batch=3) as (gate, callers, _):
        futures = [callers.send(given) for given in (rows(1, 2), rows(3, 4), rows(5))]
        callers.release()
        for future in futures:
            future.result(WAIT_SECONDS)
    # 5 would fit beside 1 and 2, but 3 and 4 were there before.
    assert gate.calls == [[0], [1, 2], [3, 4, 5]]


def test_a_request_larger_than_max_batch_goes_through_in_pieces(stub_engine: Any) -> None:
    gate = Gate()
    gate.open.set()
    given = rows(*range(7))
    answer = BatchingEngine(stub_engine(gate, X), 3).infer(given)
    assert np.array_equal(answer["y"], 2 * given["x"])
    assert gate.calls == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_bad_input_fails_its_own_caller_only(calling: Any) -> None:
    with calling() as (gate, callers, _):
        futures = [callers.send(rows(1)), callers.send(rows(-2)), callers.send(rows(3))]
        callers.release()
        assert futures[0].result(WAIT_SECONDS)["y"][0, 0] == 2
        with pytest.raises(EngineError, match="ValueError"):
            futures[1].result(WAIT_SECONDS)
        assert futures[2].result(WAIT_SECONDS)["y"][0, 0] == 6
    assert gate.calls == [[0], [1, -2, 3], [1], [-2], [3]]


def test_nan_of_one_caller_stays_with_that_caller(calling: Any) -> None:
    with calling() as (gate, callers, _):
        bad, good = callers.send(rows(float("nan"))), callers.send(rows(3))
        callers.release()
        assert np.isnan(bad.result(WAIT_SECONDS)["y"]).all()
        assert good.result(WAIT_SECONDS)["y"][0, 0] == 6
    assert len(gate.calls) == 2


def test_outputs_without_a_row_per_input_are_not_split_wrongly(stub_engine: Any) -> None:
    """A graph that sums over the batch must not hand one caller another's data."""
    turn = threading.Event()
    entered = threading.Event()

    def summed(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        entered.set()
        assert turn.wait(WAIT_SECONDS)
        return {"y": inputs["x"].sum(axis=0, keepdims=True)}

    engine = BatchingEngine(stub_engine(summed, X), 8)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(engine.infer, rows(0))
        assert entered.wait(WAIT_SECONDS)
        others = [pool.submit(engine.infer, rows(value)) for value in (1, 2, 3)]
        wait_until(lambda: len(engine._waiting) == 3)
        turn.set()
        assert sorted(future.result(WAIT_SECONDS)["y"][0, 0] for future in [first, *others]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "specs", [(TensorSpec("x", (1, None), "float32"),), (TensorSpec("x", (), "float32"),)]
)
def test_a_graph_with_a_fixed_batch_is_never_joined(calling: Any, specs: tuple[TensorSpec, ...]) -> None:
    with calling(specs=specs) as (gate, callers, _):
        futures = [callers.send(rows(1)), callers.send(rows(2))]
        callers.release()
        for future in futures:
            future.result(WAIT_SECONDS)
    assert gate.calls == [[0], [1], [2]]


def test_closing_wakes_those_who_wait_and_lets_the_running_call_end(calling: Any) -> None:
    with calling() as (gate, callers, inner):
        futures = [callers.send(rows(value)) for value in (1, 2)]
        closer = threading.Thread(target=callers.engine.close)
        closer.start()
        for future in futures:
            with pytest.raises(EngineError, match="closed"):
                future.result(WAIT_SECONDS)
        assert not inner.closed
        callers.release()
        closer.join(WAIT_SECONDS)
        assert inner.closed
        assert gate.calls == [[0]]
        with pytest.raises(EngineError, match="closed"):
            callers.engine.infer(rows(1))
        callers.engine.close()


def test_several_engines_of_one_model_run_beside_each_other_each_by_one_thread(stub_engine: Any) -> None:
    gates = [Gate(), Gate()]
    inner = [stub_engine(gate, X) for gate in gates]
    engine = BatchingEngine(inner, 8)
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(engine.infer, rows(value)) for value in (1, 2)]
        for gate in gates:
            assert gate.entered.acquire(timeout=WAIT_SECONDS)
        later = []
        for value in (3, 4, 5):
            later.append(pool.submit(engine.infer, rows(value)))
            wait_until(lambda: len(engine._waiting) == len(later))
        # One is free again: it takes all that wait, while the other is still at its first call.
        gates[0].open.set()
        assert [future.result(WAIT_SECONDS)["y"][0, 0] for future in later] == [6, 8, 10]
        assert gates[0].calls[1:] == [[3, 4, 5]]
        assert len(gates[1].calls) == 1
        closer = threading.Thread(target=engine.close)
        closer.start()
        assert not any(one.closed for one in inner)
        gates[1].open.set()
        closer.join(WAIT_SECONDS)
        assert sorted(future.result(WAIT_SECONDS)["y"][0, 0] for future in first) == [2, 4]
    assert all(one.closed for one in inner)


def test_every_engine_is_warmed_up(stub_engine: Any) -> None:
    inner = [stub_engine(lambda inputs: {"y": inputs["x"]}, X) for _ in range(3)]
    with BatchingEngine(inner, 8) as engine:
        engine.warm_up()
        assert [one.calls for one in inner] == [1, 1, 1]
        assert engine.infer(rows(1))["y"][0, 0] == 1
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up()


def test_an_engine_that_hangs_gets_no_more_requests_while_there_is_another(stub_engine: Any) -> None:
    released = threading.Event()

    def hang(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        released.wait(WAIT_SECONDS)
        return {}

    healthy = stub_engine(lambda inputs: {"y": 2 * inputs["x"]}, X)
    # The last one is taken first.
    guarded = [GuardedEngine(healthy, WAIT_SECONDS), GuardedEngine(stub_engine(hang, X), 0.05)]
    try:
        with BatchingEngine(guarded, 4) as engine:
            with pytest.raises(EngineError, match="given up"):
                engine.infer(rows(1))
            for value in range(5):
                assert engine.infer(rows(value))["y"][0, 0] == 2 * value
            engine.warm_up()
        assert healthy.calls == 6
        assert healthy.closed
    finally:
        released.set()


def test_an_interrupt_in_the_driving_thread_leaves_the_engine_usable(stub_engine: Any) -> None:
    def interrupted_once(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if inputs["x"][0, 0] == 1:
            raise KeyboardInterrupt
        return {"y": inputs["x"]}

    engine = BatchingEngine(stub_engine(interrupted_once, X), 4)
    with pytest.raises(KeyboardInterrupt):
        engine.infer(rows(1))
    assert engine.infer(rows(2))["y"][0, 0] == 2


def test_a_batch_of_none_is_refused(stub_engine: Any) -> None:
    with pytest.raises(EngineError, match="largest batch"):
        BatchingEngine(stub_engine(Gate()), 0)
    with pytest.raises(EngineError, match="no engine"):
        BatchingEngine([], 1)


def test_a_crowd_of_threads_on_a_real_model_gets_the_right_answers() -> None:
    name = "iris"
    random = np.random.default_rng(0)
    questions = [random.uniform(0, 1, (1 + i % 3, 64, 64, 3)).astype(np.float32) for i in range(24)]
    reference = registry.open_model(name)
    with BatchingEngine(registry.open_model(name), 8) as engine, ThreadPoolExecutor(8) as pool:
        key = engine.inputs[0].name
        answers = list(pool.map(lambda x: engine.infer({key: x}), questions))
    for question, answer in zip(questions, answers, strict=True):
        for output, array in reference.infer({key: question}).items():
            np.testing.assert_allclose(answer[output], array, atol=1e-4)
