"""Write down which names the real GPU packages have, for tests on machines where those cannot be imported.

    python record_names.py tensorrt  WHEEL OUTPUT.json      # a tensorrt-cu12-bindings or -cu13-bindings wheel
    python record_names.py pycuda    SDIST OUTPUT.json
    python record_names.py cuda      cuda.h OUTPUT.json

The bindings of TensorRT are one extension module that needs three libraries, and of those nothing but a handful of
functions that make objects. With empty functions of those names the module loads (a C compiler is needed, and a Python
of the wheel's version), and pybind11 tells its classes, members, enum values and signatures. pycuda is read from
its C++ source, the driver's functions from the header."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

# What the backend, Polygraphy's loaders and the stand-in touch; layers and plugins are left out.
CLASSES = (
    "Builder",
    "BuilderFlag",
    "DataType",
    "DeviceType",
    "Dims",
    "EngineCapability",
    "ICudaEngine",
    "IBuilderConfig",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITensor",
    "ITimingCache",
    "LayerType",
    "Logger",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "PreviewFeature",
    "ProfilingVerbosity",
    "QuantizationFlag",
    "Runtime",
    "TacticSource",
    "TensorIOMode",
    "TensorLocation",
)
PYCUDA_CLASSES = (
    "Context",
    "Device",
    "DeviceAllocation",
    "HostPointer",
    "PagelockedHostAllocation",
    "Stream",
)
CUDA_FUNCTIONS = (
    "cuStreamBeginCapture",
    "cuStreamEndCapture",
    "cuGraphInstantiate",
    "cuGraphLaunch",
    "cuGraphExecDestroy",
    "cuGraphDestroy",
)


def record_tensorrt(wheel: Path) -> dict[str, Any]:
    """Classes, members, enum values and signatures of a bindings wheel."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        (extension,) = Path(folder).rglob("tensorrt.so")
        _make_libraries(extension, Path(folder))
        # In a process of its own: the module registers types for good.
        command = [
            sys.executable,
            __file__,
            "--dump",
            str(extension.parent.parent),
            str(extension.parent.name),
        ]
        environment = {"LD_LIBRARY_PATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        printed = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    document: dict[str, Any] = json.loads(printed)
    return document


def _make_libraries(extension: Path, folder: Path) -> None:
    """Libraries of the names the extension needs, with empty functions for what it takes from them."""
    headers = subprocess.run(["readelf", "-dW", extension], check=True, capture_output=True, text=True).stdout
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", extension], check=True, capture_output=True, text=True
    )
    wanted = re.findall(
        r"^\s*U ((?:create|get|init)\w*(?:INTERNAL|Registry|Version|Plugins))$", symbols.stdout, re.M
    )
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted))
    for library in re.findall(r"\[(libnv\w+\.so\.\d+)\]", headers):
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library, source], check=True
        )


def _dump(folder: str, package: str) -> None:
    sys.path.insert(0, folder)
    module: Any = importlib.import_module(package)
    classes = {}
    for name in CLASSES:
        if hasattr(module, name):
            found = getattr(module, name)
            members = [member for member in dir(found) if not member.startswith("_") or member == "__init__"]
            classes[name] = {member: _signature(getattr(found, member), member) for member in members}
    names = sorted(name for name in dir(module) if not name.startswith("_"))
    print(json.dumps({"version": module.__version__, "names": names, "classes": classes}))


def _signature(member: Any, name: str) -> list[list[str]] | int | None:
    """Parameter names of each overload of a function, those with a default marked by "="; the number of an enum value;
    None for anything else."""
    if hasattr(type(member), "__members__"):
        return int(member)
    lines = re.findall(rf"^(?:\d+\. )?{name}\((.*)\) -> ", getattr(member, "__doc__", None) or "", re.M)
    if not callable(member) or not lines:
        return None
    return [
        [
            part.split(":")[0].strip() + "=" * (" = " in part)
            for part in re.split(r", (?=\w+:)", line)
            if ":" in part
        ]
        for line in lines
        if "*args" not in line
    ]


def record_pycuda(sdist: Path) -> dict[str, Any]:
    """Classes and their members, functions and exceptions of `pycuda.driver`, from its C++ source."""
    with tarfile.open(sdist) as archive:
        member = next(item for item in archive.getmembers() if item.name.endswith("wrap_cudadrv.cpp"))
        file = archive.extractfile(member)
        assert file is not None
        source = file.read().decode()
    blocks = re.split(r"(?=py::class_<)", source)
    classes: dict[str, list[str]] = {}
    for block in blocks:
        title = re.search(r'\(\s*"(\w+)"', block)
        if title is None or title[1] not in PYCUDA_CLASSES:
            continue
        # A class ends where functions of the module begin.
        body = re.split(r"\n  py::def\(|\n  DEF_SIMPLE_FUNCTION|\n  \{", block)[0]
        members = re.findall(r'(?:\.def|\.add_property|\.staticmethod)\(\s*"(\w+)"', body)
        members += re.findall(r"\.DEF_SIMPLE_METHOD\w*\((\w+)\)", body)
        classes[title[1]] = sorted(set(members) - {"__init__"})
    functions = {
        name: re.findall(r'py::arg\("(\w+)"\)|py::args\(([^)]*)\)', rest)
        for name, rest in re.findall(r'py::def\("(\w+)",(.*?)\);', source, re.S)
    }
    functions |= {name: [] for name in re.findall(r"DEF_SIMPLE_FUNCTION\w*\((\w+)\)", source)}
    parameters = {
        name: [
            part
            for single, several in found
            for part in ([single] if single else re.findall(r"\w+", several))
        ]
        for name, found in sorted(functions.items())
    }
    errors = sorted(set(re.findall(r"DECLARE_EXC\((\w+),", source)) - {"NAME"})
    version = re.search(r"pycuda-([\d.]+?)(?:\.tar|$)", sdist.name)
    return {
        "version": version[1] if version else "",
        "classes": classes,
        "functions": parameters,
        "errors": errors,
    }


def record_cuda(header: Path) -> dict[str, Any]:
    """Exported symbol and argument types of the functions behind CUDA graphs, from cuda.h."""
    text = header.read_text(encoding="utf-8")
    functions = {}
    for name in CUDA_FUNCTIONS:
        alias = re.search(rf"#define {name}\s+(?:__CUDA_API_PTSZ\()?(\w+)\)?", text)
        symbol = alias[1] if alias else name
        # The last prototype of a name is the newest; those before may be of an old interface.
        prototypes = re.findall(rf"CUresult CUDAAPI (?:{name}|{symbol})\(([^)]*)\);", text)
        functions[symbol] = [re.sub(r"\s*\w+$", "", part).strip() for part in prototypes[0].split(",")]
    mode = re.search(r"CU_STREAM_CAPTURE_MODE_THREAD_LOCAL\s*=\s*(\d+)", text)
    version = re.search(r"#define CUDA_VERSION (\d+)", text)
    assert mode is not None
    assert version is not None
    return {"version": version[1], "functions": functions, "thread_local": int(mode[1])}


def main() -> None:
    if sys.argv[1] == "--dump":
        _dump(*sys.argv[2:])
        return
    record = {"tensorrt": record_tensorrt, "pycuda": record_pycuda, "cuda": record_cuda}[sys.argv[1]]
    document = record(Path(sys.argv[2]))
    Path(sys.argv[3]).write_text(write(document), encoding="utf-8")


def write(document: dict[str, Any]) -> str:
    """One line for each class: compact, and changes can still be read."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict) and key in ("classes", "functions"):
            rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{rows}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
