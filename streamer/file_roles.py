"""What a command writes is none of the files it reads, and no file that it writes for another purpose."""

from __future__ import annotations

import os
from pathlib import Path

from streamer.errors import OutputError, SettingsError

_Identity = tuple[int, int] | str


class FileRoles:
    """Takes note of every file of a command before the first one is touched: name what is read first."""

    def __init__(self) -> None:
        self._roles: dict[_Identity, str] = {}

    def read(self, role: str, path: Path | None) -> None:
        """`path` must stay as it is. Two roles may read one file."""
        if path is not None:
            for identity in _identities(path):
                self._roles.setdefault(identity, role)

    def write(self, role: str, path: Path | None) -> None:
        """`path` will be written. Raises SettingsError where it has a role already, also by a link."""
        if path is None:
            return
        for identity in _identities(path):
            if identity in self._roles:
                raise SettingsError(f"{role} {path} is {self._roles[identity]} as well; choose another file")
        # Its place alone: files are replaced, not written into, so that other names of the same file keep it.
        self._roles[os.path.realpath(path)] = role


def refuse_existing(role: str, path: Path, *, overwrite: bool) -> None:
    """Raises OutputError for a folder or a device, and for a file unless `overwrite`."""
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        raise OutputError(f"{role} {path} is no regular file; choose another one")
    if not overwrite:
        raise OutputError(
            f"{role} {path} exists; use --overwrite to replace it, --resume to go on with it, or choose another one"
        )


def _identities(path: Path) -> list[_Identity]:
    """Its place, links resolved, and the file itself where there is one: hard links have several places."""
    identities: list[_Identity] = [os.path.realpath(path)]
    try:
        status = path.stat()
    except OSError:
        return identities
    return [*identities, (status.st_dev, status.st_ino)]
