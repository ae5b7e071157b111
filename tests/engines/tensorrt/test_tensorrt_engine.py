"""The TensorRT backend over the stand-in: same numbers as onnxruntime, buffers and contexts in order."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engines.contract import checked_infer
from engines.errors import EngineError
from engines.guard import GuardedEngine
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


def small_model() -> bytes:
    """Relu of x, (batch, 4) float32, written by hand: tests need no onnx package."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    def value(name: bytes) -> bytes:
        batch, columns = field(1, field(2, b"batch")), field(1, b"\x08\x04")
        return field(1, name) + field(2, field(1, b"\x08\x01" + field(2, batch + columns)))

    node = field(1, b"x") + field(2, b"y") + field(4, b"Relu")
    graph = field(1, node) + field(2, b"small") + field(11, value(b"x")) + field(12, value(b"y"))
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11")


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


@pytest.mark.parametrize("standin", ["10.0.1", "10.16.1.11", "11.0.0.114", "11.4.0.106"], indirect=True)
def test_one_code_path_for_both_major_versions(standin: Any) -> None:
    """The stand-in of each version has that version's names alone, and insists on strongly typed networks."""
    inputs = random_inputs("iris")
    expected = registry.open_model("iris", backend="onnxruntime").infer(inputs)
    with standin.open(model_bytes("iris")) as engine:
        result = engine.infer(inputs)
        assert engine.describe().backend == f"tensorrt {standin.trt.__version__}"
    assert all(np.allclose(result[key], array, atol=1e-4) for key, array in expected.items())
    (build,) = standin.trt.faults.builds
    assert not build["tf32"]


def test_what_runs_the_model_is_said(standin: Any) -> None:
    with standin.open(model_bytes("iris")) as engine:
        info = engine.describe()
    assert info.weights_sha256 == registry.entry("iris").sha256
    assert (info.device, info.precision, info.threads) == ("cuda:0 Stand-in GPU", "fp32", 1)


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 40])
def test_any_number_of_faces_goes_through_in_one_call(standin: Any, rows: int) -> None:
    """More rows than the plan's largest batch go through in parts; nobody is left out."""
    inputs = random_inputs("iris", rows)
    expected = registry.open_model("iris", backend="onnxruntime").infer(inputs)
    with standin.open(model_bytes("iris")) as engine:
        result = engine.infer(inputs)
    for key, array in expected.items():
        assert result[key].shape == array.shape
        assert np.abs(result[key] - array).max() < 1e-4 * max(1.0, float(np.abs(array).max()))


def test_pictures_of_changing_size(standin: Any) -> None:
    reference = registry.open_model("yunet", backend="onnxruntime")
    with standin.open(model_bytes("yunet")) as engine:
        for height, width in ((96, 128), (64, 64), (96, 128), (128, 160)):
            picture = np.random.default_rng(height).uniform(0, 255, (1, 3, height, width)).astype(np.float32)
            result, expected = (each.infer({"input": picture}) for each in (engine, reference))
            assert all(np.allclose(result[key], array, atol=1e-4) for key, array in expected.items())


@pytest.mark.parametrize(
    "shape", [(1, 3, 16, 64), (1, 3, 64, 1312), (0, 3, 64, 64)], ids=["low", "wide", "empty"]
)
def test_what_the_plan_was_not_built_for_is_refused_with_one_line(
    standin: Any, shape: tuple[int, ...]
) -> None:
    with standin.open(model_bytes("yunet")) as engine:
        with pytest.raises(EngineError, match=r"\(1, 3, 32, 32\) to \(4, 3, 1280, 1280\)$") as caught:
            engine.infer({"input": np.zeros(shape, np.float32)})
        assert "\n" not in str(caught.value)
        assert engine.infer({"input": np.zeros((1, 3, 64, 64), np.float32)})


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"data": np.zeros((1, 3, 112, 111), np.float32)},
        {"data": np.zeros((1, 3, 112, 112), np.uint8)},
        {"other": np.zeros((1, 3, 112, 112), np.float32)},
    ],
    ids=["none", "shape", "dtype", "name"],
)
def test_inputs_that_do_not_fit_are_refused_before_the_gpu_sees_them(standin: Any, inputs: Any) -> None:
    with standin.open(small_model()) as engine, pytest.raises(EngineError, match="'x'"):
        engine.infer(inputs)


def test_arrays_with_gaps_are_taken(standin: Any) -> None:
    array = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    with standin.open(small_model()) as engine:
        assert np.array_equal(engine.infer({"x": array[::2]})["y"], np.maximum(array[::2], 0))


def test_outputs_are_the_callers_to_keep(standin: Any) -> None:
    ones = np.ones((2, 4), np.float32)
    with standin.open(small_model()) as engine:
        first = engine.infer({"x": ones})["y"]
        engine.infer({"x": 3 * ones})
    assert np.array_equal(first, ones)


def test_buffers_are_kept_between_calls(standin: Any) -> None:
    with standin.open(small_model()) as engine:
        for rows in (8, 1, 8, 4):
            engine.infer({"x": np.ones((rows, 4), np.float32)})
        assert standin.machine.allocations == 2
        engine.infer({"x": np.ones((9, 4), np.float32)})
        assert standin.machine.allocations == 4


