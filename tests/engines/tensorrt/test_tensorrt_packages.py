"""Missing packages, drivers and GPUs: one line each, and nothing imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from engines.backends.tensorrt import TensorRtEngine, bindings, device
from engines.errors import EngineError


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what `import` finds."""
    device.open_device.cache_clear()

    def put(**modules: Any) -> None:
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name.replace("__", "."), module)

    return put


def tensorrt_of(version: str) -> Any:
    module: Any = ModuleType("tensorrt")
    module.__version__ = version
    return module


def driver_with(count: int, error: str = "") -> Any:
    driver: Any = ModuleType("pycuda.driver")
    driver.Error = type("Error", (Exception,), {})

    class Device:
        @staticmethod
        def count() -> int:
            return count

    def init() -> None:
        if error:
            raise driver.Error(error)

    driver.Device, driver.init = Device, init
    package: Any = ModuleType("pycuda")
    package.driver = driver
    return {"pycuda": package, "pycuda__driver": driver}


def refused() -> str:
    with pytest.raises(EngineError) as caught:
        TensorRtEngine(b"", weights_sha256="")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_tensorrt(packages: Any) -> None:
    packages(tensorrt=None)
    assert "pip install 'veilstream[gpu]'" in refused()


@pytest.mark.parametrize("version", ["9.3.0", "12.0.0"])
def test_another_tensorrt(packages: Any, version: str) -> None:
    packages(tensorrt=tensorrt_of(version))
    assert f"tensorrt {version} is not supported; install version 10 or 11" in refused()


def test_an_empty_tensorrt(packages: Any) -> None:
    packages(tensorrt=ModuleType("tensorrt"))
    assert "is not supported" in refused()


def test_no_pycuda(packages: Any) -> None:
    packages(tensorrt=tensorrt_of("11.0.0"), pycuda=None)
    assert "pip install 'veilstream[gpu]'" in refused()


def test_no_gpu(packages: Any) -> None:
    packages(tensorrt=tensorrt_of("11.0.0"), **driver_with(0))
    assert "no NVIDIA GPU here" in refused()


def test_a_driver_that_does_not_start(packages: Any) -> None:
    packages(
        tensorrt=tensorrt_of("11.0.0"), **driver_with(1, "cuInit failed: no CUDA-capable device\ndetails")
    )
    assert "cuInit failed: no CUDA-capable device" in refused()


def test_no_driver_library(packages: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda" / "__init__.py").write_text("")
    (tmp_path / "pycuda" / "driver.py").write_text(
        "raise ImportError('libcuda.so.1: cannot open shared object file')\n"
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycuda"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    packages(tensorrt=tensorrt_of("11.0.0"))
    message = refused()
    assert "libcuda.so.1" in message
    assert "is the NVIDIA driver installed?" in message
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycuda"]:
        monkeypatch.delitem(sys.modules, name)


def test_no_polygraphy(packages: Any) -> None:
    packages(polygraphy=None, polygraphy__backend=None)
    with pytest.raises(EngineError, match=r"polygraphy is not installed"):
        bindings.import_polygraphy()


def test_the_gpu_packages_are_not_imported_unasked() -> None:
    code = (
        "import sys, engines.backends, engines.backends.tensorrt;"
        "print([name for name in ('tensorrt', 'pycuda', 'polygraphy', 'onnx') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"
