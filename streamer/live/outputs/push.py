"""Pushing to a server: RTSP, RTMP, SRT."""

from __future__ import annotations

import av
from av.container import OutputContainer

from streamer.live.outputs.muxer import ContainerMuxer
from streamer.live.settings import PushOutput

_FORMATS = {"rtsp": "rtsp", "rtsps": "rtsp", "rtmp": "flv", "rtmps": "flv", "srt": "mpegts"}
_SOCKET_TIMEOUT_MICROSECONDS = "2000000"


class PushMuxer(ContainerMuxer):
    """One connection to a server."""

    def __init__(self, settings: PushOutput) -> None:
        super().__init__()
        self._settings = settings

    def _container(self) -> OutputContainer:
        url = self._settings.url
        container: OutputContainer = av.open(
            url.reveal(), "w", format=_FORMATS[url.scheme], options=self._options()
        )
        return container

    def _options(self) -> dict[str, str]:
        if self._settings.url.scheme in ("rtsp", "rtsps"):
            return {
                "rtsp_transport": self._settings.transport.value,
                "timeout": _SOCKET_TIMEOUT_MICROSECONDS,
            }
        # A live stream has no end to go back from and fill its length in.
        return {"flvflags": "no_duration_filesize"} if self._settings.url.scheme.startswith("rtmp") else {}
