"""Every name the backend takes from the GPU packages is one that the real packages have.

The stand-ins may not know more than the real modules either: what they offer is compared with what was recorded from
the real wheels (`record_names.py`), member by member and parameter by parameter, so that a call that works here has
the names and arguments of a call that works there."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.backends import tensorrt as package
from engines.backends.tensorrt import graph

HERE = Path(__file__).parent
SOURCES = sorted(Path(package.__path__[0]).glob("*.py"))
RECORDS = {path.stem: path for path in sorted((HERE / "names").glob("*.json"))}
TENSORRT = [name for name in RECORDS if name.startswith("tensorrt-")]


def record(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RECORDS[name].read_text(encoding="utf-8"))
    return document


def attribute_chains(roots: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Uses `root.a.b` in the backend's modules, as (root, [a, b]); `self.root` and `self._root` count too."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            chain: list[str] = []
            inner: ast.AST = node
            while isinstance(inner, ast.Attribute):
                chain.insert(0, inner.attr)
                inner = inner.value
            if not chain or not isinstance(inner, ast.Name):
                continue
            names = [inner.id, *chain]
            if names[0] == "self":
                names = [names[1].lstrip("_"), *names[2:]]
            if names[0] in roots and len(names) > 1:
                yield names[0], names[1:]


@pytest.mark.parametrize("name", TENSORRT)
def test_names_of_tensorrt_are_real(name: str) -> None:
    real = record(name)
    used = [chain for _, chain in attribute_chains({"trt"})]
    assert ["TensorIOMode", "INPUT"] in used
    for chain in used:
        if chain[0] == "__version__":
            continue
        assert chain[0] in real["names"], f"tensorrt {real['version']} has no {chain[0]}"
        if len(chain) > 1:
            assert chain[1] in real["classes"][chain[0]], f"{real['version']} has no {'.'.join(chain)}"


@pytest.mark.parametrize("name", TENSORRT)
@pytest.mark.parametrize(
    ("receiver", "class_name"),
    [
        ("engine", "ICudaEngine"),
        ("context", "IExecutionContext"),
        ("runtime", "Runtime"),
        ("config", "IBuilderConfig"),
        ("network", "INetworkDefinition"),
        ("learned", "ITimingCache"),
    ],
)
def test_methods_of_tensorrt_objects_are_real(name: str, receiver: str, class_name: str) -> None:
    """The backend names these objects alike everywhere (a device's `context` is pycuda's: `push` and `detach`)."""
    members = record(name)["classes"][class_name]
    used = {chain[0] for _, chain in attribute_chains({receiver})} - {"push", "detach"}
    assert used
    assert used <= members.keys()


def test_names_of_pycuda_are_real() -> None:
    real = record("pycuda-2026.1")
    known = {*real["classes"], *real["functions"], *real["errors"]}
    used = [chain for _, chain in attribute_chains({"cuda", "driver"})]
    assert ["mem_alloc"] in used
    for chain in used:
        assert chain[0] in known, f"pycuda.driver has no {chain[0]}"
        if len(chain) > 1:
            assert chain[1] in real["classes"][chain[0]], f"pycuda.driver has no {'.'.join(chain)}"


def test_functions_behind_cuda_graphs_are_those_of_the_header() -> None:
    real = record("cuda-13.0")
    kinds = {
        "CUstream": "c_void_p",
        "CUgraph": "c_void_p",
        "CUgraphExec": "c_void_p",
        "CUgraph *": "LP_c_void_p",
        "CUgraphExec *": "LP_c_void_p",
        "CUstreamCaptureMode": "c_int",
        "unsigned long long": "c_ulong",
    }
    declared = {name: [kind.__name__ for kind in arguments] for name, arguments in graph.FUNCTIONS.items()}
    assert declared == {name: [kinds[kind] for kind in row] for name, row in real["functions"].items()}
    assert real["thread_local"] == graph._THREAD_LOCAL


@pytest.mark.parametrize("standin", [name.partition("-")[2] for name in TENSORRT], indirect=True)
def test_the_stand_in_of_tensorrt_knows_nothing_the_real_one_does_not(standin: Any) -> None:
    real = record(f"tensorrt-{standin.trt.__version__}")
    own = {"faults", "alive"}
    for name in (name for name in vars(standin.trt) if not name.startswith("_")):
        assert name in {*real["names"], *own}
        if name not in real["classes"]:
            continue
        members = real["classes"][name]
        offered = getattr(standin.trt, name)
        if hasattr(offered, "__members__"):
            assert {key: int(value) for key, value in offered.__members__.items()} == {
                key: value for key, value in members.items() if isinstance(value, int)
            }
            continue
        properties = {member for member, _ in inspect.getmembers(offered, inspect.isdatadescriptor)}
        assert {member for member in properties if not member.startswith("_")} <= members.keys()
        for member, function in inspect.getmembers(offered, inspect.isfunction):
            if member.startswith("_") and member != "__init__":
                continue
            assert member in members, f"tensorrt {real['version']} has no {name}.{member}"
            parameters = list(inspect.signature(function).parameters)
            overloads = members[member] or [parameters]
            assert any(_can_be_called_with(row, parameters) for row in overloads), f"{name}.{member}"


def _can_be_called_with(real: list[str], parameters: list[str]) -> bool:
    """Whether a real function takes these parameters and has a default ("=") for all others."""
    first, rest = real[: len(parameters)], real[len(parameters) :]
    return [name.rstrip("=") for name in first] == parameters and all(name.endswith("=") for name in rest)


def test_the_stand_in_of_pycuda_knows_nothing_the_real_one_does_not(standin: Any) -> None:
    real = record("pycuda-2026.1")
    for name, offered in vars(standin.cuda).items():
        if name.startswith("_"):
            continue
        if name in real["functions"]:
            parameters = real["functions"][name]
            assert not parameters or list(inspect.signature(offered).parameters) == parameters
        elif name in real["classes"]:
            members = {member for member, _ in inspect.getmembers(offered, inspect.isfunction)}
            assert {member for member in members if not member.startswith("_")} <= set(real["classes"][name])
        else:
            assert name in real["errors"]


@pytest.mark.parametrize("name", TENSORRT)
def test_what_left_with_version_10_is_not_relied_on(name: str) -> None:
    """A reminder of why there is one code path: these are the names a port from older code would use."""
    classes = record(name)["classes"]
    major = int(name.partition("-")[2].split(".")[0])
    for member in ("FP16", "INT8"):
        assert (member in classes["BuilderFlag"]) == (major == 10)
    assert "EXPLICIT_BATCH" in classes["NetworkDefinitionCreationFlag"] or major == 11
    assert "STRONGLY_TYPED" in classes["NetworkDefinitionCreationFlag"]


def test_records_are_those_of_the_wheels(request: pytest.FixtureRequest) -> None:
    """Record again from the files in the folder given with --gpu-packages, and compare."""
    given = request.config.getoption("--gpu-packages")
    if given is None:
        pytest.skip(
            "needs the packages: give a folder of bindings wheels and the pycuda sdist with --gpu-packages"
        )
    spec = importlib.util.spec_from_file_location("record_names", HERE / "record_names.py")
    assert spec is not None
    assert spec.loader is not None
    recorder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recorder)
    compared = 0
    for path in sorted(Path(given).iterdir()):
        tag = f"-cp{sys.version_info.major}{sys.version_info.minor}-"
        if path.match("tensorrt_cu1*_bindings-*.whl") and tag in path.name:
            name, document = f"tensorrt-{path.name.split('-')[1]}", recorder.record_tensorrt(path)
        elif path.match("pycuda-*.tar.gz"):
            name, document = path.name.removesuffix(".tar.gz"), recorder.record_pycuda(path)
        else:
            continue
        if name in RECORDS:
            assert document == record(name)
            compared += 1
    assert compared
