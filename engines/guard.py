"""An engine with a deadline: a hung backend must not hang the stream, nor let a frame through."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping

from engines.contract import Engine, EngineInfo, Tensor, TensorSpec
from engines.errors import EngineError

_Result = dict[str, Tensor] | BaseException


class GuardedEngine(Engine):
    """Runs another engine in one worker thread and waits at most `timeout_seconds` for each answer.

    An engine that misses its deadline is given up for good: native code cannot be stopped, so its thread is
    left behind (a daemon, which does not keep the process alive) and every later call raises at once.
    Without that, each frame of a live stream would wait for the full time again.

    Args:
        engine: the engine to guard; used by the worker thread alone.
        timeout_seconds: above the slowest call of a healthy engine, warm-up included.
    """

    def __init__(self, engine: Engine, timeout_seconds: float) -> None:
        if not timeout_seconds > 0:
            raise EngineError(f"an engine's time limit must be above 0 s, not {timeout_seconds}")
        self._engine = engine
        self._timeout_seconds = timeout_seconds
        self._abandoned = False
        # One question at a time, or two callers could take each other's answers.
        self._turn = threading.Lock()
        self._tasks: queue.SimpleQueue[Mapping[str, Tensor] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.outputs

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with self._turn:
            return self._infer(inputs)

    def _infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self._abandoned:
            raise EngineError(
                f"the engine hung for over {self._timeout_seconds:g} s and is not used any more"
            )
        if self._worker is None:
            # Started late, so that an engine opened before a fork is guarded in the process that uses it.
            self._worker = threading.Thread(target=self._work, name="guarded-engine", daemon=True)
            self._worker.start()
        self._tasks.put(inputs)
        try:
            result = self._results.get(timeout=self._timeout_seconds)
        except queue.Empty:
            # Should an answer come yet, it stays in the queue, unread: nobody may take it for that of a later question.
            self._abandoned = True
            message = f"the engine gave no answer within {self._timeout_seconds:g} s and is given up"
            raise EngineError(message) from None
        if isinstance(result, EngineError):
            raise result
        if isinstance(result, BaseException):
            raise EngineError(f"the engine failed with {type(result).__name__}") from result
        return result

    @property
    def is_given_up(self) -> bool:
        return self._abandoned

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        """Let the worker end and close the engine; a hung engine is left alone."""
        if self._worker is not None:
            self._tasks.put(None)
        if not self._abandoned:
            self._abandoned = True
            self._engine.close()

    def _work(self) -> None:
        while (inputs := self._tasks.get()) is not None:
            try:
                self._results.put(self._engine.infer(inputs))
            except BaseException as error:
                self._results.put(error)
