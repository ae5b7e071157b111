"""The gateway's web page, metrics and health checks (extra `live`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.errors import SettingsError
from streamer.live.settings import WebSettings
from streamer.live.view import GatewayView

if TYPE_CHECKING:
    from streamer.live.web.server import WebServer


def start_web(gateway: GatewayView, settings: WebSettings) -> WebServer:
    """Serve a gateway in a thread of its own.

    Raises:
        SettingsError: the extra `live` is not installed, or the address cannot be used.
    """
    try:
        from streamer.live.web.app import create_app
        from streamer.live.web.server import serve_in_thread
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn"):
            raise
        raise SettingsError("web: needs fastapi and uvicorn; pip install 'veilstream[live]'") from None
    return serve_in_thread(create_app(gateway, settings.token), settings.host, settings.port)
