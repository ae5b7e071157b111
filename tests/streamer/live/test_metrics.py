"""Metrics say what the snapshots say, by Prometheus' own conventions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamer.live.metrics import metrics_registry, metrics_text
from streamer.live.states import CameraState


def scrape(gateway: Any) -> dict[str, Any]:
    text = metrics_text(metrics_registry(gateway)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Any, sample: str) -> dict[tuple[str, ...], float]:
    return {tuple(s.labels.values()): s.value for s in family.samples if s.name == sample}


def test_each_count_of_each_camera_is_there(gateway: Any) -> None:
    door, yard = gateway.add("door"), gateway.add("yard")
    for _ in range(3):
        door.frame_in()
    door.frame_out()
    door.frame_out(placeholder=True)
    door.faces(5)
    door.tracks(2)
    door.frame_dropped("queue_full")
    door.fallback("too_small")
    door.fail_closed("detector_failed")
    door.stage_seconds("render", 0.5)
    door.queue_fill("decoded", 2, 8)
    door.reconnect()
    door.epsilon(7.0)
    door.overload(2)
    yard.state(CameraState.RUNNING)
    got = scrape(gateway)
    for name, expected in {
        "veilstream_frames_in": 3,
        "veilstream_frames_out": 1,
        "veilstream_placeholder_frames": 1,
        "veilstream_faces": 5,
        "veilstream_reconnects": 1,
    }.items():
        assert values(got[name], f"{name}_total") == {("door",): expected, ("yard",): 0}
    for name, labels in {
        "veilstream_frames_dropped": ("door", "queue_full"),
        "veilstream_fallback_faces": ("door", "too_small"),
        "veilstream_fail_closed_frames": ("door", "detector_failed"),
        "veilstream_stage_runs": ("door", "render"),
    }.items():
        assert values(got[name], f"{name}_total") == {labels: 1}
    assert values(got["veilstream_stage_seconds"], "veilstream_stage_seconds_total") == {
        ("door", "render"): 0.5
    }
    assert values(got["veilstream_queue_items"], "veilstream_queue_items") == {("door", "decoded"): 2}
    assert values(got["veilstream_queue_capacity_items"], "veilstream_queue_capacity_items") == {
        ("door", "decoded"): 8
    }
    assert values(got["veilstream_epsilon_spent"], "veilstream_epsilon_spent")[("door", "door")] == 7
    assert values(got["veilstream_overload_level"], "veilstream_overload_level")[("door",)] == 2
    # Before its first picture a camera has no age of one.
    assert list(values(got["veilstream_seconds_since_frame_out"], "veilstream_seconds_since_frame_out")) == [
        ("door",)
    ]
    states = values(got["veilstream_camera_state"], "veilstream_camera_state")
    assert [key for key, value in states.items() if value] == [("door", "connecting"), ("yard", "running")]


def test_the_delay_is_a_histogram(gateway: Any) -> None:
    door = gateway.add("door")
    for delay in (0.05, 0.6, 0.6, 99.0):
        door.delay(delay)
    family = scrape(gateway)["veilstream_delay_seconds"]
    assert family.type == "histogram"
    buckets = {key[-1]: value for key, value in values(family, "veilstream_delay_seconds_bucket").items()}
    assert (buckets["0.1"], buckets["0.5"], buckets["0.75"], buckets["30.0"], buckets["+Inf"]) == (
        1,
        1,
        3,
        3,
        4,
    )
    assert values(family, "veilstream_delay_seconds_count") == {("door",): 4}
    assert values(family, "veilstream_delay_seconds_sum")[("door",)] == pytest.approx(100.25)


def test_names_follow_the_conventions(gateway: Any) -> None:
    door = gateway.add("door")
    door.frame_dropped("queue_full")
    door.stage_seconds("render", 1.0)
    for name, family in scrape(gateway).items():
        if not name.startswith("veilstream_"):
            continue
        assert re.fullmatch(r"[a-z_]+", name)
        assert family.documentation.endswith(".")
        assert "seconds" not in name or name.endswith("_seconds") or "_since_" in name, "a unit stands last"
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)


def test_readiness_and_the_process_itself(gateway: Any) -> None:
    gateway.ready = False
    got = scrape(gateway)
    assert values(got["veilstream_ready"], "veilstream_ready") == {(): 0}
    assert values(got["process_open_fds"], "process_open_fds")[()] > 0
