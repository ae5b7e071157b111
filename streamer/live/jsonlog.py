"""Log records for machines (one JSON object a line) or people, with every known credential taken out.

The filter is not asked to guess: it is given the secrets of the settings, and besides strips user, password and query
from whatever looks like a URL, in the message, its arguments, extra fields, exceptions and stack traces.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import traceback
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from streamer.live.settings import LogFormat
from streamer.redact import redact_urls

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    # Python 3.10 cannot subscript it.
    _StreamHandler = logging.StreamHandler

_log = logging.getLogger(__name__)
HIDDEN = "***"
# Shorter texts occur in ordinary words; a URL that carries one is cut by `redact_urls` all the same.
_SHORTEST = 4
_DEEPEST = 8
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Redactor:
    """Takes secrets out of text.

    Args:
        secrets: texts that must not be shown, see `GatewaySettings.secrets`.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be part of another.
        self._secrets = sorted((text for text in secrets if len(text) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text on one line, without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return redact_urls(text)

    def deep(self, value: Any, depth: int = 0) -> Any:
        """Plain JSON values with every text in them clean; anything else, or nested deeper than eight, becomes text."""
        if (
            value is None
            or isinstance(value, (bool, int))
            or (isinstance(value, float) and math.isfinite(value))
        ):
            return value
        if depth < _DEEPEST:
            if isinstance(value, dict):
                return {self(str(key)): self.deep(item, depth + 1) for key, item in value.items()}
            if isinstance(value, (list, tuple, set, frozenset)):
                return [self.deep(item, depth + 1) for item in value]
        return self(str(value))


class TextFormatter(logging.Formatter):
    """One line for people: time, level, message, and the kind of an exception."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        line = f"{at} {record.levelname.lower()}: {_message(record)}"
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        return self._redactor(line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, thread, message, extra fields, exception."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": _message(record),
        }
        content |= {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            content["exception"] = {
                "type": type(error).__name__,
                "text": str(error),
                # Places in the code alone: no source lines, no values.
                "at": [
                    f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)
                ],
            }
        if record.stack_info:
            content["stack"] = record.stack_info
        return json.dumps(self._redactor.deep(content), ensure_ascii=False)


def configure_logging(
    log_format: LogFormat,
    secrets: Iterable[str] = (),
    *,
    level: int = logging.INFO,
    stream: TextIO | None = None,
) -> None:
    """Send all records to a stream (stderr unless given), clean, and end what was set up before.

    Warnings, and exceptions that nobody caught in whatever thread, go the same way.
    """
    redactor = Redactor(secrets)
    handler = _Handler(stream or sys.stderr)
    formatter = JsonFormatter(redactor) if log_format is LogFormat.JSON else TextFormatter(redactor)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: _uncaught("the main thread", error)
    threading.excepthook = lambda args: _uncaught(
        args.thread.name if args.thread else "a thread", args.exc_value
    )
    sys.unraisablehook = lambda args: _uncaught("cleaning up", args.exc_value)


class _Handler(_StreamHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """Nothing: the inherited one prints the record's arguments as they are."""


def _uncaught(where: str, error: BaseException | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    _log.critical("uncaught exception in %s", where, exc_info=error)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # A wrong format string must not end the thread that logs, nor print the arguments as they are.
        return f"{record.msg!s} (its arguments do not fit)"
