"""Read one member of a package file (wheel, zip, sdist, npm tarball); nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from engines.errors import EngineError

# The largest member of any registered model is far below this; a damaged or hostile archive may claim more.
MAX_MEMBER_BYTES = 512 * 1024 * 1024


def read_member(package_file: Path, member: str) -> bytes:
    """Bytes of `member` (its path inside the archive) of a .whl, .zip, .tar.gz or .tgz file.

    Raises:
        EngineError: the archive cannot be read, has no such member, or the member is too large.
    """
    try:
        if zipfile.is_zipfile(package_file):
            return _from_zip(package_file, member)
        return _from_tar(package_file, member)
    except KeyError:
        raise EngineError(
            f"{package_file.name} has no member {member}; is it the version the registry names?"
        ) from None
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise EngineError(f"{package_file.name} is not a readable package file: {error}") from error


def _from_zip(package_file: Path, member: str) -> bytes:
    with zipfile.ZipFile(package_file) as archive:
        if archive.getinfo(member).file_size > MAX_MEMBER_BYTES:
            raise EngineError(f"{package_file.name}: member {member} is larger than {MAX_MEMBER_BYTES} bytes")
        return archive.read(member)


def _from_tar(package_file: Path, member: str) -> bytes:
    with tarfile.open(package_file, "r:*") as archive:
        info = archive.getmember(member)
        stream = archive.extractfile(info)
        if stream is None or info.size > MAX_MEMBER_BYTES:
            raise EngineError(
                f"{package_file.name}: member {member} is no plain file of at most {MAX_MEMBER_BYTES} bytes"
            )
        return stream.read()
