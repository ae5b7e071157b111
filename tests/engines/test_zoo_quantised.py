"""Which INT8 file stands for a float model: the user's own, only for the float file it was made from, and unchanged."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.errors import EngineError, ModelHashError
from engines.zoo import pin, quantised, registry
from engines.zoo.opening import open_in
from engines.zoo.quantised import MANIFEST, calibrated_directory, int8_model

FLOAT_SHA256 = "f" * 64
DATA = b"an int8 model"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def calibrate(**changes: Any) -> Path:
    folder = calibrated_directory()
    folder.mkdir(parents=True)
    (folder / "iris-int8.onnx").write_bytes(DATA)
    line = {
        "name": "iris",
        "file": "iris-int8.onnx",
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "made_from_sha256": FLOAT_SHA256,
        "faster": True,
        **changes,
    }
    (folder / MANIFEST).write_text(json.dumps({"models": [line]}))
    return folder


def test_the_users_own_file_counts_for_its_float_file_alone() -> None:
    calibrate()
    assert int8_model("iris", FLOAT_SHA256) == DATA
    assert int8_model("iris", "0" * 64) is None


def test_one_that_is_not_faster_is_not_used() -> None:
    calibrate(faster=False)
    assert int8_model("iris", FLOAT_SHA256) is None


def test_a_changed_file_is_refused() -> None:
    folder = calibrate()
    (folder / "iris-int8.onnx").write_bytes(DATA + b"!")
    with pytest.raises(ModelHashError, match="calibrate int8"):
        int8_model("iris", FLOAT_SHA256)


def test_a_lost_file_is_said() -> None:
    folder = calibrate()
    (folder / "iris-int8.onnx").unlink()
    with pytest.raises(EngineError, match="calibrate int8"):
        int8_model("iris", FLOAT_SHA256)


def test_the_list_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.onnx").write_bytes(DATA)
    calibrate(file="../../elsewhere.onnx")
    with pytest.raises(EngineError, match="cannot read"):
        int8_model("iris", FLOAT_SHA256)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": [{}]}', '{"models": 3}'])
def test_a_damaged_list_is_one_clear_line(text: str) -> None:
    (calibrate() / MANIFEST).write_text(text)
    with pytest.raises(EngineError, match=r"is damaged; delete it") as caught:
        int8_model("iris", FLOAT_SHA256)
    assert "\n" not in str(caught.value)


def test_without_an_int8_version_the_float_model_runs() -> None:
    with open_in("int8", "iris") as engine:
        assert engine.describe().precision == "fp32"
        assert engine.describe().weights_sha256 == registry.entry("iris").sha256


def test_a_float_model_of_the_users_own_has_an_int8_version_too(tmp_path: Path) -> None:
    """Told by its bytes: the file may lie anywhere, and the registry's version does not stand in for it."""
    onnx = pytest.importorskip("onnx", reason="makes another file of the same model")
    model = onnx.load(registry.file_location(registry.entry("retinaface-mnet025")))
    model.doc_string = "another"
    own = tmp_path / "own.onnx"
    onnx.save(model, own)
    with open_in("int8", "retinaface-mnet025", weights=own) as engine:
        assert engine.describe().precision == "fp32"
    shipped = registry.read_checked(registry.entry("retinaface-mnet025-int8"))
    folder = calibrate(
        made_from_sha256=hashlib.sha256(own.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(shipped).hexdigest(),
    )
    (folder / "iris-int8.onnx").write_bytes(shipped)
    with open_in("int8", "retinaface-mnet025", weights=own) as engine:
        assert engine.describe().precision == "int8"
    with open_in("float", "retinaface-mnet025", weights=own) as engine:
        assert engine.describe().precision == "fp32"


def test_a_shipped_one_counts_only_for_the_float_file_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    iris = registry.entry("iris")
    shipped = replace(iris, name="iris-int8", source=replace(iris.source, member_sha256=FLOAT_SHA256))
    monkeypatch.setattr(quantised, "entries", lambda: {"iris": iris, "iris-int8": shipped})
    monkeypatch.setattr(quantised, "read_checked", lambda item: item.name.encode())
    assert int8_model("iris", FLOAT_SHA256) == b"iris-int8"
    assert int8_model("iris", iris.sha256) is None


def test_what_ships_was_made_from_what_ships() -> None:
    """An exchanged model needs `veilstream calibrate int8` and `python -m engines.zoo.pin` again."""
    for name, item in registry.entries().items():
        if name.endswith("-int8"):
            assert item.source.member_sha256 == registry.entry(name.removesuffix("-int8")).sha256


def test_pinning_an_int8_file_notes_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx", reason="INT8 files are made with the extra int8")
    registry_file, weights = tmp_path / "models.json", tmp_path / "weights"
    document = json.loads(registry.REGISTRY_FILE.read_text())
    iris = next(line for line in document["models"] if line["name"] == "iris")
    document["models"] = [iris]
    registry_file.write_text(json.dumps(document))
    model = onnx.load(registry.file_location(registry.entry("iris")))
    onnx.helper.set_model_props(model, {"made_from_sha256": FLOAT_SHA256})
    weights.mkdir()
    shutil.copy(registry.WEIGHTS_DIRECTORY / "iris.LICENSE.txt", weights)
    onnx.save(model, weights / "iris-int8.onnx")
    monkeypatch.setattr(registry, "REGISTRY_FILE", registry_file)
    monkeypatch.setattr(registry, "WEIGHTS_DIRECTORY", weights)
    registry.entries.cache_clear()
    try:
        assert pin.main(["iris-int8"]) == 0
        shutil.copy(registry.ZOO_DIRECTORY / "weights" / "iris.onnx", weights / "iris-int8.onnx")
        with pytest.raises(EngineError, match="does not say what it was made from"):
            pin.pin("iris-int8")
        with pytest.raises(EngineError, match="unknown model"):
            pin.pin("yunet-int8")
    finally:
        registry.entries.cache_clear()
    _, line = json.loads(registry_file.read_text())["models"]
    assert (weights / "iris-int8.LICENSE.txt").read_text().startswith("iris-int8.onnx: iris.onnx with")
    assert line["source"]["member_sha256"] == FLOAT_SHA256
    assert line["sha256"] != iris["sha256"]
