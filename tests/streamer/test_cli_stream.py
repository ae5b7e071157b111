"""`veilstream stream`: no option is ignored in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamer.cli.app import app
from streamer.errors import SettingsError

YAML = "cameras:\n  - {name: door, input: rtsp://cam/live, outputs: [{kind: preview}]}\n"


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> tuple[list[Any], BaseException | None]:
    """The settings it would run with, and what it raised."""
    ran: list[Any] = []
    monkeypatch.setattr("streamer.cli.stream._run", lambda settings: ran.append(settings) or 0)
    result = CliRunner().invoke(app, ["stream", *map(str, arguments)])
    return ran, result.exception


def test_options_beside_a_config_file_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "c.yml"
    config.write_text(YAML)
    ran, _ = _run(monkeypatch, "--config", config)
    assert [camera.name for camera in ran[0].cameras] == ["door"]
    for options in (["--epsilon", "0.1"], ["--replace-with", "solid", "--port", "9999"], ["--budget", "0"]):
        ran, error = _run(monkeypatch, "--config", config, *options)
        assert not ran
        assert isinstance(error, SettingsError)
        assert all(option in str(error) for option in options if option.startswith("--"))


def test_the_same_options_without_a_file_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, _ = _run(monkeypatch, "rtsp://cam/live", tmp_path / "rec", "--epsilon", "0.1", "--budget", "0")
    assert ran[0].cameras[0].privacy.epsilon == 0.1
