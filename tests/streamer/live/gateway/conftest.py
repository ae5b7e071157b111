"""A real RTSP server, a real receiver, and clips for them. Nothing leaves 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamer.live.config import parse_config
from streamer.live.settings import GatewaySettings

PEOPLE = Path(__file__).parents[4] / "examples" / "two_people.mp4"
# The module of aio-rtsp-toolkit that its command `rtsp-server` runs.
SERVER_MODULE = "server_demo"
RATE = 10
USER, PASSWORD = "operator", "hunter2-and-more"


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    """Poll until true. Fails the test with `what` when it does not become so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """Serves the files of a folder, each to whoever asks, in a process that can be killed and frozen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, name: str, *, credentials: bool = True) -> str:
        user = f"{USER}:{PASSWORD}@" if credentials else ""
        return f"rtsp://{user}127.0.0.1:{self.port}/{name}?play_count=0"

    def start(self) -> None:
        command = [sys.executable, "-c", f"from {SERVER_MODULE} import main; main()"]
        options = ["--dir", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, *options, "--control-port", str(free_port())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._listens, "the RTSP server listens")

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Receiver:
    """The server that an RTSP output pushes to. Keeps the stamps and the decoded luma of what it gets."""

    def __init__(self) -> None:
        self.port = free_port()
        self.stamps: list[float] = []
        self.pictures: list[np.ndarray] = []
        self.damaged = 0
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"rtsp://{USER}:{PASSWORD}@127.0.0.1:{self.port}/live"

    def join(self) -> None:
        self._thread.join(10.0)

    def _receive(self) -> None:
        options = {"rtsp_flags": "listen", "listen_timeout": "60"}
        url = f"rtsp://127.0.0.1:{self.port}/live"
        with (
            contextlib.suppress(av.error.FFmpegError),
            av.open(url, format="rtsp", options=options) as container,
        ):
            for packet in container.demux(video=0):
                self._take(packet)

    def _take(self, packet: Any) -> None:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self.damaged += packet.size > 0
            return
        for frame in frames:
            self.damaged += frame.is_corrupt
            self.pictures.append(frame.to_ndarray(format="gray"))
            if frame.pts is not None:
                self.stamps.append(float(frame.pts * frame.time_base))


def _write(path: Path, pictures: list[np.ndarray], size: tuple[int, int]) -> None:
    """As a camera sends it: a key frame every second, none reordered."""
    with av.open(str(path), "w") as container:
        options = {"bf": "0", "g": str(RATE), "preset": "ultrafast", "crf": "18"}
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(
                cv2.resize(picture, size, interpolation=cv2.INTER_AREA), "rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with people.mp4 (320x180, two faces), square.mp4 (the same at 240x240) and nobody.mp4; 4 s each."""
    folder = tmp_path_factory.mktemp("clips")
    with av.open(str(PEOPLE)) as container:
        people = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:: 25 // RATE][
            : 4 * RATE
        ]
    _write(folder / "people.mp4", people, (320, 180))
    _write(folder / "square.mp4", people, (240, 240))
    slope = np.tile(np.linspace(60, 190, 320, dtype=np.uint8)[None, :, None], (180, 1, 3))
    _write(
        folder / "nobody.mp4", [np.roll(slope, 3 * index, axis=1) for index in range(4 * RATE)], (320, 180)
    )
    return folder


@pytest.fixture
def rtsp_server(clips: Path, tmp_path: Path) -> Iterator[RtspServer]:
    """A server that is not started yet; its folder is the test's own, and holds the clips."""
    pytest.importorskip(SERVER_MODULE, reason="needs aio-rtsp-toolkit[server] (extra `test`)")
    folder = tmp_path / "served"
    shutil.copytree(clips, folder)
    server = RtspServer(folder)
    yield server
    server.thaw()
    server.kill()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., GatewaySettings]:
    """`settings(*cameras, **shared)`: plain values as in a file, with what makes tests quick."""

    def make(*cameras: dict[str, Any], **shared: Any) -> GatewaySettings:
        quick = {"replace_with": "solid", "stall_seconds": 1.0, "read_timeout_seconds": 2.0}
        content = {
            "cameras": [{"name": "door", **quick, **camera} for camera in cameras],
            "detector": "yunet",
            "ledger": str(tmp_path / "ledger.jsonl"),
            **shared,
        }
        return parse_config(content, where="test")

    return make
