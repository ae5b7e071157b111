"""The stand-ins for the GPU packages, put in place of the real ones for one test."""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from engines.backends.tensorrt import TensorRtEngine, device, graph
from engines.backends.tensorrt.plan_cache import PlanCache

HERE = Path(__file__).parent
NAMES = HERE / "names"
# The oldest and the newest recorded version of each major one.
VERSIONS = ("10.0.1", "10.16.1.11", "11.0.0.114", "11.4.0.106")


def load_module(name: str) -> ModuleType:
    """A module beside this file; test folders are no packages."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def names_of(version: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((NAMES / f"tensorrt-{version}.json").read_text(encoding="utf-8"))
    return document


@dataclass
class Standin:
    """What a test sees of the stand-ins.

    Attributes:
        machine: the simulated GPU, `standin_cuda.Machine`.
        cuda, trt: the modules `pycuda.driver` and `tensorrt`.
        misuse: the exception class of a broken rule.
    """

    machine: Any
    cuda: Any
    trt: Any
    misuse: type[AssertionError]
    folder: Path

    @property
    def cache(self) -> PlanCache:
        return PlanCache(self.folder)

    def open(self, model: bytes, **options: Any) -> TensorRtEngine:
        sha256 = hashlib.sha256(model).hexdigest()
        return TensorRtEngine(model, **{"weights_sha256": sha256, "cache": self.cache, **options})


@pytest.fixture(params=["11.4.0.106"])
def standin(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Standin]:
    """The stand-ins in place; afterwards no rule may have been broken and nothing be left over.

    Give other versions by `@pytest.mark.parametrize("standin", VERSIONS, indirect=True)`. A test that breaks a rule
    on purpose clears `machine.misuses`.
    """
    pytest.importorskip("polygraphy", reason="the tensorrt backend is built with polygraphy (extra `test`)")
    standin_cuda: Any = load_module("standin_cuda")
    load_module("standin_tensorrt_parts")
    standin_tensorrt: Any = load_module("standin_tensorrt")
    machine = standin_cuda.Machine()
    cuda = standin_cuda.driver_module(machine)
    trt = standin_tensorrt.tensorrt_module(machine, names_of(request.param))
    package: Any = ModuleType("pycuda")
    package.driver = cuda
    for name, module in {"tensorrt": trt, "pycuda": package, "pycuda.driver": cuda}.items():
        monkeypatch.setitem(sys.modules, name, module)
    # Polygraphy binds the module it found first, and keeps one logger made of it.
    for name in [name for name in sys.modules if name.partition(".")[0] == "polygraphy"]:
        monkeypatch.delitem(sys.modules, name)
    functions = standin_cuda.graph_functions(machine)
    monkeypatch.setattr(graph, "_driver", lambda: functions)
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(device, "atexit", SimpleNamespace(register=at_exit.append))
    device.open_device.cache_clear()
    yield Standin(machine, cuda, trt, standin_cuda.Misuse, tmp_path / "plans")
    gc.collect()
    device.open_device.cache_clear()
    for function in at_exit:
        function()
    assert machine.misuses == []
    assert machine.left_over() == {}
    assert list(trt.alive) == []
