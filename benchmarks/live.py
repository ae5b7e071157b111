"""Delay of the gateway against a plain relay: from the moment a camera sends a frame to its arrival at the server.

python -m benchmarks.live [--seconds 20] [--sizes 640x360 1280x720] [--cameras 1 4] [--out results/]
python -m benchmarks.live --minutes 30        # the soak, see benchmarks.live_soak

Cameras send MPEG-TS over UDP, 25 frames a second, two faces; every frame carries its number in black and white fields.
The receiving server decodes them and notes the time. The relay takes the same way without decoding. All clocks are one
machine's, and everything shares its cores: the cameras and the receivers too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import live_soak
from benchmarks.live_parts import (
    FRAMES_PER_SECOND,
    free_port,
    make_clip,
    processes,
    receive,
    relay,
    send,
    stamps,
)
from benchmarks.processes import machine

CLIP = Path(__file__).parent.parent / "examples" / "two_people.mp4"
# The first seconds belong to connecting and to engines that warm up.
SETTLE_SECONDS = 6.0
_PROCESSES = multiprocessing.get_context("spawn")


class Bench:
    """Cameras that send, servers that receive, and what they noted."""

    def __init__(self, clip: Path, cameras: int) -> None:
        self.sources = [f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}" for _ in range(cameras)]
        ports = [free_port() for _ in range(cameras)]
        self.targets = [f"rtsp://127.0.0.1:{port}/live" for port in ports]
        self._sent = [stamps() for _ in range(cameras)]
        self._received = [stamps() for _ in range(cameras)]
        self._begin = _PROCESSES.Event()
        self.receivers = [
            _PROCESSES.Process(target=receive, args=item) for item in zip(ports, self._received, strict=True)
        ]
        self.senders = [
            _PROCESSES.Process(target=send, args=(str(clip), source, sent, self._begin))
            for source, sent in zip(self.sources, self._sent, strict=True)
        ]

    def begin(self) -> None:
        """Let the cameras send."""
        self._begin.set()

    def delays(self) -> dict[str, float]:
        """Of the frames sent after settling: percentiles in ms, and the share that arrived."""
        found, expected = [], 0
        for sent, received in zip(self._sent, self._received, strict=True):
            out, back = np.array(sent), np.array(received)
            began = out[out > 0.0].min()
            # The last second may still be on its way.
            counted = (out > began + SETTLE_SECONDS) & (out < out.max() - 1.0)
            expected += int(counted.sum())
            arrived = counted & (back > 0.0)
            found.append(back[arrived] - out[arrived])
        every = np.concatenate(found) * 1000.0
        return {
            "p50_ms": round(float(np.percentile(every, 50))) if every.size else float("nan"),
            "p99_ms": round(float(np.percentile(every, 99))) if every.size else float("nan"),
            "arrived": round(every.size / max(1, expected), 3),
        }


def run_relay(clip: Path, cameras: int, seconds: float) -> dict[str, float]:
    """The same way without decoding."""
    bench = Bench(clip, cameras)
    relays = [
        _PROCESSES.Process(target=relay, args=item) for item in zip(bench.sources, bench.targets, strict=True)
    ]
    with processes(*bench.receivers, *relays, *bench.senders):
        time.sleep(3.0)
        bench.begin()
        time.sleep(seconds)
    return bench.delays()


def run_gateway(
    clip: Path, cameras: int, seconds: float, folder: Path, options: dict[str, Any]
) -> dict[str, float]:
    """Through `veilstream stream`."""
    bench = Bench(clip, cameras)
    settings = {
        "cameras": [
            {"name": f"c{index}", "input": source, "outputs": [{"kind": "push", "url": target}], **options}
            for index, (source, target) in enumerate(zip(bench.sources, bench.targets, strict=True))
        ],
        "ledger": str(folder / "ledger.jsonl"),
    }
    config = folder / "cameras.yml"
    config.write_text(yaml.safe_dump(settings))
    command = [
        sys.executable,
        "-c",
        "from streamer.cli import main; main()",
        "stream",
        "--config",
        str(config),
    ]
    with processes(*bench.receivers, *bench.senders), (folder / "log.txt").open("w") as log:
        gateway = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            time.sleep(8.0)
            bench.begin()
            time.sleep(seconds)
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait(30)
    return bench.delays()


def measure(sizes: list[str], counts: list[int], seconds: float) -> list[dict[str, Any]]:
    """One row per size, number of cameras and way."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            width, height = (int(side) for side in size.split("x"))
            clip = folder / f"{size}.mp4"
            make_clip(clip, CLIP, (width, height), seconds)
            for count in counts:
                ways = {
                    "relay": run_relay(clip, count, seconds),
                    "gateway": run_gateway(clip, count, seconds, folder, {}),
                    "gateway, solid": run_gateway(clip, count, seconds, folder, {"replace_with": "solid"}),
                }
                for way, figures in ways.items():
                    rows.append({"size": size, "cameras": count, "way": way, **figures})
                    print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--sizes", nargs="+", default=["640x360", "1280x720"])
    parser.add_argument("--cameras", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--minutes", type=float, help="soak for so long instead")
    parser.add_argument("--out", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.minutes is not None:
        live_soak.soak(arguments.minutes, arguments.out / "live-soak.json")
        return
    rows = measure(arguments.sizes, arguments.cameras, arguments.seconds)
    result = {"machine": machine(), "frames_per_second": FRAMES_PER_SECOND, "rows": rows}
    (arguments.out / "live.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
