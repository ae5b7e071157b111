"""`--precision int8`: which models of a job compute in INT8, and what is said when none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.zoo import quantised, registry
from streamer.settings import make_settings
from streamer.toolkit import NOTHING_QUANTISED, Toolkit


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model that somebody calibrated on this machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


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
