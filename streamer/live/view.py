"""What the web page, the metrics and the health checks may see of a gateway: snapshots and anonymized pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streamer.live.telemetry import CameraSnapshot


class PreviewSubscription(Protocol):
    """One viewer of a camera. While there is none, no picture need be made."""

    def latest(self) -> tuple[int, bytes] | None:
        """Number and JPEG of the newest anonymized picture, or None before the first. Never waits."""
        ...

    def close(self) -> None:
        """The viewer has gone."""
        ...


class PreviewSource(Protocol):
    """Small pictures of a camera, made from its AnonymizedFrames and from nothing else."""

    def subscribe(self) -> PreviewSubscription: ...


class GatewayView(Protocol):
    """What is shown of a gateway."""

    @property
    def ready(self) -> bool:
        """True when every camera has put out pictures lately (its placeholder counts)."""
        ...

    @property
    def healthy(self) -> bool:
        """False when a thread of a camera has died."""
        ...

    def snapshots(self) -> Sequence[CameraSnapshot]:
        """One per camera, in the order of the settings."""
        ...

    def preview(self, name: str) -> PreviewSource | None:
        """None where the camera has no preview among its outputs, or is unknown."""
        ...
