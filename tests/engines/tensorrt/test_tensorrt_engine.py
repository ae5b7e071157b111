"""The TensorRT backend over the stand-in: same numbers as onnxruntime, buffers and contexts in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.zoo import registry

MODELS: dict[str, tuple[tuple[int, ...], float]] = {
    "retinaface-mnet025": ((1, 3, 96, 128), 128.0),
    "yunet": ((1, 3, 96, 128), 255.0),
    "centerface": ((1, 3, 96, 128), 255.0),
    "face-mesh": ((2, 192, 192, 3), 1.0),
    "iris": ((2, 64, 64, 3), 1.0),
    "sface": ((2, 3, 112, 112), 255.0),
    "decoder-v1": ((2, 12, 128, 128), 1.0),
}


def model_bytes(name: str) -> bytes:
    return registry.read_checked(registry.entry(name))


def random_inputs(name: str, rows: int | None = None) -> dict[str, Any]:
    shape, high = MODELS[name]
    shape = shape if rows is None else (rows, *shape[1:])
    array = np.random.default_rng(0).uniform(0, high, shape).astype(np.float32)
    return {next(iter(registry.entry(name).inputs)): array}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_what_onnxruntime_gives(standin: Any, name: str) -> None:
    reference = registry.open_model(name, backend="onnxruntime")
    with standin.open(model_bytes(name)) as engine:
        assert engine.inputs == reference.inputs
        assert engine.outputs == reference.outputs
        inputs = random_inputs(name)
        result = engine.infer(inputs)
        expected = reference.infer(inputs)
        assert result.keys() == expected.keys()
        for key, array in expected.items():
            assert np.abs(result[key] - array).max() < 1e-5 * max(1.0, float(np.abs(array).max()))
