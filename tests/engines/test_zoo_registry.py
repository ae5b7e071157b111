"""Every weight is known, licensed and the one that was meant; a changed one is never run."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import EngineError, ModelHashError, ModelMissingError
from engines.zoo import pin, registry

SHIPPED = [name for name, item in registry.entries().items() if item.embedded]


@pytest.fixture
def copied_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry with two small weights in a folder of its own, free to damage."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("yunet", "retinaface-mnet025"):
        shutil.copy(registry.WEIGHTS_DIRECTORY / f"{name}.onnx", weights)
    shutil.copy(registry.REGISTRY_FILE, tmp_path)
    monkeypatch.setattr(registry, "WEIGHTS_DIRECTORY", weights)
    monkeypatch.setattr(registry, "REGISTRY_FILE", tmp_path / registry.REGISTRY_FILE.name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry.entries.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    registry.entries.cache_clear()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_those_of_the_registry(name: str) -> None:
    item = registry.entry(name)
    data = registry.model_path(name).read_bytes()
    assert len(data) == item.size
    assert hashlib.sha256(data).hexdigest() == item.sha256


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_has_its_licence_beside_it(name: str) -> None:
    path = registry.file_location(registry.entry(name))
    text = (path.parent / f"{name}.LICENSE.txt").read_text(encoding="utf-8")
    assert path.name in text
    assert len(text) > 300


def test_no_file_ships_that_the_registry_does_not_know() -> None:
    known = {registry.entry(name).file for name in SHIPPED} | {f"{name}.LICENSE.txt" for name in SHIPPED}
    assert {path.name for path in registry.WEIGHTS_DIRECTORY.iterdir()} - {".gitignore"} <= known


def test_entries_name_their_source() -> None:
    for item in registry.entries().values():
        assert item.licence
        assert item.transform
        assert item.source.package
        assert item.source.version
        if item.source.kind != "training":
            assert len(item.source.member_sha256) == 64
        if not item.embedded:
            assert item.sha256 == item.source.member_sha256


def test_what_attacks_is_never_shipped() -> None:
    roles = {item.role for item in registry.entries().values() if item.embedded}
    assert "attacker" not in roles
    assert "teacher" not in roles


def test_a_changed_file_is_refused(copied_zoo: Path) -> None:
    path = copied_zoo / "weights" / "yunet.onnx"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    for opens in (registry.model_path, registry.open_model):
        with pytest.raises(ModelHashError, match=r"yunet.*sha256.*reinstall") as caught:
            opens("yunet")
        assert "\n" not in str(caught.value)


def test_two_files_exchanged_are_refused(copied_zoo: Path) -> None:
    weights = copied_zoo / "weights"
    shutil.copy(weights / "retinaface-mnet025.onnx", weights / "yunet.onnx")
    with pytest.raises(ModelHashError):
        registry.open_model("yunet")


def test_a_missing_file_says_what_to_do(copied_zoo: Path) -> None:
    with pytest.raises(ModelMissingError, match="reinstall veilstream"):
        registry.model_path("sface")
    with pytest.raises(ModelMissingError, match="veilstream models fetch attacker-dlib"):
        registry.model_path("attacker-dlib")
    with pytest.raises(EngineError, match="retinaface-mnet025"):
        registry.model_path("no-such-model")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"models": [{"name": "x"}]}',
        # Cut off, and another program's file of that name.
        registry.REGISTRY_FILE.read_text(encoding="utf-8")[:5000],
        '{"format": "layers-model", "models": {"face": {"weights": []}}}',
    ],
)
def test_a_damaged_registry_is_refused_with_one_line(copied_zoo: Path, text: str) -> None:
    registry.REGISTRY_FILE.write_text(text)
    registry.entries.cache_clear()
    with pytest.raises(EngineError, match=r"models\.json is damaged") as caught:
        registry.entry("yunet")
    assert "\n" not in str(caught.value)


def test_a_file_without_a_pinned_hash_is_refused_until_it_is_pinned(copied_zoo: Path) -> None:
    document = json.loads(registry.REGISTRY_FILE.read_text())
    for line in document["models"]:
        if line["name"] == "yunet":
            line["sha256"] = ""
    registry.REGISTRY_FILE.write_text(json.dumps(document))
    registry.entries.cache_clear()
    with pytest.raises(ModelHashError, match="not pinned"):
        registry.open_model("yunet")
    assert pin.main(["yunet"]) == 0
    registry.entries.cache_clear()
    registry.open_model("yunet")
    assert pin.main(["attacker-dlib"]) == 1
    assert pin.main(["sface"]) == 1


@pytest.mark.parametrize("value", ["", "relative/cache"])
def test_a_cache_folder_that_is_not_absolute_is_ignored(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert registry.cache_directory() == Path.home() / ".cache" / "veilstream" / "models"
