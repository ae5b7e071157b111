"""Each kind of input, and what is said when a link fails."""

from __future__ import annotations

import functools
import http.server
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamer.errors import SettingsError
from streamer.live import source as source_module
from streamer.live.backoff import Backoff
from streamer.live.frame import LiveFrame
from streamer.live.link import LinkError
from streamer.live.outputs.build import check_outputs
from streamer.live.settings import CameraSettings, GatewaySettings
from streamer.live.source import LinkLost, LiveSource
from streamer.live.states import CameraState, StateMachine
from streamer.live.telemetry import CameraTelemetry

from .conftest import PASSWORD, RATE, USER, RtspServer, free_port, wait_for

SYSTEM_PYTHON = "/usr/bin/python3"
GSTREAMER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


class Reading:
    """A source that is read; what came is kept in a few numbers."""

    def __init__(self, camera: CameraSettings, *, keep_pictures: bool = False) -> None:
        self.pictures: list[np.ndarray] = []
        self._keep_pictures = keep_pictures
        self.telemetry = CameraTelemetry("door")
        self.states: list[CameraState] = []
        self.machine = StateMachine("door", self.states.append)
        at_once = Backoff(uniform=lambda low, high: min(high, 0.2))
        self.source = LiveSource(camera, self.machine, self.telemetry, backoff=at_once)
        self.sizes: list[tuple[int, int]] = []
        self.stamps: list[float] = []
        self.lost = 0
        self.source.start()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def count(self) -> int:
        return len(self.stamps)

    def _read(self) -> None:
        while not self.source.frames.is_done:
            item = self.source.frames.get(0.2)
            if isinstance(item, LiveFrame):
                self.sizes.append((item.video.width, item.video.height))
                self.stamps.append(item.pts_seconds)
                if self._keep_pictures:
                    self.pictures.append(item.video.to_ndarray(format="gray"))
            elif isinstance(item, LinkLost):
                self.lost += 1


@pytest.fixture
def read(settings: Callable[..., GatewaySettings]) -> Iterator[Callable[..., Reading]]:
    running: list[Reading] = []

    def start(url: str, *, keep_pictures: bool = False, **camera: Any) -> Reading:
        given = settings({"input": url, "outputs": [{"kind": "preview"}], **camera})
        running.append(Reading(given.cameras[0], keep_pictures=keep_pictures))
        return running[-1]

    yield start
    for reading in running:
        assert reading.source.stop(10.0)


