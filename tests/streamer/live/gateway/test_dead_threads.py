"""A thread that dies ends the process, so that whoever supervises it starts it anew; one that is done does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer.cli import stream
from streamer.cli.exit_codes import DONE, FAILED
from streamer.live.director import Director
from streamer.live.gateway import Gateway
from streamer.live.outputs.encoder import LiveEncoder
from streamer.live.settings import GatewaySettings
from streamer.live.source import LiveSource
from streamer.live.stages import AnalysisStage, RenderStage
from streamer.live.states import CameraState
from streamer.render.compositor import Compositor

from .conftest import RtspServer, wait_for


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[GatewaySettings], int]:
    """The command's own loop, the logging of this process left as it is."""
    monkeypatch.setattr(stream, "configure_logging", lambda *_: None)
    return stream._run


@pytest.fixture
def one_file(settings: Callable[..., GatewaySettings], clips: Path, tmp_path: Path) -> GatewaySettings:
    """A gateway whose one camera is a file, which ends after four seconds."""
    outputs = [{"kind": "segments", "folder": str(tmp_path / "rec")}, {"kind": "preview"}]
    return settings({"input": str(clips / "nobody.mp4"), "outputs": outputs})


@pytest.mark.parametrize(
    ("part", "method"),
    [
        (LiveSource, "_take"),
        (AnalysisStage, "_push"),
        (Compositor, "look"),
        (RenderStage, "_render"),
        (Director, "_show"),
        (LiveEncoder, "_encode"),
    ],
    ids=["read", "analysis", "look", "render", "director", "encode"],
)
def test_a_dead_thread_ends_the_process_as_failed(
    part: type,
    method: str,
    run: Callable[[GatewaySettings], int],
    one_file: GatewaySettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def die(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(part, method, die)
    assert run(one_file) == FAILED
    assert "a thread of the gateway died" in capsys.readouterr().err


def test_a_file_that_ends_is_no_failure(
    run: Callable[[GatewaySettings], int], one_file: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(one_file) == DONE
    assert capsys.readouterr().err == ""


def test_a_camera_that_has_ended_leaves_the_gateway_ready_and_healthy(
    settings: Callable[..., GatewaySettings], clips: Path, rtsp_server: RtspServer
) -> None:
    rtsp_server.start()
    preview = [{"kind": "preview"}]
    gateway = Gateway(
        settings(
            {"name": "file", "input": str(clips / "nobody.mp4"), "outputs": preview},
            {"name": "camera", "input": rtsp_server.url("nobody.mp4"), "outputs": preview},
        )
    )
    gateway.start()
    try:
        wait_for(lambda: gateway.snapshots()[0].state is CameraState.ENDED, "the file ends")
        # Its threads end after it.
        wait_for(lambda: not any(t.is_alive() for t in gateway._cameras["file"]._threads), "all is written")
        wait_for(lambda: gateway.snapshots()[1].frames_out > 0, "the camera plays")
        assert gateway.healthy
        assert gateway.ready
        assert not gateway.is_over
    finally:
        gateway.stop()
