"""A real GPU with the extra `gpu`; without one, every test here is skipped with the reason."""

from __future__ import annotations

import pytest

from engines.backends.tensorrt import PlanCache
from engines.backends.tensorrt.bindings import import_driver, import_polygraphy, import_tensorrt
from engines.errors import EngineError


@pytest.fixture(scope="session", autouse=True)
def gpu() -> None:
    try:
        import_tensorrt()
        import_polygraphy()
        import_driver()
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> PlanCache:
    """One cache for all tests: each plan takes its time to build."""
    return PlanCache(tmp_path_factory.mktemp("plans") / "tensorrt")
