"""Frames per second against the plain transcode and against deface 1.5.0, in one run, in turn.

python -m benchmarks speed [--data FOLDER] [--peers FOLDER] [--clips CLIP...] [--rounds 3] [--out results/]

deface is installed into a virtual environment of its own under the folder of peers (needs network the first time).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av

from benchmarks.clips import made_clip
from benchmarks.context import Context
from benchmarks.processes import Run, interleaved, median_run
from benchmarks.report import Part, Table

DEFACE = "deface==1.5.0"
ENCODE = ("--preset", "veryfast", "--crf", "18")
# Part of the floor's speed that is aimed at on two cores, by clip.
FLOOR_BARS = {("360p", 0): 0.85, ("720p", 0): 0.85, ("1080p", 0): 0.85, ("720p", 1): 0.5, ("1080p", 8): 0.3}
DEFACE_BAR = 3.0
# Resolution and number of faces of the clips that are made.
MADE = (
    *(("360p", faces) for faces in (0, 1, 4)),
    *(("720p", faces) for faces in (0, 1, 4)),
    *(("1080p", faces) for faces in (0, 8)),
)
REAL = ("intel_asl_again.mkv", "egoblur_gen1.mp4")


def deface_command(peers: Path) -> Path:
    """The peer's own command, installed on first use."""
    environment = peers / "deface"
    command = environment / "bin" / "deface"
    if not command.exists():
        venv.create(environment, with_pip=True)
        subprocess.run([environment / "bin" / "pip", "install", "--quiet", DEFACE, "onnxruntime"], check=True)
    return command


def ours(clip: Path, target: Path, *options: str) -> list[str]:
    """Our command line for a clip, in a process of its own."""
    return [sys.executable, "-m", "benchmarks.run_ours", str(clip), str(target), *ENCODE, *options]


def measure(clip: Path, context: Context, *, every_way: bool) -> list[dict[str, Any]]:
    """One row per way of doing it.

    Args:
        every_way: also our blur and solid, and deface with a small detector picture.
    """
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        width, height = stream.width, stream.height
        frames = sum(1 for _ in container.decode(video=0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands: dict[str, Sequence[str]] = {
            "floor": [sys.executable, "-m", "benchmarks.floor", str(clip), str(folder / "floor.mp4")],
            "ours": ours(clip, folder / "ours.mp4"),
        }
        if every_way:
            for way in ("blur", "solid"):
                commands[f"ours, {way}"] = ours(clip, folder / f"{way}.mp4", "--replace-with", way)
        if context.peers is not None:
            deface = [str(deface_command(context.peers)), str(clip), "-o", str(folder / "deface.mp4")]
            commands["deface"] = deface
            if every_way:
                scale = "640x360" if width >= height else "360x640"
                commands[f"deface --scale {scale}"] = [*deface, "--scale", scale]
        results = interleaved(commands, context.rounds)
    floor_seconds = median_run(results["floor"]).wall
    return [
        _row(clip, f"{width}x{height}", frames, way, runs, floor_seconds) for way, runs in results.items()
    ]


def _row(
    clip: Path, size: str, frames: int, way: str, runs: Sequence[Run], floor_seconds: float
) -> dict[str, Any]:
    run = median_run(runs)
    return {
        "clip": clip.stem,
        "size": size,
        "frames": frames,
        "way": way,
        "frames_per_second": frames / run.wall,
        "of_floor": floor_seconds / run.wall,
        **asdict(run),
        "walls": [round(item.wall, 2) for item in runs],
    }


def _table(rows: Sequence[dict[str, Any]], title: str, floor_bar: float | None) -> Table:
    deface_seconds = next((row["wall"] for row in rows if row["way"] == "deface"), None)
    cells = []
    for row in rows:
        is_ours = row["way"] == "ours"
        times = "" if deface_seconds is None else f"{deface_seconds / row['wall']:.1f}"
        if is_ours and deface_seconds is not None and deface_seconds / row["wall"] < DEFACE_BAR:
            times += " !"
        part = f"{row['of_floor']:.2f}" + (
            " !" if is_ours and floor_bar is not None and row["of_floor"] < floor_bar else ""
        )
        spread = f"{min(row['walls']):.1f} to {max(row['walls']):.1f}"
        cells.append(
            (
                row["way"],
                f"{row['frames_per_second']:.1f}",
                part,
                times,
                spread,
                f"{row['user']:.1f}",
                f"{row['system']:.1f}",
                f"{row['peak_mib']:.0f}",
            )
        )
    header = (
        "way",
        "frames/s",
        "of the floor",
        "times deface",
        "wall s",
        "user s",
        "system s",
        "peak MiB",
    )
    return Table(title, header, cells)


def part(context: Context, clips: Sequence[Path] = ()) -> Part:
    """Given clips; else real ones, and made ones of every resolution and number of faces."""
    plan: list[tuple[Path, float | None, bool]] = [(clip, None, True) for clip in clips]
    if not plan:
        real = context.videos(*REAL)
        plan += [(clip, None, True) for clip in real[: 1 if context.quick else None]]
        for size, faces in MADE[:2] if context.quick else MADE:
            clip = made_clip(context.clips, size, faces)
            plan.append((clip, FLOOR_BARS.get((size, faces)), False))
    tables, rows = [], []
    for clip, bar, every_way in plan:
        found = measure(clip, context, every_way=every_way)
        aimed = f", aimed at {bar:g} of the floor" if bar is not None else ""
        title = f"{found[0]['clip']}, {found[0]['size']}, {found[0]['frames']} frames{aimed}"
        tables.append(_table(found, title, bar))
        rows += found
    notes = [
        "Whole processes, start-up included, in turn; medians of the counted runs, and the range of their wall times. "
        "`floor` decodes and encodes with the same settings and nothing between.",
        f"Bold: less than {DEFACE_BAR:g} times deface's default, or less of the floor than is aimed at.",
    ]
    if context.peers is None:
        notes.append("deface was left out: give --peers FOLDER.")
    return Part("speed", "Speed", tables, rows, notes=notes)
