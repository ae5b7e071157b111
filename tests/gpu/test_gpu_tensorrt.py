"""TensorRT on a real GPU: the numbers of onnxruntime, captured calls, threads, memory and plans."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engines.backends.tensorrt import PlanCache, Precision, Profiles, Range, TensorRtEngine
from engines.backends.tensorrt.bindings import import_driver
from engines.backends.tensorrt.device import open_device
from engines.contract import checked_infer
from engines.errors import EngineError
from engines.guard import GuardedEngine
from engines.zoo import registry

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]

# Least and largest input values, and the shape of one item.
MODELS: dict[str, tuple[float, float, tuple[int, ...]]] = {
    "retinaface-mnet025": (-128.0, 128.0, (3, 384, 640)),
    "yunet": (0.0, 255.0, (3, 384, 640)),
    "centerface": (0.0, 255.0, (3, 384, 640)),
    "face-mesh": (0.0, 1.0, (192, 192, 3)),
    "iris": (0.0, 1.0, (64, 64, 3)),
    "sface": (0.0, 255.0, (3, 112, 112)),
    "decoder-v1": (0.0, 1.0, (12, 128, 128)),
}
# Share of an output's largest value.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2}

Open = Callable[..., TensorRtEngine]


@pytest.fixture
def open_engine(plans: PlanCache) -> Open:
    def open_it(name: str, **options: Any) -> TensorRtEngine:
        item = registry.entry(name)
        return TensorRtEngine(
            registry.read_checked(item), weights_sha256=item.sha256, **{"cache": plans, **options}
        )

    return open_it


def inputs_of(name: str, rows: int, seed: int = 0) -> dict[str, Any]:
    low, high, shape = MODELS[name]
    array = np.random.default_rng(seed).uniform(low, high, (rows, *shape)).astype(np.float32)
    return {next(iter(registry.entry(name).inputs)): array}


def assert_alike(result: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    assert result.keys() == expected.keys()
    for key, array in expected.items():
        assert result[key].shape == array.shape
        assert np.abs(result[key] - array).max() < tolerance * max(1.0, float(np.abs(array).max())), key


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_what_onnxruntime_gives(open_engine: Open, name: str, precision: Precision) -> None:
    reference = registry.open_model(name, backend="onnxruntime")
    with open_engine(name, precision=precision) as engine:
        assert engine.inputs == reference.inputs
        assert {spec.name for spec in engine.outputs} == {spec.name for spec in reference.outputs}
        for rows in (1, 2):
            inputs = inputs_of(name, rows)
            assert_alike(engine.infer(inputs), reference.infer(inputs), TOLERANCES[precision])


def test_an_int8_file_is_compiled_as_it_stands(open_engine: Open) -> None:
    name = "retinaface-mnet025-int8"
    reference = registry.open_model(name, backend="onnxruntime")
    inputs = inputs_of("retinaface-mnet025", 1)
    with open_engine(name) as engine:
        assert engine.describe().precision == "int8"
        found, expected = engine.infer(inputs), reference.infer(inputs)
    for key, array in expected.items():
        # Layers in float between those in INT8 are rounded in another order, which moves single steps.
        assert np.abs(found[key] - array).mean() < 0.05 * array.std(), key


def test_batches_of_any_size_and_captured_calls(open_engine: Open) -> None:
    """Sizes that change, that repeat until the call is captured, and more faces than the plan takes at once."""
    reference = registry.open_model("iris", backend="onnxruntime")
    with open_engine("iris") as engine:
        for seed, rows in enumerate((1, 4, 4, 4, 4, 4, 4, 2, 16, 40, 4, 4, 4, 4, 4)):
            inputs = inputs_of("iris", rows, seed)
            assert_alike(engine.infer(inputs), reference.infer(inputs), 1e-3)


def test_calls_are_captured(open_engine: Open) -> None:
    with open_engine("iris") as engine:
        for _ in range(5):
            engine.infer(inputs_of("iris", 2))
        execution = engine._execution
        assert execution is not None
        assert execution._captured is not None, "the driver or TensorRT refused the capture"


def test_opened_here_used_there_closed_here(open_engine: Open) -> None:
    reference = registry.open_model("iris", backend="onnxruntime")
    engine = GuardedEngine(open_engine("iris"), timeout_seconds=60)
    for seed in range(6):
        inputs = inputs_of("iris", 2, seed)
        assert_alike(engine.infer(inputs), reference.infer(inputs), 1e-3)
    engine.close()


def test_engines_of_several_threads(open_engine: Open) -> None:
    reference = registry.open_model("iris", backend="onnxruntime")
    expected = [reference.infer(inputs_of("iris", 2, seed)) for seed in range(4)]

    def work(seed: int) -> None:
        with open_engine("iris") as engine:
            for _ in range(50):
                assert_alike(engine.infer(inputs_of("iris", 2, seed)), expected[seed], 1e-3)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_memory_is_given_back(open_engine: Open) -> None:
    def free_bytes() -> int:
        gc.collect()
        with open_device(0).active():
            return int(import_driver().mem_get_info()[0])

    def use() -> None:
        with open_engine("face-mesh") as engine:
            engine.infer(inputs_of("face-mesh", 8))

    use()
    before = free_bytes()
    for _ in range(10):
        use()
    assert before - free_bytes() < 32 << 20


def test_exhausted_memory_is_an_engine_error_and_the_next_call_works(open_engine: Open) -> None:
    cuda = import_driver()
    device = open_device(0)
    hoard = []
    with open_engine("face-mesh") as engine:
        engine.infer(inputs_of("face-mesh", 1))
        with device.active():
            size = 1 << 30
            while size >= 1 << 20:
                try:
                    hoard.append(cuda.mem_alloc(size))
                except cuda.MemoryError:
                    size //= 2
        try:
            with pytest.raises(EngineError, match=r"out of memory|TensorRT"):
                checked_infer(engine, inputs_of("face-mesh", 16), ("conv2d_20",))
        finally:
            with device.active():
                for allocation in hoard:
                    allocation.free()
        assert engine.infer(inputs_of("face-mesh", 1))


def test_a_plan_is_built_once_and_loaded_fast(plans: PlanCache, open_engine: Open) -> None:
    open_engine("iris").close()
    count = len(plans.keys())
    open_engine("iris").close()
    assert len(plans.keys()) == count
    open_engine("iris", profiles=Profiles(faces=Range(1, 2, 2))).close()
    assert len(plans.keys()) == count + 1


def test_shapes_outside_of_the_profile_are_refused(open_engine: Open) -> None:
    with (
        open_engine("yunet") as engine,
        pytest.raises(EngineError, match="outside of what the plan was built"),
    ):
        engine.infer({"input": np.zeros((1, 3, 2048, 2048), np.float32)})


def test_a_model_that_is_no_model_is_refused_with_one_line(plans: PlanCache) -> None:
    with pytest.raises(EngineError) as caught:
        TensorRtEngine(b"<html>", weights_sha256="0" * 64, cache=plans)
    assert "\n" not in str(caught.value)
