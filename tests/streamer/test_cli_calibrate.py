"""`veilstream calibrate epsilon --reid`: like beside like."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from streamer.cli.app import app
from streamer.errors import SettingsError


def _run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(argument) for argument in arguments])


def test_what_was_measured_stands_beside_the_bound_of_the_same_far(tmp_path: Path) -> None:
    rates = {"tar_far_1e3": {"tar": {"value": 0.004}}, "tar_far_1e2": {"tar": {"value": 0.05}}}
    results = [{"row": "epsilon 1", "attack": "naive", **rates}]
    (tmp_path / "reid.json").write_text(json.dumps({"results": results}))
    arguments = ("calibrate", "epsilon", "--epsilon", 1, "--reid", tmp_path / "reid.json", "--out", tmp_path)
    assert _run(*arguments, "--far", 0.01).exit_code == 0
    written = json.loads((tmp_path / "calibrate.json").read_text())
    assert (written["chosen"]["far"], written["measured"]) == (0.01, [[1.0, 0.05]])
    refused = _run(*arguments, "--far", 0.02).exception
    assert isinstance(refused, SettingsError)
    assert "--far 0.001 or 0.01, not at 0.02" in str(refused)
    assert _run("calibrate", "epsilon", "--epsilon", 1, "--far", 0.02).exit_code == 0
