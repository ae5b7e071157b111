"""Engines shared by several callers: what waits while they are busy goes through in one call.

Cameras of one process share their engines. Each has few faces at a time, and on a GPU one call with eight is far
cheaper than eight calls. On a CPU it costs the same, and there several engines of one model are what uses the cores:
one lane each. Nothing is gained by waiting for a fuller batch, and latency is lost; so there is no
timer: a caller that finds an engine free is served at once, alone, and those who come meanwhile are served
together as soon as one is free again. The busier the engines, the larger the batches (natural batching)."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from engines.contract import Engine, EngineInfo, Tensor, TensorSpec
from engines.errors import EngineError

_log = logging.getLogger(__name__)

# Names, dtypes and all dimensions but the first: requests whose signatures are equal can share a call.
_Signature = tuple[tuple[str, str, tuple[int, ...]], ...]


@dataclass(slots=True, eq=False)
class _Request:
    """One caller's question; `answer` appears once, under the lock of its engine.

    Attributes:
        rows: length of the batch axis.
        signature: None for a request that cannot share a call.
        taken: it is in a call that is running.
    """

    inputs: Mapping[str, Tensor]
    rows: int
    signature: _Signature | None
    taken: bool = False
    answer: dict[str, Tensor] | EngineError | None = None


class BatchingEngine(Engine):
    """Lets any number of threads use engines of one model, and joins what they ask along the batch axis (axis 0).

    No thread of its own: a caller that finds an engine free drives it, for the others too until its own
    answer is there. First come, first served: each call begins with the request that has waited longest and takes
    up, in order, those behind it that fit its shapes and `max_batch`. When a joint call fails, its requests are
    run one by one, so that one bad input costs only the caller who sent it. An engine that is given up gets no more
    requests as long as there is another: it would take most of them, being the first to be free each time.

    Put it around a `GuardedEngine`, not inside one, or its deadline would count the time in the queue.

    Args:
        engines: one, or several that hold the same model; each is used by one thread at a time.
        max_batch: rows of one call at most; a larger request goes through in pieces of that size.
    """

    def __init__(self, engines: Engine | Sequence[Engine], max_batch: int) -> None:
        if max_batch < 1:
            raise EngineError(f"the largest batch must be at least 1, not {max_batch}")
        self._engines = (engines,) if isinstance(engines, Engine) else tuple(engines)
        if not self._engines:
            raise EngineError("there is no engine to share")
        self._max_batch = max_batch
        # A graph with a fixed first dimension has no batch axis to join along.
        self._joins = all(spec.shape and spec.shape[0] is None for spec in self.inputs)
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._free = list(self._engines)
        self._given_up: list[Engine] = []
        self._closed = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._engines[0].inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._engines[0].outputs

    def describe(self) -> EngineInfo:
        return self._engines[0].describe()

    def warm_up(self) -> None:
        """Warm up every engine, each as soon as it is free."""
        for engine in self._engines:
            with self._changed:
                self._changed.wait_for(partial(self._can_be_taken, engine))
                if self._closed:
                    raise EngineError("the engine is closed")
                if engine in self._given_up:
                    continue
                self._free.remove(engine)
            try:
                engine.warm_up()
            finally:
                self._give_back(engine)

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As `Engine.infer`, from any thread; waits for the requests that came before.

        Raises:
            EngineError: this request failed, whatever became of those it shared a call with; or the engine was
                closed before its turn.
        """
        request = self._request(inputs)
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            self._waiting.append(request)
        while (turn := self._next_turn(request)) is not None:
            self._serve(*turn)
        if isinstance(request.answer, EngineError):
            raise request.answer
        assert request.answer is not None
        return request.answer

    def close(self) -> None:
        """Refuse those who wait, let the calls that are running end, and close the engines."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            for request in self._waiting:
                request.answer = EngineError("the engine was closed before this request had its turn")
            self._waiting.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._free) + len(self._given_up) == len(self._engines))
        for engine in self._engines:
            engine.close()

    def _request(self, inputs: Mapping[str, Tensor]) -> _Request:
        rows = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
        if not self._joins or len(rows) != 1 or 0 in rows:
            return _Request(inputs, 0, None)
        signature = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))
        return _Request(inputs, rows.pop(), signature)

    def _next_turn(self, own: _Request) -> tuple[Engine, list[_Request]] | None:
        """Wait until `own` is answered (None), or until an engine is this thread's, with what to run on it."""

        def is_due() -> bool:
            return own.answer is not None or (not own.taken and bool(self._free))

        with self._changed:
            self._changed.wait_for(is_due)
            if own.answer is not None:
                return None
            return self._free.pop(), self._take()

    def _can_be_taken(self, engine: Engine) -> bool:
        return self._closed or engine in (*self._free, *self._given_up)

    def _give_back(self, engine: Engine) -> None:
        with self._changed:
            is_last = len(self._given_up) == len(self._engines) - 1
            if engine.is_given_up and not is_last:
                self._given_up.append(engine)
                _log.error("an engine hangs; %d are left", len(self._engines) - len(self._given_up))
            else:
                self._free.append(engine)
            self._changed.notify_all()

    def _take(self) -> list[_Request]:
        """The request that has waited longest and those behind it that can share its call."""
        batch = [self._waiting.popleft()]
        rows = batch[0].rows
        for request in tuple(self._waiting) if batch[0].signature is not None else ():
            if request.signature != batch[0].signature:
                continue
            rows += request.rows
            if rows > self._max_batch:
                # Smaller ones further back do not overtake it.
                break
            batch.append(request)
            self._waiting.remove(request)
        for request in batch:
            request.taken = True
        return batch

    def _serve(self, engine: Engine, batch: list[_Request]) -> None:
        answers: Sequence[dict[str, Tensor] | EngineError] = ()
        try:
            answers = self._answers(engine, batch)
        finally:
            # Only what is no Exception, such as Ctrl-C in this thread, leads here without answers.
            answers = answers or [EngineError("the engine's call was interrupted")] * len(batch)
            with self._changed:
                for request, answer in zip(batch, answers, strict=True):
                    request.answer = answer
            self._give_back(engine)

    def _answers(self, engine: Engine, batch: list[_Request]) -> list[dict[str, Tensor] | EngineError]:
        if len(batch) > 1:
            try:
                return list(self._run_joined(engine, batch))
            except Exception:
                pass
        return [self._run_alone(engine, request) for request in batch]

    def _run_joined(self, engine: Engine, batch: list[_Request]) -> list[dict[str, Tensor]]:
        """One call for all; the answers are views of its outputs, each caller's rows."""
        joined = {
            name: np.concatenate([request.inputs[name] for request in batch]) for name in batch[0].inputs
        }
        ends = np.cumsum([request.rows for request in batch]).tolist()
        outputs = _checked_rows(engine.infer(joined), ends[-1])
        return [
            {name: array[end - request.rows : end] for name, array in outputs.items()}
            for request, end in zip(batch, ends, strict=True)
        ]

    def _run_alone(self, engine: Engine, request: _Request) -> dict[str, Tensor] | EngineError:
        try:
            if request.rows <= self._max_batch:
                return engine.infer(request.inputs)
            return self._run_in_pieces(engine, request)
        except EngineError as error:
            return error
        except Exception as error:
            refusal = EngineError(f"the engine failed with {type(error).__name__}")
            refusal.__cause__ = error
            return refusal

    def _run_in_pieces(self, engine: Engine, request: _Request) -> dict[str, Tensor]:
        pieces = []
        for start in range(0, request.rows, self._max_batch):
            end = min(start + self._max_batch, request.rows)
            part = {name: array[start:end] for name, array in request.inputs.items()}
            pieces.append(_checked_rows(engine.infer(part), end - start))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _checked_rows(outputs: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """The outputs, proven to have one row for each of the inputs'.

    Raises:
        EngineError: an output has another first dimension, so rows cannot be told apart by caller.
    """
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != rows:
            raise EngineError(
                f"the engine's output {name!r} {array.shape} has no row for each of {rows} inputs"
            )
    return outputs
