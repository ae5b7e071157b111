"""The web server in a thread of its own, beside the cameras."""

from __future__ import annotations

import logging
import socket
import threading

import uvicorn
from fastapi import FastAPI

from streamer.errors import SettingsError
from streamer.live.settings import is_loopback
from streamer.live.web.access import Access
from streamer.redact import reason_of

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 128


class WebServer:
    """A running server.

    Attributes:
        host, port: where it listens; the port is the real one, also when 0 was asked for.
    """

    def __init__(self, app: FastAPI, listening: socket.socket) -> None:
        self.host, self.port = listening.getsockname()[:2]
        self._listening = listening
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            # Streams for viewers never end by themselves.
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="veilstream-web", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Stop listening, end what is open, and wait for the thread."""
        self._server.should_exit = True
        self._thread.join(timeout_seconds)
        self._listening.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listening])


def serve_in_thread(app: FastAPI, host: str, port: int) -> WebServer:
    """Listen, and serve until `stop`.

    Raises:
        SettingsError: the address cannot be used, or others could reach it and no token is set.
    """
    access: Access = app.state.access
    if access.is_open and not is_loopback(host):
        raise SettingsError(f"web.host: {host} can be reached from other machines; set web.token")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"web.host: {host} is no address of this machine ({reason_of(error)})") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(64)
    except OSError as error:
        listening.close()
        reason = reason_of(error)
        raise SettingsError(f"web: cannot listen on {host} port {port} ({reason}); give another") from None
    server = WebServer(app, listening)
    _log.info("page, metrics and health checks at %s", server.url)
    return server
