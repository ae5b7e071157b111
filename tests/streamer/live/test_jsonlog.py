"""No credential leaves through a log, whichever field it hides in."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import av
import pytest

from streamer.live.config import parse_config
from streamer.live.jsonlog import configure_logging
from streamer.live.settings import LogFormat

SECRETS = ("s3cret-pw", "p%40ss%2Fword", "p@ss/word", "str3amk3y", "abcdefgh12345678", "topsecrettoken")


@pytest.fixture
def clean_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def secrets() -> frozenset[str]:
    content = {
        "web": {"token": "abcdefgh12345678"},
        "cameras": [
            {
                "name": "door",
                "input": "rtsp://viewer:s3cret-pw@cam/live?t=topsecrettoken",
                "outputs": [
                    {"kind": "push", "url": "rtmp://srv/app/str3amk3y"},
                    {"kind": "push", "url": "rtsp://u:p%40ss%2Fword@srv/live"},
                ],
            }
        ],
    }
    return parse_config(content, where="x").secrets()


def log_everything() -> None:
    """Secrets in every place a record has for them."""
    log = logging.getLogger("test.live")
    log.info("opening rtsp://viewer:s3cret-pw@cam/live?t=topsecrettoken")
    log.warning("pushing to %s with %r", "rtmp://srv/app/str3amk3y", {"token": "abcdefgh12345678"})
    log.info("extra", extra={"camera": "door", "deep": {"url": ["p@ss/word"], "p%40ss%2Fword": 1}})
    log.info("unknown: http://someone:s3cret-other@host/x?key=s3cret-other")
    log.info("bad %d", "s3cret-pw")
    try:
        try:
            av.open("file:/nonexistent/rtsp://viewer:s3cret-pw@cam")
        except av.error.FFmpegError as error:
            raise RuntimeError("p@ss/word failed") from error
    except RuntimeError:
        log.exception("while opening p@ss/word", stack_info=True)
    logging.getLogger("s3cret-pw").error("name")
    thread = threading.Thread(target=_die, name="door")
    thread.start()
    thread.join()
    loop: dict[str, Any] = {"token": "s3cret-pw"}
    loop["itself"] = loop
    log.info("cannot be written", extra={"loop": loop, "odd": float("nan")})
    log.info("odd", extra={"odd": float("nan")})


def _die() -> None:
    raise ValueError("cannot open rtsp://viewer:s3cret-pw@cam")


def logged(log_format: LogFormat) -> str:
    stream = io.StringIO()
    configure_logging(log_format, secrets(), stream=stream)
    log_everything()
    return stream.getvalue()


@pytest.mark.usefixtures("clean_logging")
@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_credential_in_any_field(log_format: LogFormat, capfd: pytest.CaptureFixture[str]) -> None:
    text = logged(log_format) + "".join(capfd.readouterr())
    assert [secret for secret in (*SECRETS, "s3cret-other", "viewer") if secret in text] == []
    assert "rtsp://cam/live" in text or "***" in text
    assert "uncaught exception in door" in text
    assert len(text.splitlines()) == 10, "one line a record"


@pytest.mark.usefixtures("clean_logging")
def test_json_holds_what_a_reader_needs() -> None:
    records: list[dict[str, Any]] = [json.loads(line) for line in logged(LogFormat.JSON).splitlines()]
    assert {"time", "level", "logger", "thread", "message"} <= set(records[0])
    assert records[0]["time"].endswith("+00:00")
    assert records[2]["camera"] == "door"
    failed = records[5]["exception"]
    assert (failed["type"], failed["text"]) == ("RuntimeError", "*** failed")
    assert any("log_everything" in place for place in failed["at"])
    assert "arguments do not fit" in records[4]["message"]
    assert records[-1]["odd"] == "nan"
