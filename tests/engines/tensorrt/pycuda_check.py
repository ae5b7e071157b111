"""Runs the backend with the real pycuda over `fake_driver.c`; TensorRT is the stand-in.

LD_LIBRARY_PATH=FOLDER_OF_libcuda.so.1 python pycuda_check.py FOLDER_FOR_PLANS"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Late binding: the driver made here has only the functions that are called.
sys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)
sys.path.insert(0, str(HERE))
DRIVER = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_LAZY | os.RTLD_GLOBAL)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import standin_tensorrt  # noqa: E402

from engines.backends.tensorrt import PlanCache, TensorRtEngine  # noqa: E402
from engines.contract import Engine  # noqa: E402
from engines.errors import EngineError  # noqa: E402
from engines.guard import GuardedEngine  # noqa: E402
from engines.zoo import registry  # noqa: E402

_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_calls: list[Any] = []


class FakeStream:
    """Puts work of the stand-in on a stream of the driver."""

    recording = None

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def _put(self, work: Any) -> None:
        _calls.append(_CALL(lambda _: work()))
        DRIVER.fake_call(ctypes.c_void_p(self._handle), _calls[-1])


class FakeMachine:
    """What the stand-in of TensorRT asks of a machine, answered by the driver."""

    name = "Stand-in GPU"
    capability = (8, 9)

    def __init__(self) -> None:
        self.misuses: list[str] = []

    @property
    def stack(self) -> list[int]:
        return [0] * alive()["contexts"]

    def need_context(self, what: str) -> None:
        if not self.stack:
            raise self.misuse(f"{what} without a current context in this thread")

    def misuse(self, message: str) -> AssertionError:
        self.misuses.append(message)
        return AssertionError(message)

    def memory(self, address: int, size: int, what: str) -> memoryview:
        return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    def stream(self, handle: int, what: str) -> FakeStream:
        return FakeStream(handle)


def alive() -> dict[str, int]:
    counts = (ctypes.c_int * 5)()
    DRIVER.fake_alive(counts)
    return dict(zip(("device", "pinned", "streams", "graphs", "contexts"), counts, strict=True))


def main(folder: Path) -> None:
    machine = FakeMachine()
    names = json.loads((HERE / "names" / "tensorrt-11.4.0.106.json").read_text(encoding="utf-8"))
    sys.modules["tensorrt"] = standin_tensorrt.tensorrt_module(machine, names)
    model = registry.read_checked(registry.entry("iris"))
    reference = registry.open_model("iris", backend="onnxruntime")

    def opened() -> TensorRtEngine:
        sha256 = hashlib.sha256(model).hexdigest()
        return TensorRtEngine(model, weights_sha256=sha256, cache=PlanCache(folder / "plans"))

    def check(engine: Engine, rows: int, seed: int = 0) -> None:
        array = np.random.default_rng(seed).random((rows, 64, 64, 3), np.float32)
        result, expected = engine.infer({"input_1": array}), reference.infer({"input_1": array})
        assert all(np.allclose(result[key], expected[key], atol=1e-4) for key in expected)

    def refused(engine: Engine, message: str) -> None:
        with pytest.raises(EngineError, match=message):
            check(engine, 8)

    engine = opened()
    for seed, rows in enumerate((1, 3, 3, 3, 3, 3, 16, 40, 2)):
        check(engine, rows, seed)
    guarded = GuardedEngine(engine, timeout_seconds=60)
    for seed in range(6):
        check(guarded, 2, seed)
    assert alive() == {"device": 3, "pinned": 3, "streams": 1, "graphs": 1, "contexts": 0}

    other = opened()
    for fault, message in (("fail_allocation", "out of memory"), ("fail_synchronize", "made to fail")):
        switch = ctypes.c_int.in_dll(DRIVER, fault)
        switch.value = 1
        refused(other, message)
        switch.value = 0
        check(other, 4)

    def work() -> None:
        with opened() as own:
            for seed in range(5):
                check(own, 2, seed)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    guarded.close()
    other.close()
    gc.collect()
    assert not any(alive().values()), alive()
    assert machine.misuses == []
    print("all is well")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