def _transport_stream(path: Path, *sizes: tuple[int, int]) -> Path:
    """MPEG-TS of one second per size, one after another in one stream."""
    parts = []
    for number, size in enumerate(sizes):
        part = path.with_suffix(f".{number}.ts")
        with av.open(str(part), "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=RATE, options={"bf": "0", "preset": "ultrafast"})
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            for index in range(RATE):
                picture = np.full((size[1], size[0], 3), 60 + 8 * index, np.uint8)
                cv2.circle(picture, (size[0] // 2, size[1] // 2), 10 + index, (200, 120, 40), 4)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number * RATE + index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def test_a_file_plays_at_its_own_pace_and_ends(read: Callable[..., Reading], clips: Path) -> None:
    began = time.monotonic()
    reading = read(str(clips / "nobody.mp4"))
    wait_for(lambda: reading.machine.is_final, "the file ends")
    assert 3.5 < time.monotonic() - began < 15.0
    wait_for(lambda: reading.source.frames.is_done, "all is read")
    assert reading.states == [CameraState.RUNNING, CameraState.ENDED]
    assert reading.count == 4 * RATE


def test_a_stream_may_change_its_size_on_the_way(read: Callable[..., Reading], tmp_path: Path) -> None:
    path = _transport_stream(tmp_path / "change.ts", (160, 96), (96, 160), (160, 96))
    reading = read(str(path))
    wait_for(lambda: reading.machine.is_final and reading.source.frames.is_done, "the file ends")
    assert set(reading.sizes) == {(160, 96), (96, 160)}
    assert reading.sizes[0] == reading.sizes[-1] == (160, 96)
    assert np.all(np.diff(reading.stamps) > 0.0)


def test_no_picture_is_shown_that_lost_something_on_its_way(
    read: Callable[..., Reading], clips: Path, tmp_path: Path
) -> None:
    """Of a stream with holes nothing comes but pictures that are, bit by bit, those of the whole stream."""
    path = tmp_path / "whole.ts"
    with av.open(str(clips / "people.mp4")) as source, av.open(str(path), "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    data = path.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    (tmp_path / "torn.ts").write_bytes(
        b"".join(item for index, item in enumerate(packets) if not _is_lost(index / len(packets)))
    )
    reading = read(str(tmp_path / "torn.ts"), keep_pictures=True)
    wait_for(lambda: reading.machine.is_final and reading.source.frames.is_done, "the file ends")
    assert RATE <= reading.count < 4 * RATE
    assert all(any(np.array_equal(picture, other) for other in whole) for picture in reading.pictures)


def test_no_picture_is_shown_that_was_decoded_from_a_damaged_one(
    read: Callable[..., Reading], clips: Path, tmp_path: Path
) -> None:
    """Of reordered pictures those that refer to a damaged one come out before it."""
    path = tmp_path / "whole.mp4"
    options = {"bf": "3", "g": str(RATE), "preset": "veryfast", "x264-params": "scenecut=0:b-adapt=0"}
    with av.open(str(clips / "people.mp4")) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height = 320, 180
        for frame in source.decode(video=0):
            frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        whole = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        # I P B B B P B B B: it holds the ninth picture.
        packet = [packet for packet in container.demux(video=0) if packet.size][5]
    end = packet.pos + packet.size
    data[end - packet.size // 5 : end] = b"\xaa" * (packet.size // 5)
    (tmp_path / "damaged.mp4").write_bytes(data)
    reading = read(str(tmp_path / "damaged.mp4"), keep_pictures=True)
    wait_for(lambda: reading.machine.is_final and reading.source.frames.is_done, "the file ends")
    expected = [*whole[:5], *whole[RATE:]]
    assert len(reading.pictures) == len(expected)
    assert all(map(np.array_equal, reading.pictures, expected))


def _is_lost(position: float) -> bool:
    """Two short holes; the second one swallows the beginning of a key frame."""
    return 0.35 < position < 0.37 or 0.745 < position < 0.755


def test_the_end_of_a_live_url_is_a_lost_link(read: Callable[..., Reading], tmp_path: Path) -> None:
    _transport_stream(tmp_path / "camera.ts", (160, 96))
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reading = read(f"http://{USER}:{PASSWORD}@127.0.0.1:{server.server_port}/camera.ts")
        wait_for(lambda: reading.lost >= 2, "it is connected to again")
        server.shutdown()
    assert CameraState.ENDED not in reading.states
    assert reading.states.count(CameraState.RECONNECTING) >= 2
    assert np.all(np.diff(reading.stamps) > 0.0)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_packets_over_udp(read: Callable[..., Reading], tmp_path: Path) -> None:
    path = _transport_stream(tmp_path / "camera.ts", (160, 96), (160, 96), (160, 96))
    url = f"udp://127.0.0.1:{free_port()}"
    reading = read(url)
    time.sleep(0.5)
    with av.open(str(path)) as source, av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
                time.sleep(0.04)
    wait_for(lambda: reading.count >= RATE, "frames arrive")
    wait_for(lambda: reading.lost == 1, "silence is a lost link")


@pytest.fixture
def asking_server(clips: Path) -> Iterator[int]:
    """Port of a server that wants USER and PASSWORD."""
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", GSTREAMER], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs GStreamer's RTSP server for the system's Python (gir1.2-gst-rtsp-server-1.0)")
    port = free_port()
    script = Path(__file__).with_name("gstreamer_server.py")
    server = subprocess.Popen(
        [SYSTEM_PYTHON, str(script), str(clips / "people.mp4"), str(port), USER, PASSWORD],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    if server.stdout.readline().strip() != b"ready":
        server.kill()
        pytest.skip("GStreamer's RTSP server does not start; its plugins (base, good, bad) may be missing")
    yield port
    server.kill()
    server.wait()


def test_a_wrong_password_is_told_in_a_line_without_it(
    asking_server: int, read: Callable[..., Reading], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = f"not-{PASSWORD}"
    reading = read(f"rtsp://{USER}:{wrong}@127.0.0.1:{asking_server}/cam")
    wait_for(lambda: CameraState.RECONNECTING in reading.states, "it is refused")
    assert "wrong or missing user and password" in caplog.text
    right = read(f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{asking_server}/cam", transport="udp")
    wait_for(lambda: right.count >= RATE, "frames arrive over UDP")
    assert np.all(np.diff(right.stamps) > 0.0)
    assert wrong not in caplog.text
    assert PASSWORD not in caplog.text


def test_what_is_no_camera_is_told_without_its_url(
    read: Callable[..., Reading], rtsp_server: RtspServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    rtsp_server.start()
    missing = read(rtsp_server.url("missing.mp4"))
    absent = read(str(tmp_path / "absent.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    text = read(str(tmp_path / "text.mp4"))
    device = read("/dev/video99")
    wait_for(lambda: CameraState.RECONNECTING in missing.states, "it is tried again")
    wait_for(lambda: CameraState.RECONNECTING in device.states, "a device may be plugged in later")
    wait_for(lambda: absent.machine.is_final and text.machine.is_final, "files are given up")
    assert absent.states == text.states == [CameraState.FAILED]
    assert "no such file" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_read_that_hangs_does_not_hold_up_the_end(
    settings: Callable[..., GatewaySettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(*_: object) -> Any:
        release.wait()
        raise LinkError("released")

    monkeypatch.setattr(source_module, "open_link", hang)
    given = settings({"input": "rtsp://127.0.0.1/1", "outputs": [{"kind": "preview"}]})
    reading = Reading(given.cameras[0])
    began = time.monotonic()
    assert not reading.source.stop(0.2)
    assert time.monotonic() - began < 5.0
    assert reading.source.frames.is_done
    release.set()


def test_a_protocol_that_is_not_built_in_is_refused_at_the_start(
    settings: Callable[..., GatewaySettings],
) -> None:
    try:
        av.open("srt://").close()
    except av.error.ProtocolNotFoundError:
        pass
    except av.error.FFmpegError:
        pytest.skip("this FFmpeg has SRT")
    given = settings({"input": "srt://127.0.0.1:9000", "outputs": [{"kind": "preview"}]})
    with pytest.raises(SettingsError, match="built without srt"):
        check_outputs(given.cameras[0])