def test_calls_of_the_same_shapes_are_captured_and_launched_whole(standin: Any) -> None:
    machine = standin.machine
    generator = np.random.default_rng(0)
    with standin.open(small_model()) as engine:
        for rows, calls in ((2, 6), (3, 2), (2, 5)):
            for _ in range(calls):
                array = generator.normal(size=(rows, 4)).astype(np.float32)
                assert np.array_equal(engine.infer({"x": array})["y"], np.maximum(array, 0))
    # Captured after the third call in a row, so 3 of 6, none of 2 and 2 of 5 were launches.
    assert (machine.captures, machine.launches) == (2, 5)


@pytest.mark.parametrize("where", ["driver", "network"])
def test_what_cannot_be_captured_is_called_piece_by_piece(standin: Any, where: str) -> None:
    if where == "driver":
        standin.machine.fail_capture = 900
    else:
        standin.trt.faults.capture_breaks_execute = True
    with standin.open(small_model()) as engine:
        for value in range(8):
            result = engine.infer({"x": np.full((2, 4), value, np.float32)})
            assert np.array_equal(result["y"], np.full((2, 4), value))
    assert standin.machine.launches == 0


@pytest.mark.parametrize(
    ("fault", "calls_before"), [("execute", 0), ("execute", 1), ("kernel", 0), ("kernel", 1), ("kernel", 5)]
)
def test_a_failing_gpu_is_an_engine_error_and_the_next_call_works(
    standin: Any, fault: str, calls_before: int
) -> None:
    ones = np.ones((2, 4), np.float32)
    with standin.open(small_model()) as engine:
        for _ in range(calls_before):
            engine.infer({"x": ones})
        if fault == "execute":
            standin.trt.faults.execute = "Cask convolution failed"
        else:
            standin.machine.fail_synchronize = "cuStreamSynchronize failed: an illegal memory access"
        with pytest.raises(EngineError, match=r"Cask convolution failed|illegal memory access") as caught:
            checked_infer(engine, {"x": ones}, ("y",))
        assert "\n" not in str(caught.value)
        assert np.array_equal(engine.infer({"x": 2 * ones})["y"], 2 * ones)


def test_exhausted_gpu_memory_is_an_engine_error(standin: Any) -> None:
    with standin.open(small_model()) as engine:
        engine.infer({"x": np.ones((1, 4), np.float32)})
        standin.machine.memory_bytes = 100
        with pytest.raises(EngineError, match=r"GPU 0 \(Stand-in GPU\) is out of memory"):
            engine.infer({"x": np.ones((8, 4), np.float32)})
        assert engine.infer({"x": np.ones((1, 4), np.float32)})["y"].shape == (1, 4)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("build", "TensorRT cannot compile the model: no kernel"),
        ("deserialize", "TensorRT refuses the plan: no kernel"),
        ("context", "TensorRT cannot run the plan: no kernel"),
    ],
)
def test_failures_of_tensorrt_while_opening_are_one_line(standin: Any, fault: str, message: str) -> None:
    setattr(standin.trt.faults, fault, "no kernel\nfor this\nlayer")
    with pytest.raises(EngineError, match=message) as caught:
        standin.open(small_model())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_a_damaged_model_is_refused_with_one_line(standin: Any, damage: str) -> None:
    data = small_model()
    damaged = {"empty": b"", "truncated": data[: len(data) // 2], "text": b"<html>not found</html>"}[damage]
    with pytest.raises(EngineError) as caught:
        standin.open(damaged)
    assert "\n" not in str(caught.value)


def test_opened_here_used_there_closed_here(standin: Any) -> None:
    """As jobs use it: the guard's worker thread has no CUDA context of its own."""
    engine = GuardedEngine(standin.open(small_model()), timeout_seconds=30)
    for _ in range(5):
        assert engine.infer({"x": np.ones((2, 4), np.float32)})["y"].sum() == 8
    engine.close()
    with pytest.raises(EngineError):
        engine.infer({"x": np.ones((2, 4), np.float32)})


def test_engines_of_several_threads_do_not_disturb_one_another(standin: Any) -> None:
    def work(seed: int) -> None:
        generator = np.random.default_rng(seed)
        with standin.open(small_model()) as engine:
            for _ in range(20):
                array = generator.normal(size=(1 + seed, 4)).astype(np.float32)
                assert np.array_equal(engine.infer({"x": array})["y"], np.maximum(array, 0))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_a_closed_engine_says_so(standin: Any) -> None:
    engine = standin.open(small_model())
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer({"x": np.ones((2, 4), np.float32)})


def test_a_forked_process_is_told_to_open_its_own(standin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with standin.open(small_model()) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(EngineError, match="fork"):
                engine.infer({"x": np.ones((2, 4), np.float32)})
        assert engine.infer({"x": np.ones((2, 4), np.float32)})


def test_another_gpu_than_there_is_is_refused(standin: Any) -> None:
    with pytest.raises(EngineError, match="no GPU 1; this machine has 1"):
        standin.open(small_model(), device=1)
