"""Anonymized pictures for the page: single JPEGs that it asks for one by one, and MJPEG for other viewers.

The page asks for single pictures, because a browser opens no more than six connections to a server: with MJPEG the
seventh camera would stay black and the counts would stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from streamer.live.view import GatewayView, PreviewSubscription

BOUNDARY = "veilstream-picture"
POLL_SECONDS = 0.04
# Somebody who asks for single pictures counts as a viewer for so long after the last one.
KEEP_SECONDS = 10.0


@dataclass(slots=True)
class _Kept:
    subscription: PreviewSubscription
    asked_at: float


class Pictures:
    """Keeps a camera's preview going while single pictures of it are asked for. Used from the event loop alone."""

    def __init__(self, gateway: GatewayView) -> None:
        self._gateway = gateway
        self._kept: dict[str, _Kept] = {}

    def latest(self, name: str) -> tuple[int, bytes] | None:
        """Newest picture of a camera. Raises KeyError where there is no preview."""
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = _Kept(self._subscribe(name), 0.0)
        kept.asked_at = time.monotonic()
        return kept.subscription.latest()

    async def mjpeg(self, name: str) -> AsyncIterator[bytes]:
        """Parts of a multipart stream, each new picture once; a slow viewer misses pictures and delays nobody.

        Raises KeyError, before anything is given, where there is no preview.
        """
        return self._parts(self._subscribe(name))

    async def _parts(self, subscription: PreviewSubscription) -> AsyncIterator[bytes]:
        shown = None
        try:
            while True:
                picture = subscription.latest()
                if picture is not None and picture[0] != shown:
                    shown, jpeg = picture
                    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    yield head.encode() + jpeg + b"\r\n"
                await asyncio.sleep(POLL_SECONDS)
        finally:
            subscription.close()

    async def let_go(self) -> None:
        """Runs for ever: ends what nobody has asked for lately."""
        try:
            while True:
                await asyncio.sleep(KEEP_SECONDS / 4)
                self._close_older_than(time.monotonic() - KEEP_SECONDS)
        finally:
            self._close_older_than(float("inf"))

    def _close_older_than(self, limit: float) -> None:
        for name in [name for name, kept in self._kept.items() if kept.asked_at < limit]:
            self._kept.pop(name).subscription.close()

    def _subscribe(self, name: str) -> PreviewSubscription:
        source = self._gateway.preview(name)
        if source is None:
            raise KeyError(name)
        return source.subscribe()
