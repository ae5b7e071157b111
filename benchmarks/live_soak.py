"""Does the gateway stay as it is: memory, threads and descriptors over a long run with a camera that keeps failing.

python -m benchmarks.live --minutes 30 [--out results/]

One camera (640x360, 10 frames a second, two faces) with all kinds of outputs, somebody who watches the page's pictures,
and a scraper of its metrics. Every minute the camera's server is killed for five seconds; every two and a half minutes
the server that is pushed to goes away for ten.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml

from benchmarks.live_parts import RtspServer, free_port, make_clip
from benchmarks.processes import machine

CLIP = Path(__file__).parent.parent / "examples" / "two_people.mp4"
RATE = 10
# Engines grow their arenas for each size of picture that overload brings.
WARM_UP_SECONDS = 300.0
SAMPLE_SECONDS = 5.0
TABLE_SECONDS = 300.0
VIEWER_STAYS_SECONDS = 45.0
SOURCE_AWAY = (60.0, 5.0)
TARGET_AWAY = (150.0, 10.0)


class Target:
    """A server that is pushed to, in a thread: takes connections, reads them, and now and then closes its door."""

    def __init__(self) -> None:
        self.port = free_port()
        self.packets = 0
        self.connections = 0
        self.steps_back = 0
        self._away_until = 0.0
        self._hang_up = False
        threading.Thread(target=self._run, daemon=True).start()

    def go_away(self, seconds: float) -> None:
        self._away_until, self._hang_up = time.monotonic() + seconds, True

    def _run(self) -> None:
        last = -1
        options = {"rtsp_flags": "listen", "listen_timeout": "5"}
        while True:
            time.sleep(max(0.0, self._away_until - time.monotonic()))
            with contextlib.suppress(av.error.FFmpegError):
                url = f"rtsp://127.0.0.1:{self.port}/live"
                with av.open(url, format="rtsp", options=options) as container:
                    self._hang_up = False
                    self.connections += 1
                    last = -1
                    for packet in container.demux(video=0):
                        self.packets += 1
                        if packet.pts is not None:
                            self.steps_back += packet.pts <= last
                            last = packet.pts
                        if self._hang_up:
                            break


class Viewer:
    """Somebody with the page open, in a thread: comes, watches for a while, goes, and asks for metrics in between."""

    def __init__(self, port: int, camera: str) -> None:
        self.bytes_seen = 0
        self.scrapes = 0
        self._base = f"http://127.0.0.1:{port}"
        self._camera = camera
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._watch()
                with urllib.request.urlopen(f"{self._base}/metrics", timeout=10) as answer:
                    self.scrapes += len(answer.read()) > 0
            time.sleep(SAMPLE_SECONDS)

    def _watch(self) -> None:
        url = f"{self._base}/api/cameras/{self._camera}/stream.mjpeg"
        end = time.monotonic() + VIEWER_STAYS_SECONDS
        with urllib.request.urlopen(url, timeout=10) as stream:
            while time.monotonic() < end and (part := stream.read1(65536)):
                self.bytes_seen += len(part)


def sample(pid: int) -> dict[str, float]:
    """Resident memory (MiB), threads and descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "rss_mib": int(fields["VmRSS"].split()[0]) / 1024,
        "threads": int(fields["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def run(minutes: float, folder: Path) -> dict[str, Any]:
    """The whole soak, in `folder`."""
    (folder / "served").mkdir()
    make_clip(folder / "served" / "camera.mp4", CLIP, (640, 360), 20.0, RATE)
    server, target = RtspServer(folder / "served"), Target()
    server.start()
    config = folder / "cameras.yml"
    web_port = free_port()
    config.write_text(yaml.safe_dump(_config(folder, server.port, target.port, web_port)))
    viewer = Viewer(web_port, "soak")
    log = (folder / "log.txt").open("w")
    gateway = subprocess.Popen(
        [sys.executable, "-c", "from streamer.cli import main; main()", "stream", "--config", str(config)],
        stderr=log,
        stdout=log,
    )
    began = time.monotonic()
    samples: list[dict[str, float]] = []
    next_source, next_target, back_at = began + SOURCE_AWAY[0], began + TARGET_AWAY[0], None
    try:
        while (now := time.monotonic()) - began < minutes * 60 and gateway.poll() is None:
            if back_at is not None and now >= back_at:
                server.start()
                back_at = None
            if now >= next_source:
                server.kill()
                next_source, back_at = now + SOURCE_AWAY[0], now + SOURCE_AWAY[1]
            if now >= next_target:
                target.go_away(TARGET_AWAY[1])
                next_target = now + TARGET_AWAY[0]
            samples.append({"at_seconds": round(now - began, 1), **sample(gateway.pid)})
            if len(samples) % 12 == 0:
                print(json.dumps(samples[-1]), flush=True)
            time.sleep(SAMPLE_SECONDS)
    finally:
        gateway.send_signal(signal.SIGTERM)
        code = gateway.wait(30)
        server.kill()
    lines = (folder / "log.txt").read_text().splitlines()
    return {
        **_summary(samples),
        **_target(target),
        "preview_bytes": viewer.bytes_seen,
        "scrapes": viewer.scrapes,
        "ledger_lines": len((folder / "ledger.jsonl").read_text().splitlines()),
        "exit_code": code,
        "log_lines": len(lines),
        "samples": samples,
    }


def _config(folder: Path, source_port: int, target_port: int, web_port: int) -> dict[str, Any]:
    outputs = [
        {"kind": "push", "url": f"rtsp://127.0.0.1:{target_port}/live"},
        {"kind": "segments", "folder": str(folder / "rec"), "segment_seconds": 20, "keep_seconds": 60},
        {"kind": "hls", "folder": str(folder / "hls")},
        {"kind": "preview"},
    ]
    camera = {
        "name": "soak",
        "input": f"rtsp://127.0.0.1:{source_port}/camera.mp4?play_count=0",
        "outputs": outputs,
    }
    return {"cameras": [camera], "ledger": str(folder / "ledger.jsonl"), "web": {"port": web_port}}


def _summary(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Slope of the memory by least squares after warming up, with its standard error; threads and descriptors."""
    last = samples[-1]["at_seconds"]
    table = {
        f"{mark / 60:g} min": round(float(np.mean(_around(samples, mark))), 1)
        for mark in np.arange(TABLE_SECONDS, last + SAMPLE_SECONDS, TABLE_SECONDS)
    }
    kept = [item for item in samples if item["at_seconds"] >= min(WARM_UP_SECONDS, last / 2)]
    hours = np.array([item["at_seconds"] for item in kept]) / 3600.0
    memory = np.array([item["rss_mib"] for item in kept])
    (slope, _), covariance = np.polyfit(hours, memory, 1, cov=True)
    half = len(kept) // 2
    result: dict[str, Any] = {
        "minutes": round(last / 60, 1),
        "rss_mib_at": table,
        "rss_mib_first": round(float(memory[:12].mean()), 1),
        "rss_mib_last": round(float(memory[-12:].mean()), 1),
        "rss_mib_largest": round(float(memory.max()), 1),
        "rss_slope_mib_per_hour": round(float(slope), 2),
        "rss_slope_standard_error": round(float(np.sqrt(covariance[0, 0])), 2),
    }
    for name in ("threads", "descriptors"):
        values = [int(item[name]) for item in kept]
        result[f"{name}_median_first_half"] = int(np.median(values[:half]))
        result[f"{name}_median_second_half"] = int(np.median(values[half:]))
        result[f"{name}_largest"] = max(values)
    return result


def _around(samples: list[dict[str, float]], at_seconds: float) -> list[float]:
    """Memory (MiB) in the half minute before."""
    return [item["rss_mib"] for item in samples if 0.0 <= at_seconds - item["at_seconds"] < 30.0]


def _target(target: Target) -> dict[str, int]:
    return {
        "packets_received": target.packets,
        "connections_of_the_output": target.connections,
        "stamps_that_stepped_back": target.steps_back,
    }


def soak(minutes: float, out: Path) -> None:
    """Run, write everything into a file, and print the summary."""
    with tempfile.TemporaryDirectory() as folder:
        result = {"machine": machine(), **run(minutes, Path(folder))}
    out.write_text(json.dumps(result, indent=1))
    print(json.dumps({key: value for key, value in result.items() if key != "samples"}, indent=1))
