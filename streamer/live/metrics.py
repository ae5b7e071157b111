"""The gateway's counters in the Prometheus text format.

Nothing is counted here: a collector turns the cameras' snapshots into metrics when it is asked, so that there is one
truth and no cost between two scrapes. Labels are names from the settings and members of enumerations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from streamer.live.states import CameraState
from streamer.live.telemetry import DELAY_BUCKETS_SECONDS, CameraSnapshot
from streamer.live.view import GatewayView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS: tuple[tuple[str, str, Callable[[CameraSnapshot], float]], ...] = (
    ("veilstream_frames_in", "Pictures decoded.", lambda s: s.frames_in),
    ("veilstream_frames_out", "Anonymized pictures handed to the outputs.", lambda s: s.frames_out),
    (
        "veilstream_placeholder_frames",
        "Placeholder pictures handed to the outputs.",
        lambda s: s.placeholders_out,
    ),
    ("veilstream_faces", "Faces covered, counted per picture.", lambda s: s.faces),
    ("veilstream_reconnects", "Connections made anew.", lambda s: s.reconnects),
)
_BY_REASON: tuple[tuple[str, str, Callable[[CameraSnapshot], Mapping[str, int]]], ...] = (
    ("veilstream_frames_dropped", "Pictures let go to stay live.", lambda s: s.frames_dropped),
    (
        "veilstream_fallback_faces",
        "Faces covered by the fallback instead of a synthetic person.",
        lambda s: s.fallbacks,
    ),
    (
        "veilstream_fail_closed_frames",
        "Pictures masked whole because something failed.",
        lambda s: s.fail_closed,
    ),
)
_GAUGES: tuple[tuple[str, str, Callable[[CameraSnapshot], float | None]], ...] = (
    ("veilstream_tracks_alive", "People followed now.", lambda s: s.tracks_alive),
    (
        "veilstream_overload_level",
        "0 none, 1 looks less often, 2 looks at smaller pictures as well.",
        lambda s: s.overload,
    ),
    (
        "veilstream_seconds_since_frame_out",
        "Seconds since the last anonymized picture; absent before the first.",
        lambda s: s.seconds_since_frame_out,
    ),
)


class GatewayCollector(Collector):
    """Gives the snapshots of a gateway as metrics."""

    def __init__(self, gateway: GatewayView) -> None:
        self._gateway = gateway

    def describe(self) -> Iterator[Metric]:
        """Nothing: names need not be known before the first scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        snapshots = list(self._gateway.snapshots())
        yield from _counters(snapshots)
        yield from _gauges(snapshots)
        yield from _stages(snapshots)
        yield _delays(snapshots)
        ready = GaugeMetricFamily("veilstream_ready", "1 while every camera puts out pictures.")
        ready.add_metric([], float(self._gateway.ready))
        yield ready


def metrics_registry(gateway: GatewayView) -> CollectorRegistry:
    """A registry of its own: the gateway, and the process's memory, threads and descriptors."""
    registry = CollectorRegistry()
    registry.register(GatewayCollector(gateway))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """One scrape, of `CONTENT_TYPE`."""
    return generate_latest(registry)


def _counters(snapshots: Sequence[CameraSnapshot]) -> Iterator[Metric]:
    for name, help_text, value in _COUNTERS:
        counter = CounterMetricFamily(name, help_text, labels=["camera"])
        for snapshot in snapshots:
            counter.add_metric([snapshot.name], value(snapshot))
        yield counter
    for name, help_text, counts in _BY_REASON:
        counter = CounterMetricFamily(name, help_text, labels=["camera", "reason"])
        for snapshot in snapshots:
            for reason, count in counts(snapshot).items():
                counter.add_metric([snapshot.name, reason], count)
        yield counter


def _gauges(snapshots: Sequence[CameraSnapshot]) -> Iterator[Metric]:
    for name, help_text, value in _GAUGES:
        gauge = GaugeMetricFamily(name, help_text, labels=["camera"])
        for snapshot in snapshots:
            if (number := value(snapshot)) is not None:
                gauge.add_metric([snapshot.name], number)
        yield gauge
    spent = GaugeMetricFamily(
        "veilstream_epsilon_spent",
        "Epsilon spent in a camera's scope, in sum; cameras may share a scope.",
        labels=["camera", "scope"],
    )
    states = GaugeMetricFamily(
        "veilstream_camera_state", "1 for the state the camera is in.", labels=["camera", "state"]
    )
    items = GaugeMetricFamily("veilstream_queue_items", "Items that wait.", labels=["camera", "queue"])
    capacity = GaugeMetricFamily(
        "veilstream_queue_capacity_items", "Items that may wait.", labels=["camera", "queue"]
    )
    for snapshot in snapshots:
        spent.add_metric([snapshot.name, snapshot.scope], snapshot.epsilon_spent)
        for state in CameraState:
            states.add_metric([snapshot.name, state.value], float(state is snapshot.state))
        for queue, fill in snapshot.queues.items():
            items.add_metric([snapshot.name, queue], fill.items)
            capacity.add_metric([snapshot.name, queue], fill.capacity)
    yield spent
    yield states
    yield items
    yield capacity


def _stages(snapshots: Sequence[CameraSnapshot]) -> Iterator[Metric]:
    seconds = CounterMetricFamily(
        "veilstream_stage_seconds", "Wall-clock seconds spent in a stage.", labels=["camera", "stage"]
    )
    runs = CounterMetricFamily("veilstream_stage_runs", "Runs of a stage.", labels=["camera", "stage"])
    for snapshot in snapshots:
        for stage, total in snapshot.stages.items():
            seconds.add_metric([snapshot.name, stage], total.seconds)
            runs.add_metric([snapshot.name, stage], total.runs)
    yield seconds
    yield runs


def _delays(snapshots: Sequence[CameraSnapshot]) -> Metric:
    delays = HistogramMetricFamily(
        "veilstream_delay_seconds",
        "From a packet's arrival to its picture handed to the muxer.",
        labels=["camera"],
    )
    for snapshot in snapshots:
        bounds = [str(bound) for bound in DELAY_BUCKETS_SECONDS] + ["+Inf"]
        counts = [*snapshot.delay_buckets, snapshot.delay_count]
        delays.add_metric([snapshot.name], list(zip(bounds, counts, strict=True)), snapshot.delay_sum_seconds)
    return delays
