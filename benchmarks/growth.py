"""How time and memory grow with length and with faces: `python -m benchmarks growth`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.clips import made_clip
from benchmarks.context import Context
from benchmarks.processes import run_timed
from benchmarks.report import Part, Table
from benchmarks.speed import ours
from calibration.audit.svg import Series, line_chart

LENGTHS = (250, 1000, 4000)
FACES = (0, 1, 2, 4, 8)
# A run four times as long may need this much more memory: look-ahead and queues are full after the first second.
FLAT_MIB = 25.0


def part(context: Context) -> Part:
    """One table for length, one for faces."""
    lengths = LENGTHS[:2] if context.quick else LENGTHS
    figures = []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        for frames in lengths:
            run = run_timed(ours(made_clip(context.clips, "360p", 1, frames), target))
            figures.append({"frames": frames, "faces": 1, "wall": run.wall, "peak_mib": run.peak_mib})
            grown = run.peak_mib - figures[0]["peak_mib"]
            rows.append(
                (
                    f"{frames}",
                    f"{1000 * run.wall / frames:.1f}",
                    f"{run.peak_mib:.0f}" + (" !" if grown > FLAT_MIB else ""),
                )
            )
        by_faces = []
        for faces in FACES[:2] if context.quick else FACES:
            run = run_timed(ours(made_clip(context.clips, "720p", faces), target))
            figures.append({"frames": 120, "faces": faces, "wall": run.wall, "peak_mib": run.peak_mib})
            by_faces.append((faces, run))
    face_rows = [
        (f"{faces}", f"{1000 * run.wall / 120:.1f}", f"{run.user:.1f}", f"{run.peak_mib:.0f}")
        for faces, run in by_faces
    ]
    chart = line_chart(
        "720p, 120 frames, start-up included",
        "faces",
        "ms a frame",
        [Series("wall clock", tuple((float(faces), 1000 * run.wall / 120) for faces, run in by_faces))],
    )
    return Part(
        "growth",
        "Growth with length and with faces",
        [
            Table("360p, one face", ("frames", "ms a frame", "peak MiB"), rows),
            Table("720p, 120 frames", ("faces", "ms a frame", "user s", "peak MiB"), face_rows),
        ],
        figures,
        [chart],
        notes=[f"Start-up is in every run. Bold: more than {FLAT_MIB:g} MiB above the shortest clip."],
    )
