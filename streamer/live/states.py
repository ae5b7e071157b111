"""The states a camera goes through."""

from __future__ import annotations

from enum import Enum


class CameraState(str, Enum):
    """What a camera is doing. `ENDED` and `FAILED` are final."""

    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"
    FAILED = "failed"
