"""docs/operations.md says what is there: every key with its default, every metric, every reason, every alert."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from streamer.live.metrics import metrics_registry
from streamer.live.settings import (
    CameraSettings,
    GatewaySettings,
    HlsOutput,
    PreviewOutput,
    PushOutput,
    SegmentsOutput,
    WebSettings,
)
from streamer.render.compositor import MaskReason
from streamer.settings import AnalysisSettings, EncodeSettings, PrivacySettings

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "operations.md").read_text()
# Keys that exist in the models and are refused in live settings.
REFUSED = {"detector", "look_ahead_seconds", "hardware"}


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading, its two head lines left out."""
    section = re.split(r"^#+ ", TEXT.split(f"\n### {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def default_of(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required() or name == "kind":
        return "required"
    value: Any = field.default
    if name == "scope":
        return "the camera's name"
    if value is None or value == ():
        return "none"
    if isinstance(value, BaseModel):
        return "defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    return f"`{value:g}`" if isinstance(value, (int, float)) else f"`{value}`"


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Gateway", GatewaySettings),
        ("Camera", CameraSettings),
        ("Privacy", PrivacySettings),
        ("Analysis", AnalysisSettings),
        ("Output: push", PushOutput),
        ("Output: HLS", HlsOutput),
        ("Output: segments", SegmentsOutput),
        ("Output: preview", PreviewOutput),
        ("Encode", EncodeSettings),
        ("Web", WebSettings),
    ],
)
def test_each_key_stands_there_with_its_default(heading: str, model: type[BaseModel]) -> None:
    refused = REFUSED if model in (AnalysisSettings, EncodeSettings) else set()
    expected = {name: default_of(model, name) for name in model.model_fields if name not in refused}
    assert {cells[0].strip("`"): cells[1] for cells in rows(heading)} == expected


def test_each_metric_stands_there_with_its_labels(gateway: Any) -> None:
    door = gateway.add("door")
    door.frame_out()
    door.frame_dropped("x")
    door.fallback("x")
    door.fail_closed("x")
    door.stage_seconds("x", 1.0)
    door.queue_fill("x", 1, 2)
    real: dict[str, set[str]] = {}
    for family in metrics_registry(gateway).collect():
        if family.name.startswith("veilstream"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            real[name] = set(family.samples[0].labels) - {"le"}
    documented: dict[str, set[str]] = {}
    for cells in rows("Metrics"):
        for name in re.findall(r"`(veilstream_\w+)`", cells[0]):
            documented[name] = {label.strip() for label in cells[1].split(",")} - {""}
    assert documented == real


def test_each_reason_and_stage_stands_there() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "streamer" / "live").rglob("*.py"))
    used = set(re.findall(r'(?:frame_dropped|fail_closed|stage_seconds|queue_fill)\("(\w+)"', source))
    used |= {reason.value for reason in MaskReason}
    assert len(used) > 10
    assert {word for word in used if not re.search(rf"\b{word}\b", TEXT)} == set()


def test_each_alert_stands_there() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"][0]["rules"]
    documented = {name for cells in rows("Alerts") for name in re.findall(r"Veilstream\w+", cells[0])}
    assert documented == {rule["alert"] for rule in rules}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
