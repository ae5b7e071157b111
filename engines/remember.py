"""An engine that is not asked twice: audits show the same picture to the same model once for each row of a table."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

from engines.contract import Engine, EngineInfo, Tensor, TensorSpec

_ANSWERS = 4


class RememberingEngine(Engine):
    """Keeps the last few answers in memory, under a hash of the question.

    Not for the product: it would hold codes of real faces for longer than a draw takes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answers: OrderedDict[bytes, dict[str, Tensor]] = OrderedDict()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.outputs

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        question = _hash_of(inputs)
        if question not in self._answers:
            self._answers[question] = self._engine.infer(inputs)
            if len(self._answers) > _ANSWERS:
                self._answers.popitem(last=False)
        self._answers.move_to_end(question)
        # Answers are the caller's to change.
        return {name: array.copy() for name, array in self._answers[question].items()}

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        self._answers.clear()
        self._engine.close()


def _hash_of(inputs: Mapping[str, Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(inputs):
        array = inputs[name]
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.digest()
