"""A hung engine costs one deadline, once, and never a frame."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from engines.contract import checked_infer
from engines.errors import EngineError
from engines.guard import GuardedEngine


def answer(inputs: Any) -> dict[str, Any]:
    return {"y": np.array([1.0])}


def test_the_answer_is_passed_on(stub_engine: Any) -> None:
    with GuardedEngine(stub_engine(answer), 5.0) as guarded:
        for _ in range(3):
            assert guarded.infer({})["y"] == [1.0]
        assert guarded.describe().backend == "stub"


def test_a_hung_engine_is_given_up_after_one_deadline(stub_engine: Any) -> None:
    release = threading.Event()

    def hang(inputs: Any) -> dict[str, Any]:
        release.wait(20)
        return {}

    engine = stub_engine(hang)
    guarded = GuardedEngine(engine, 0.1)
    started = time.monotonic()
    with pytest.raises(EngineError, match="given up"):
        guarded.infer({})
    assert time.monotonic() - started < 5
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(EngineError, match="not used any more"):
            guarded.infer({})
    assert time.monotonic() - started < 0.1
    assert engine.calls == 1
    release.set()


def test_a_late_answer_is_never_taken_for_a_later_one(stub_engine: Any) -> None:
    """After a deadline was missed, what still comes belongs to another frame."""

    def late(inputs: Any) -> dict[str, Any]:
        time.sleep(0.2)
        return {"y": inputs["x"]}

    guarded = GuardedEngine(stub_engine(late), 0.05)
    with pytest.raises(EngineError):
        guarded.infer({"x": np.array([1.0])})
    time.sleep(0.3)
    with pytest.raises(EngineError):
        guarded.infer({"x": np.array([2.0])})


@pytest.mark.parametrize("error", [ValueError("secret"), EngineError("refused"), SystemExit(3)])
def test_a_failure_is_an_engine_error_and_the_next_call_works(stub_engine: Any, error: Any) -> None:
    failures = [error]

    def once(inputs: Any) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return answer(inputs)

    guarded = GuardedEngine(stub_engine(once), 5.0)
    with pytest.raises(EngineError) as caught:
        guarded.infer({})
    assert "secret" not in str(caught.value)
    assert guarded.infer({})["y"] == [1.0]
    guarded.close()


def test_closing_ends_the_thread_and_the_engine(stub_engine: Any) -> None:
    engine = stub_engine(answer)
    before = set(threading.enumerate())
    guarded = GuardedEngine(engine, 5.0)
    guarded.infer({})
    (worker,) = set(threading.enumerate()) - before
    guarded.close()
    worker.join(5)
    assert not worker.is_alive()
    assert engine.closed
    with pytest.raises(EngineError):
        guarded.infer({})


def test_the_guard_is_cheap(stub_engine: Any) -> None:
    guarded = GuardedEngine(stub_engine(answer), 5.0)
    guarded.infer({})
    fastest = min(_seconds(guarded) for _ in range(200))
    guarded.close()
    assert fastest < 1e-3


def _seconds(guarded: GuardedEngine) -> float:
    started = time.perf_counter()
    guarded.infer({})
    return time.perf_counter() - started


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_deadline_must_be_a_time(stub_engine: Any, seconds: float) -> None:
    with pytest.raises(EngineError, match="time limit"):
        GuardedEngine(stub_engine(answer), seconds)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda inputs: {}, "no output 'y'"),
        (lambda inputs: {"y": np.array([1.0, np.nan])}, "not finite"),
        (lambda inputs: {"y": np.array([-np.inf])}, "not finite"),
        (lambda inputs: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_every_wrong_answer_is_one_kind_of_error(stub_engine: Any, function: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        checked_infer(stub_engine(function), {}, ("y",))


def test_good_outputs_come_in_the_order_asked_for(stub_engine: Any) -> None:
    arrays = {"a": np.zeros(2), "b": np.ones(3), "empty": np.zeros((0, 4))}
    b, a, empty = checked_infer(stub_engine(lambda inputs: arrays), {}, ("b", "a", "empty"))
    assert b is arrays["b"]
    assert a is arrays["a"]
    assert empty.shape == (0, 4)
