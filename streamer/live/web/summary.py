"""Snapshots as the plain values that the page draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamer.live.health import camera_is_ready
from streamer.live.telemetry import HISTORY_SLOT_SECONDS, CameraSnapshot, HistoryPoint
from streamer.live.view import GatewayView

# Frames per second now: over the last few slots, or it would jump.
_RECENT_SLOTS = 3


def summary(gateway: GatewayView) -> dict[str, Any]:
    """Everything the page shows but the pictures."""
    snapshots = list(gateway.snapshots())
    # Cameras that share a scope share its sum; the one that drew last knows it.
    spent: dict[str, float] = {}
    for snapshot in snapshots:
        spent[snapshot.scope] = max(spent.get(snapshot.scope, 0.0), snapshot.epsilon_spent)
    return {
        "ready": gateway.ready,
        "healthy": gateway.healthy,
        "history_slot_seconds": HISTORY_SLOT_SECONDS,
        "epsilon_spent": sum(spent.values()),
        "cameras": [_camera(snapshot, gateway.preview(snapshot.name) is not None) for snapshot in snapshots],
    }


def _camera(snapshot: CameraSnapshot, has_preview: bool) -> dict[str, Any]:
    recent = snapshot.history[-_RECENT_SLOTS:]
    return {
        "name": snapshot.name,
        "scope": snapshot.scope,
        "state": snapshot.state.value,
        "state_seconds": round(snapshot.state_seconds, 1),
        "ready": camera_is_ready(snapshot),
        "has_preview": has_preview,
        "frames_in": snapshot.frames_in,
        "frames_out": snapshot.frames_out,
        "placeholders_out": snapshot.placeholders_out,
        "frames_in_per_second": _mean([point.frames_in_per_second for point in recent]),
        "frames_out_per_second": _mean([point.frames_out_per_second for point in recent]),
        "seconds_since_frame_out": snapshot.seconds_since_frame_out,
        "frames_dropped": dict(snapshot.frames_dropped),
        "faces": snapshot.faces,
        "tracks_alive": snapshot.tracks_alive,
        "fallbacks": dict(snapshot.fallbacks),
        "fail_closed": dict(snapshot.fail_closed),
        "reconnects": snapshot.reconnects,
        "queues": {name: [fill.items, fill.capacity] for name, fill in snapshot.queues.items()},
        "stages_ms": {
            name: 1000.0 * total.seconds / max(1, total.runs) for name, total in snapshot.stages.items()
        },
        "delay_p50_seconds": snapshot.delay_p50_seconds,
        "delay_p99_seconds": snapshot.delay_p99_seconds,
        "epsilon_spent": snapshot.epsilon_spent,
        "overload": snapshot.overload,
        "history": [_point(point) for point in snapshot.history],
    }


def _point(point: HistoryPoint) -> list[float | None]:
    """[age s, frames out per second, median delay s, 99th percentile s]."""
    return [
        round(point.age_seconds, 1),
        point.frames_out_per_second,
        point.delay_p50_seconds,
        point.delay_p99_seconds,
    ]


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None
