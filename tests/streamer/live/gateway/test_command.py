"""`veilstream stream` as users run it: from start to SIGTERM, with nothing secret on any of its outputs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner

from streamer.cli import stream
from streamer.cli.app import app
from streamer.cli.exit_codes import DONE
from streamer.errors import SettingsError
from streamer.live.settings import GatewaySettings, Transport
from streamer.settings import Precision

from .conftest import PASSWORD, RtspServer, wait_for

COMMAND = [sys.executable, "-c", "from streamer.cli import main; main()", "stream"]


def _environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}


def test_it_ends_on_sigterm_with_the_last_recording_playable(rtsp_server: RtspServer, tmp_path: Path) -> None:
    rtsp_server.start()
    folder = tmp_path / "rec"
    command = [*COMMAND, rtsp_server.url("people.mp4"), str(folder), "--mechanism", "uniform"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment(tmp_path))
        wait_for(lambda: sum(path.stat().st_size for path in folder.glob("*")) > 20_000, "it records", 60.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    (recording,) = folder.iterdir()
    assert recording.suffix == ".mp4"
    with av.open(str(recording)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 5
    shown = (tmp_path / "log").read_text()
    assert "connecting -> running" in shown
    assert "look-ahead 0.5 s" in shown
    assert PASSWORD not in shown
    # A synthetic person was drawn for each of the two, and written down.
    assert len((tmp_path / "state" / "veilstream" / "ledger.jsonl").read_text().splitlines()) >= 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rtsp://operator:hunter2@cam/1"], "give IN and OUT"),
        (["rtsp://operator:hunter2@cam/1", "ftp://operator:hunter2@host/x"], "cannot push to ftp"),
        (["rtsp://operator:hunter2@cam/1", "out.mp4"], "neither a URL"),
        (["gopher://operator:hunter2@cam/1", "rec"], "not supported"),
    ],
)
def test_a_wrong_call_ends_with_one_line(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["stream", *arguments])
    assert isinstance(done.exception, SettingsError)
    told = str(done.exception)
    assert words in told
    assert "\n" not in told
    assert "hunter2" not in told + done.output


def test_options_of_the_command_line_reach_the_gateway(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[GatewaySettings] = []

    def run(settings: GatewaySettings) -> int:
        given.append(settings)
        return DONE

    monkeypatch.setattr(stream, "_run", run)
    options = ["--precision", "float", "--engine", "onnxruntime", "--look-ahead", "0", "--transport", "udp"]
    done = CliRunner().invoke(app, ["stream", "rtsp://cam/1", str(tmp_path / "rec"), *options])
    assert done.exit_code == DONE
    (settings,) = given
    assert settings.precision is Precision.FLOAT
    assert settings.engine == "onnxruntime"
    assert settings.cameras[0].look_ahead_seconds == 0.0
    assert settings.cameras[0].transport is Transport.UDP
    assert settings.anonymize_settings(settings.cameras[0]).precision is Precision.FLOAT
