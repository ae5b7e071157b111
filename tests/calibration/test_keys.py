"""Key files are private, never overwritten, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from calibration.errors import KeyFileError
from calibration.keys import key_fingerprint, load_key, new_key_file, rotate_key_file


def test_new_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old_mask = os.umask(0)
    try:
        fingerprint = new_key_file(path)
    finally:
        os.umask(old_mask)
    assert (path.stat().st_mode & 0o777) == 0o600
    key = load_key(path)
    assert len(key) == 32
    assert fingerprint == key_fingerprint(key)
    assert fingerprint not in key.hex()
    with pytest.raises(KeyFileError, match="never overwritten"):
        new_key_file(path)
    assert load_key(path) == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_wrong_permissions_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    new_key_file(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600") as caught:
        load_key(path)
    assert path.read_bytes().hex() not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", bytes(range(31)), bytes(32), b"ab" * 40, bytes(range(250)) * 20],
    ids=["empty", "short", "zeros", "repeats", "long"],
)
def test_poor_keys_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        load_key(path)


def test_missing_link_folder_pipe(tmp_path: Path) -> None:
    real = tmp_path / "real"
    new_key_file(real)
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("missing", "link", ".", "pipe"):
        with pytest.raises(KeyFileError):
            load_key(tmp_path / name)


def test_rotation_keeps_the_old_key_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    new_key_file(path)
    before = load_key(path)
    fingerprint, kept = rotate_key_file(path)
    after = load_key(path)
    assert after != before
    assert fingerprint == key_fingerprint(after)
    assert load_key(kept) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key", kept.name]


STEPS = ("os.open", "os.write", "os.fsync", "os.link", "pathlib.Path.replace")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_that_was_stopped_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    path = tmp_path / "key"
    new_key_file(path)
    before = load_key(path)
    owner, name = (os, step[3:]) if step.startswith("os.") else (Path, "replace")
    whole = getattr(owner, name)
    # Opened first is the old key, to be read.
    rest = iter([False] if step == "os.open" else [])

    def stop(*arguments: object, **keywords: object) -> object:
        if next(rest, True):
            if after:
                whole(*arguments, **keywords)
            raise KeyboardInterrupt
        return whole(*arguments, **keywords)

    monkeypatch.setattr(owner, name, stop)
    with pytest.raises(KeyboardInterrupt):
        rotate_key_file(path)
    monkeypatch.undo()
    between = load_key(path)
    assert (between == before) != (step == "pathlib.Path.replace" and after)
    fingerprint, kept = rotate_key_file(path)
    assert fingerprint == key_fingerprint(load_key(path))
    assert load_key(kept) == between
    olds = {path.with_name(f"key.{key_fingerprint(key)}.old") for key in (before, between)}
    assert set(tmp_path.iterdir()) == {path, *olds}


def test_what_else_lies_beside_a_key_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "key", tmp_path / "key.new"
    new_key_file(path)
    new_key_file(other)
    key = load_key(other)
    rotate_key_file(path)
    assert load_key(other) == key
    foreign = tmp_path / f"key.{key_fingerprint(load_key(path))}.old"
    foreign.write_text("something else")
    before = load_key(path)
    with pytest.raises(KeyFileError, match="exists"):
        rotate_key_file(path)
    assert load_key(path) == before
    assert foreign.read_text() == "something else"


def test_two_rotations_at_once_do_not_report_the_wrong_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    new_key_file(path)
    link, others = os.link, iter([True])

    def meanwhile(source: Path, target: Path) -> None:
        if next(others, False):
            rotate_key_file(path)
        link(source, target)

    monkeypatch.setattr(os, "link", meanwhile)
    with pytest.raises(KeyFileError):
        rotate_key_file(path)
    assert load_key(path)


def test_rotation_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        rotate_key_file(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
