"""A gateway that is none: telemetry that a test fills, and previews that it feeds."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from streamer.live.telemetry import CameraSnapshot, CameraTelemetry


@dataclass
class FakePreview:
    """Gives the pictures put into it; counts its viewers."""

    picture: tuple[int, bytes] | None = None
    viewers: int = 0

    def put(self, jpeg: bytes) -> None:
        self.picture = (1 if self.picture is None else self.picture[0] + 1, jpeg)

    def subscribe(self) -> FakePreview:
        self.viewers += 1
        return self

    def latest(self) -> tuple[int, bytes] | None:
        return self.picture

    def close(self) -> None:
        self.viewers -= 1


@dataclass
class FakeGateway:
    """Satisfies `GatewayView`."""

    telemetries: list[CameraTelemetry] = field(default_factory=list)
    previews: dict[str, FakePreview] = field(default_factory=dict)
    ready: bool = True
    healthy: bool = True

    def add(self, name: str, *, preview: bool = False) -> CameraTelemetry:
        telemetry = CameraTelemetry(name)
        self.telemetries.append(telemetry)
        if preview:
            self.previews[name] = FakePreview()
        return telemetry

    def snapshots(self) -> list[CameraSnapshot]:
        return [telemetry.snapshot() for telemetry in self.telemetries]

    def preview(self, name: str) -> FakePreview | None:
        return self.previews.get(name)


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()
