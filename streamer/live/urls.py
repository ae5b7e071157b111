"""Places that pictures come from and go to. Their credentials are kept out of everything that can be printed."""

from __future__ import annotations

import re
from typing import Any, final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from streamer.redact import redact_urls

PUSH_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt")
INPUT_SCHEMES = (*PUSH_SCHEMES, "http", "https", "udp", "rtp")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Camera makers put user and password into the path as well ("/user=admin&password=..."), and a stream key is one.
_TELLING_PATH = re.compile(r"[=&;@:]")
_SHORTEST_QUERY_SECRET = 8


@final
class SourceUrl:
    """A network URL, a local device (`/dev/video0`) or a file.

    `str`, `repr`, formatting and pydantic's dumps give it without credentials; only `reveal` gives it whole.

    Attributes:
        scheme: lower-case scheme of a URL, `device` or `file`.

    Raises:
        ValueError: not usable. The text never holds the URL.
    """

    __slots__ = ("_given", "_shown", "scheme")

    def __init__(self, given: str) -> None:
        if not given or given != given.strip() or any(ord(letter) < 32 for letter in given):
            raise ValueError("it is empty, or has spaces around it or control characters in it")
        self._given = given
        match = _SCHEME.match(given)
        if match is None:
            self.scheme = "device" if given.startswith("/dev/") else "file"
            self._shown = given
        else:
            self.scheme = match[1].lower()
            self._shown = _shown(self.scheme, _split(self.scheme, given))

    @property
    def is_network(self) -> bool:
        return self.scheme not in ("device", "file")

    def reveal(self) -> str:
        """The whole of it, for the library that opens it. Never log, raise or store what this gives."""
        return self._given

    def secrets(self) -> frozenset[str]:
        """Parts that no text may show: the password, tokens in the query, a stream key, and the whole URL."""
        if not self.is_network:
            return frozenset()
        parts = urlsplit(self._given)
        found = set()
        if self._given != self._shown:
            found.add(self._given)
        if parts.password:
            found |= {parts.password, unquote(parts.password)}
        values = [parts.query, *(value for _, value in parse_qsl(parts.query))]
        found |= {value for value in values if len(value) >= _SHORTEST_QUERY_SECRET}
        if _hides_path(self.scheme, parts.path):
            found.add(parts.path.strip("/") if "=" in parts.path else parts.path.rsplit("/", 1)[-1])
        return frozenset(text for text in found if text)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"SourceUrl({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceUrl) and other._given == self._given

    def __hash__(self) -> int:
        return hash(self._given)

    def __reduce__(self) -> str:
        raise TypeError("a SourceUrl is not pickled: it would take its credentials along")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any) -> SourceUrl:
            if isinstance(value, SourceUrl):
                return value
            if not isinstance(value, str):
                raise ValueError("give a URL, a device or a file as text")
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def _split(scheme: str, given: str) -> SplitResult:
    """The parts of a URL. Raises ValueError with a text of its own: the library's shows what it was given."""
    if scheme not in INPUT_SCHEMES:
        raise ValueError(f"scheme {scheme}:// is not supported; give one of {', '.join(INPUT_SCHEMES)}")
    try:
        parts = urlsplit(given)
        readable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        readable = False
    # An unencoded slash in a password moves the host: the part after the first @ would be asked for.
    if not readable or any(letter.isspace() for letter in given) or (parts.username and "@" in parts.path):
        raise ValueError(
            "host and port cannot be read from it; percent-encode special characters in user and password "
            "(/ is %2F, @ is %40)"
        )
    return parts


def _hides_path(scheme: str, path: str) -> bool:
    return scheme in ("rtmp", "rtmps") or bool(_TELLING_PATH.search(path))


def _shown(scheme: str, parts: SplitResult) -> str:
    host = parts.netloc.rsplit("@", 1)[-1]
    path = "/..." if parts.path.strip("/") and _hides_path(scheme, parts.path) else parts.path
    return redact_urls(f"{scheme}://{host}{path}")
