"""`--precision`: which models of a job compute in INT8, and what is said when none does, or when it is not exact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import streamer.toolkit
from engines import precision as choice
from engines.contract import Engine
from engines.errors import EngineError
from engines.zoo import quantised, registry
from engines.zoo.opening import open_in
from streamer.settings import make_settings
from streamer.toolkit import INEXACT_INT8, NOTHING_QUANTISED, Toolkit


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model that somebody calibrated on this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _pretend_vnni(monkeypatch, True)


def _pretend_vnni(monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    monkeypatch.setattr(choice, "has_vnni", lambda: has_it)
    monkeypatch.setattr(streamer.toolkit, "has_vnni", lambda: has_it)


def _precisions(precision: str) -> tuple[dict[str, str], list[str]]:
    toolkit = Toolkit(make_settings(precision=precision, replace_with="solid", engine="onnxruntime"))
    try:
        models = toolkit.describe()["models"]
        return {model["name"]: model["precision"] for model in models}, toolkit.warnings
    finally:
        toolkit.close()


def test_the_default_detector_has_a_shipped_int8_version() -> None:
    precisions, warnings = _precisions("int8")
    assert precisions == {"face-mesh": "fp32", "retinaface": "int8", "yunet": "fp32"}
    assert not warnings
    precisions, _ = _precisions("float")
    assert set(precisions.values()) == {"fp32"}


def test_it_is_said_when_nothing_is_quantised(monkeypatch: pytest.MonkeyPatch) -> None:
    floats = {name: item for name, item in registry.entries().items() if not name.endswith("-int8")}
    monkeypatch.setattr(quantised, "entries", lambda: floats)
    precisions, warnings = _precisions("int8")
    assert set(precisions.values()) == {"fp32"}
    assert warnings == [NOTHING_QUANTISED]


@pytest.mark.parametrize("has_it", [True, False])
def test_auto_takes_int8_where_it_is_exact(monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    _pretend_vnni(monkeypatch, has_it)
    precisions, warnings = _precisions("auto")
    assert precisions["retinaface"] == ("int8" if has_it else "fp32")
    assert not warnings


def test_asked_for_where_it_is_not_exact_it_is_taken_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_vnni(monkeypatch, False)
    precisions, warnings = _precisions("int8")
    assert precisions["retinaface"] == "int8"
    assert warnings == [INEXACT_INT8]


def test_float16_on_a_cpu_is_refused_with_one_line() -> None:
    with pytest.raises(EngineError, match="fp16 is for TensorRT; onnxruntime computes"):
        _precisions("fp16")


def test_opening_a_model_may_take_longer_than_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT compiles for minutes; the limit is for answers."""

    def slowly(*args: Any, **options: Any) -> Engine:
        time.sleep(0.05)
        return open_in(*args, **options)

    monkeypatch.setattr(streamer.toolkit, "open_in", slowly)
    settings = make_settings(replace_with="solid", engine="onnxruntime", engine_timeout_seconds=0.01)
    Toolkit(settings).close()
