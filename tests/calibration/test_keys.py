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


def test_rotation_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        rotate_key_file(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
