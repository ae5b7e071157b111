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


@pytest.mark.parametrize("name", ["index.m3u8", "segment-000000001.ts"])
def test_hls_into_the_folder_of_an_input_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A playlist that is there is gone on with, and its segments are deleted."""
    (tmp_path / name).write_text("raw")
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr("streamer.cli.stream.Gateway", lambda settings: pytest.fail("was started"))
    for folder in (tmp_path, tmp_path / "link"):
        result = CliRunner().invoke(app, ["stream", str(tmp_path / name), str(folder / "index.m3u8")])
        assert isinstance(result.exception, SettingsError)
        assert "could delete it; choose another one" in str(result.exception)
    assert (tmp_path / name).read_text() == "raw"
