"""An engine that is asked the same twice answers from memory, and nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engines.contract import Engine, EngineInfo, Tensor, TensorSpec
from engines.remember import RememberingEngine


class _Counting(Engine):
    asked = 0
    closed = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("x", (None, 2), "float32"),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("y", (None, 2), "float32"),)

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.asked += 1
        return {"y": inputs["x"] + 1}

    def describe(self) -> EngineInfo:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def _ask(engine: Engine, value: float) -> float:
    return float(engine.infer({"x": np.full((1, 2), value, np.float32)})["y"][0, 0])


def test_the_same_question_is_asked_once() -> None:
    inner = _Counting()
    engine = RememberingEngine(inner)
    assert [_ask(engine, value) for value in (1, 2, 1, 2, 1)] == [2, 3, 2, 3, 2]
    assert inner.asked == 2
    # As many numbers in another shape are another question.
    assert engine.infer({"x": np.full((2, 1), 1, np.float32)})["y"].shape == (2, 1)
    assert inner.asked == 3


def test_an_answer_that_the_caller_changes_is_not_the_one_remembered() -> None:
    engine = RememberingEngine(_Counting())
    question = {"x": np.zeros((1, 2), np.float32)}
    engine.infer(question)["y"][:] = 9
    assert engine.infer(question)["y"].tolist() == [[1, 1]]


def test_only_a_few_answers_are_kept() -> None:
    inner = _Counting()
    engine = RememberingEngine(inner)
    for value in (*range(10), 0):
        _ask(engine, value)
    assert inner.asked == 11
    engine.close()
    assert inner.closed
