"""What stands around the gateway when it is measured: cameras, servers, receivers, and clips with counted frames."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.synchronize
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ctypes import c_double
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

FRAMES_PER_SECOND = 25
COUNTER_BITS = 12
MOST_FRAMES = 1 << COUNTER_BITS
# Share of the height at the top that carries the counter, well away from any face.
STRIP = 1 / 10


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def counted(picture_rgb_u8: np.ndarray, size: tuple[int, int], number: int) -> np.ndarray:
    """(h, w, 3) picture below a strip that shows `number` in black and white fields."""
    width, height = size
    strip = round(height * STRIP)
    frame = np.empty((height, width, 3), np.uint8)
    frame[strip:] = cv2.resize(picture_rgb_u8, (width, height - strip), interpolation=cv2.INTER_AREA)
    edges = np.linspace(0, width, COUNTER_BITS + 1).astype(int)
    for bit in range(COUNTER_BITS):
        frame[:strip, edges[bit] : edges[bit + 1]] = 235 if number >> bit & 1 else 16
    return frame


def number_of(luma: np.ndarray) -> int:
    """The number that `counted` has put into the picture, from its (h, w) luma."""
    height, width = luma.shape
    row = luma[round(height * STRIP) // 2]
    edges = np.linspace(0, width, COUNTER_BITS + 1).astype(int)
    middles = (edges[:-1] + edges[1:]) // 2
    return sum(int(row[at] > 126) << bit for bit, at in enumerate(middles))


def make_clip(
    path: Path, source: Path, size: tuple[int, int], seconds: float, rate: int = FRAMES_PER_SECOND
) -> None:
    """As a camera would send it: H.264, a key frame a second, none reordered; every frame carries its number."""
    with av.open(str(source)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path), "w") as output:
        options = {"bf": "0", "g": str(rate), "preset": "veryfast", "crf": "20"}
        stream = output.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(min(MOST_FRAMES, round(seconds * rate))):
            picture = pictures[number * 25 // rate % len(pictures)]
            frame = av.VideoFrame.from_ndarray(counted(picture, size, number), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def send(clip: str, url: str, sent: Any, ready: multiprocessing.synchronize.Event) -> None:
    """A camera: the clip's packets at their own pace as MPEG-TS; `sent[n]` is when frame n left, monotonic seconds."""
    with av.open(clip) as source, av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        ready.wait()
        began, number = time.monotonic(), 0
        for packet in source.demux(video=0):
            if packet.dts is None:
                continue
            due = began + number / FRAMES_PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            sent[number] = time.monotonic()
            packet.stream = stream
            target.mux(packet)
            number += 1


def receive(port: int, received: Any) -> None:
    """The server an output pushes to: `received[n]` is when frame n had arrived and was decoded, monotonic seconds."""
    options = {"rtsp_flags": "listen", "listen_timeout": "60"}
    url = f"rtsp://127.0.0.1:{port}/live"
    with contextlib.suppress(av.error.FFmpegError), av.open(url, format="rtsp", options=options) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            number = number_of(frame.to_ndarray(format="gray"))
            if received[number] == 0.0:
                received[number] = time.monotonic()


def relay(source: str, target: str) -> None:
    """Packets from one to the other, untouched: what the network and the protocols cost by themselves."""
    options = {"rtsp_transport": "tcp"}
    with (
        contextlib.suppress(av.error.FFmpegError),
        av.open(source, timeout=(20.0, 5.0)) as incoming,
        av.open(target, "w", format="rtsp", options=options) as outgoing,
    ):
        stream = outgoing.add_stream_from_template(incoming.streams.video[0])
        for packet in incoming.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                outgoing.mux(packet)


def stamps() -> Any:
    """Shared array for `send` and `receive`."""
    return multiprocessing.get_context("spawn").Array(c_double, MOST_FRAMES, lock=False)


class RtspServer:
    """aio-rtsp-toolkit's server (extra `test`), which serves the files of a folder in a loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--dir", str(self._folder), "--host", "127.0.0.1", "--port", str(self.port)]
        options += ["--control-port", str(free_port())]
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from server_demo import main; main()", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def processes(*running: Any) -> Iterator[None]:
    """Start them, and end what is left of them."""
    for process in running:
        process.start()
    try:
        yield
    finally:
        for process in running:
            process.terminate()
            process.join()
