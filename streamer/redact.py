"""Text that may be shown: FFmpeg's reasons in one short line, URLs without credentials, paths without folders."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import av

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<rest>[^\s'\"<>]*)")
_REASONS = {
    errno.ENOENT: "no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "it is a folder",
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "disk quota used up",
    errno.EFBIG: "the file would grow larger than allowed",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the device reports an input/output error",
    errno.ENOMEM: "out of memory",
    errno.EMFILE: "too many open files",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.ECONNREFUSED: "connection refused",
    errno.EINVAL: "the format does not take this data",
    errno.EPIPE: "the other end has closed",
}


def redact_urls(text: str) -> str:
    """The text on one line, with user, password, query and fragment taken out of every URL.

    Cameras carry passwords and tokens in the query as well as in front of the host.
    """

    def clean(match: re.Match[str]) -> str:
        rest = re.split(r"[?#]", match["rest"], maxsplit=1)[0]
        host, slash, path = rest.partition("/")
        # A password may itself contain an @ or a slash: what counts is the last @ before the host.
        if "@" in path:
            host, slash, path = rest.rsplit("@", 1)[-1].partition("/")
        return match["scheme"] + host.rsplit("@", 1)[-1] + slash + path

    return " ".join(_URL.sub(clean, text).split())


def without_folders(text: str, *paths: Path) -> str:
    """The text with each of these paths cut down to its last name, and their folders left out: they may name people."""
    for path in paths:
        for spelling in (path.absolute(), path):
            text = text.replace(str(spelling), path.name)
            # Only where it cannot be a word of the sentence.
            text = text.removeprefix(f"{spelling.parent}: ").replace(f"{spelling.parent}/", "")
    return text


def reason_of(error: BaseException) -> str:
    """Why it failed, in a few words. Never FFmpeg's own text, whose file name may hold a password."""
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return "wrong or missing user and password"
    if isinstance(error, av.error.InvalidDataError):
        return "the data is damaged or of an unknown format"
    if isinstance(error, av.error.UnknownError):
        return "FFmpeg does not say why"
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number in _REASONS:
        return _REASONS[number]
    if isinstance(error, (av.error.FFmpegError, OSError)):
        return redact_urls(error.strerror or type(error).__name__)
    return redact_urls(str(error) or type(error).__name__)
