"""Is the process whole, and do all cameras put out pictures: for supervisors and load balancers."""

from __future__ import annotations

from dataclasses import dataclass

from streamer.live.states import CameraState
from streamer.live.telemetry import CameraSnapshot
from streamer.live.view import GatewayView

LATE_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Health:
    """Answer to a check. It names no camera: whoever may ask need not know them.

    Attributes:
        ok: the check is passed.
        waiting: cameras that put out nothing.
    """

    ok: bool
    waiting: int = 0


def alive(gateway: GatewayView) -> Health:
    """False when a camera's thread has died: restart the process."""
    return Health(gateway.healthy)


def ready(gateway: GatewayView) -> Health:
    """False while a camera puts out nothing, not even its placeholder."""
    waiting = sum(not camera_is_ready(snapshot) for snapshot in gateway.snapshots())
    return Health(gateway.ready and not waiting, waiting)


def camera_is_ready(snapshot: CameraSnapshot) -> bool:
    """True when a picture, or the placeholder, left the camera lately, or there is nothing more to come."""
    if snapshot.state is CameraState.ENDED:
        return True
    age = snapshot.seconds_since_picture_out
    return snapshot.state is not CameraState.FAILED and age is not None and age <= LATE_AFTER_SECONDS
