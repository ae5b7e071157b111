"""Frames per second against the plain transcode and against deface 1.5.0, in one run, in turn.

python -m benchmarks.speed CLIP... [--rounds 3] [--peers FOLDER] [--out results/]

deface is installed into a virtual environment of its own under FOLDER (needs network the first time).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av

from benchmarks.processes import interleaved, machine, median_run

DEFACE = "deface==1.5.0"


def deface_command(peers: Path) -> Path:
    """The peer's own command, installed on first use."""
    environment = peers / "deface"
    command = environment / "bin" / "deface"
    if not command.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([environment / "bin" / "pip", "install", "--quiet", DEFACE, "onnxruntime"], check=True)
    return command


def count_frames(clip: Path) -> int:
    with av.open(str(clip)) as container:
        return sum(1 for _ in container.decode(video=0))


def measure(clip: Path, rounds: int, peers: Path | None, folder: Path) -> list[dict[str, Any]]:
    """One row per way of doing it."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        width, height = stream.width, stream.height
    frames = count_frames(clip)
    ours = [sys.executable, "-m", "benchmarks.run_ours", str(clip)]
    commands: dict[str, Sequence[str]] = {
        "floor": [sys.executable, "-m", "benchmarks.floor", str(clip), str(folder / "floor.mp4")],
        "ours": [*ours, str(folder / "ours.mp4"), "--preset", "veryfast", "--crf", "18"],
    }
    if peers is not None:
        deface = str(deface_command(peers))
        commands["deface"] = [deface, str(clip), "-o", str(folder / "deface.mp4")]
        scale = "640x360" if width >= height else "360x640"
        commands[f"deface --scale {scale}"] = [*commands["deface"], "--scale", scale]
    rows = []
    results = interleaved(commands, rounds)
    floor_seconds = median_run(results["floor"]).wall
    for name, runs in results.items():
        run = median_run(runs)
        rows.append(
            {
                "clip": clip.name,
                "size": f"{width}x{height}",
                "frames": frames,
                "way": name,
                "frames_per_second": frames / run.wall,
                "of_floor": floor_seconds / run.wall,
                **asdict(run),
                "walls": [round(item.wall, 2) for item in runs],
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| clip | size | frames | way | frames/s | of the floor | user s | system s | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        "| {clip} | {size} | {frames} | {way} | {frames_per_second:.1f} | {of_floor:.2f} | {user:.1f} | {system:.1f} "
        "| {peak_mib:.0f} |".format(**row)
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in arguments.clips:
            rows += measure(clip, arguments.rounds, arguments.peers, Path(folder))
    print(f"{machine()}\n\n{markdown(rows)}")
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine(), "rows": rows}, indent=1)
        (arguments.out / "speed.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
