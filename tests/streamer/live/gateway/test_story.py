"""One camera, one gateway, and everything that happens to a link; looked at from where the pictures arrive."""

from __future__ import annotations

import functools
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamer.live import source as source_module
from streamer.live.backoff import Backoff
from streamer.live.gateway import Gateway
from streamer.live.metrics import metrics_registry, metrics_text
from streamer.live.settings import GatewaySettings
from streamer.live.states import CameraState

from .conftest import PASSWORD, Receiver, RtspServer, wait_for

SIZE = (320, 180)


@pytest.fixture
def gateway_of(settings: Callable[..., GatewaySettings]) -> Any:
    """Starts gateways and stops them after the test."""
    running: list[Gateway] = []

    def start(*cameras: dict[str, Any], **shared: Any) -> Gateway:
        gateway = Gateway(settings(*cameras, **shared))
        running.append(gateway)
        gateway.start()
        return gateway

    yield start
    for gateway in running:
        gateway.stop()


def _stamps(path: Path) -> list[float]:
    """Of every frame, decoded. Fails where one cannot be."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert {(frame.width, frame.height) for frame in frames} == {SIZE}
        return [float(frame.pts * frame.time_base) for frame in frames]


def test_the_output_goes_on_whatever_the_camera_does(
    gateway_of: Callable[..., Gateway],
    rtsp_server: RtspServer,
    receiver: Receiver,
    clips: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No server at first; plays; killed; back with another resolution; frozen; thawed; stopped."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(source_module, "Backoff", functools.partial(Backoff, cap_seconds=1.0))
    outputs = [
        {"kind": "push", "url": receiver.url},
        {"kind": "segments", "folder": str(tmp_path / "rec"), "segment_seconds": 2},
        {"kind": "hls", "folder": str(tmp_path / "hls"), "segment_seconds": 1, "keep": 1000},
        {"kind": "preview"},
    ]
    gateway = gateway_of({"input": rtsp_server.url("people.mp4"), "outputs": outputs})

    def now() -> Any:
        return gateway.snapshots()[0]

    wait_for(lambda: now().state is CameraState.RECONNECTING, "notices that nobody answers")
    assert now().frames_out == now().placeholders_out == 0
    rtsp_server.start()
    wait_for(lambda: now().frames_out >= 15, "plays once the server is there")
    preview = gateway.preview("door")
    assert preview is not None
    viewer = preview.subscribe()
    wait_for(lambda: viewer.latest(), "a preview is made for a viewer")
    viewer.close()
    rtsp_server.kill()
    wait_for(lambda: now().state is CameraState.RECONNECTING, "notices that the server is gone")
    before = now().placeholders_out
    wait_for(lambda: now().placeholders_out >= before + 3, "the placeholder stands in")
    shutil.copy(rtsp_server.folder / "square.mp4", rtsp_server.folder / "people.mp4")
    before = now().frames_out
    rtsp_server.start()
    wait_for(lambda: now().frames_out >= before + 15, "plays again, at another resolution")
    rtsp_server.freeze()
    wait_for(lambda: now().state is CameraState.STALLED, "notices the stall")
    wait_for(lambda: now().state is CameraState.RECONNECTING, "gives the frozen link up")
    rtsp_server.thaw()
    before = now().frames_out
    wait_for(lambda: now().frames_out >= before + 10, "plays after the freeze")
    assert now().reconnects >= 2
    metrics = metrics_text(metrics_registry(gateway)).decode()
    gateway.stop()
    receiver.join()

    assert np.all(np.diff(receiver.stamps) > 0.0)
    assert receiver.damaged == 0
    assert {picture.shape for picture in receiver.pictures} == {SIZE[::-1]}
    assert len(receiver.pictures) >= 50
    for path in sorted((tmp_path / "rec").iterdir()):
        assert re.fullmatch(r"door-\d{8}T\d{6}\.\d{3}Z\.mp4", path.name)
        stamps = _stamps(path)
        assert stamps[0] == 0.0
        assert np.all(np.diff(stamps) > 0.0)
    assert np.all(np.diff(_stamps(tmp_path / "hls" / "index.m3u8")) > 0.0)
    _assert_faces_are_covered(receiver.pictures, clips / "people.mp4")
    shown = "\n".join(
        [caplog.text, metrics, repr(gateway.snapshots()), repr(gateway._cameras["door"].settings)]
    )
    assert "door" in shown
    assert PASSWORD not in shown


def _assert_faces_are_covered(pictures: list[np.ndarray], people: Path) -> None:
    """Eyes, nose and mouth give the middle of either face more texture in every picture of the clip than it has in any
    picture that came out."""
    with av.open(str(people)) as container:
        bare = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    for face in ((slice(70, 120), slice(55, 105)), (slice(70, 120), slice(215, 265))):
        assert min(_texture(picture[face]) for picture in bare) > 4.0
        assert max(_texture(picture[face]) for picture in pictures) < 2.0


def _texture(luma: np.ndarray) -> float:
    """Mean step between neighbouring rows."""
    return float(np.abs(np.diff(luma.astype(float), axis=0)).mean())


def test_four_cameras_share_the_engines(
    gateway_of: Callable[..., Gateway], rtsp_server: RtspServer, tmp_path: Path
) -> None:
    """All play at once; one that is not there and one without faces disturb nobody."""
    rtsp_server.start()
    names = {"a": "people.mp4", "b": "nobody.mp4", "c": "people.mp4", "d": "missing.mp4"}
    gateway = gateway_of(
        *(
            {
                "name": name,
                "input": rtsp_server.url(clip),
                "outputs": [{"kind": "segments", "folder": str(tmp_path / name), "segment_seconds": 60}],
            }
            for name, clip in names.items()
        )
    )

    def playing(name: str) -> Any:
        return next(item for item in gateway.snapshots() if item.name == name)

    wait_for(lambda: all(playing(name).frames_out >= 15 for name in "abc"), "three cameras play")
    assert playing("d").state is CameraState.RECONNECTING
    assert not gateway.ready
    assert gateway.healthy
    gateway.stop()
    assert playing("a").faces >= playing("a").frames_out
    assert playing("b").faces == 0
    assert playing("b").fail_closed == {}
    for name in "abc":
        (recording,) = (tmp_path / name).iterdir()
        assert len(_stamps(recording)) >= 15
    assert not (tmp_path / "d").exists()
