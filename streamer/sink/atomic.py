"""An output file that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from streamer.errors import OutputError
from streamer.redact import reason_of


class AtomicFile:
    """A temporary file beside the output, renamed to it once it is complete and on the disk.

    Args:
        overwrite: replace what is there.
        source: the input, which the output must not be.

    Raises:
        OutputError: the folder is missing or not writable, the output exists, or it is the input.
    """

    def __init__(self, output: Path, *, overwrite: bool, source: Path | None = None) -> None:
        self.output = output
        self._overwrite = overwrite
        self._check(source)
        name = f".{output.stem}.veilstream-{secrets.token_hex(4)}.part{output.suffix}"
        self.path = output.parent / name
        try:
            # Created here, so that a folder that cannot be written is known before any frame is decoded.
            self.path.touch(exist_ok=False)
        except OSError as error:
            reason = reason_of(error)
            raise OutputError(f"{output}: cannot be written ({reason}); choose another folder") from None

    def _check(self, source: Path | None) -> None:
        output = self.output
        if source is not None and output.exists() and source.exists() and output.samefile(source):
            raise OutputError(f"{output}: the output is the input; choose another name")
        if output.is_dir():
            raise OutputError(f"{output}: this is a folder; give a file name for the output")
        if output.exists() and not self._overwrite:
            raise OutputError(f"{output}: exists already; remove it, or ask for it to be overwritten")
        if not output.parent.is_dir():
            raise OutputError(f"{output}: its folder does not exist; make it first")

    def commit(self) -> None:
        """Put the complete file in its place. Raises OutputError, and then leaves nothing behind."""
        try:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            if self.output.exists() and not self._overwrite:
                raise OutputError(f"{self.output}: has appeared meanwhile; it was not overwritten")
            self.path.replace(self.output)
            _sync_folder(self.output.parent)
        except OSError as error:
            self.abort()
            raise OutputError(f"{self.output}: cannot be completed ({reason_of(error)})") from None
        except OutputError:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what was written. May be called at any time, and again."""
        self.path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network file systems cannot sync a folder; the file itself is safe already.
        pass
    finally:
        os.close(descriptor)
