"""What each stage costs: `python -m benchmarks stages [--profile]`.

CPU seconds by thread, so that waiting does not count, over the frames of one clip; with --profile a flame graph of
all threads goes into the report.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.clips import made_clip
from benchmarks.context import Context
from benchmarks.profile import Profiler, flame_graph
from benchmarks.report import Part, Table
from streamer.job import JobResult, JobRunner
from streamer.settings import AnonymizeSettings

CASES = (("360p", 1), ("360p", 4), ("720p", 0), ("720p", 1), ("1080p", 1), ("1080p", 8))
_LARGEST = 12


def run(clip: Path) -> tuple[JobResult, Profiler]:
    """One clip through the product, profiled; engines are opened before the clock starts."""
    with tempfile.TemporaryDirectory() as folder, JobRunner(AnonymizeSettings()) as runner:
        runner.run(clip, Path(folder) / "warm.mp4")
        with Profiler() as profiler:
            result = runner.run(clip, Path(folder) / "out.mp4")
        return result, profiler


def part(context: Context, *, profile: bool = True) -> Part:
    """One table per clip; the flame graph is of the 720p clip with one face."""
    tables, figures, charts = [], [], []
    for size, faces in CASES[3:4] if context.quick else CASES:
        clip = made_clip(context.clips, size, faces)
        result, profiler = run(clip)
        frames = result.coverage["frames"]
        rows = []
        stages: dict[str, Any] = {}
        for stage, (user, system) in sorted(
            profiler.profile.cpu_seconds.items(), key=lambda item: -item[1][0]
        ):
            if user + system < 0.005 * result.seconds or stage == "profiler":
                continue
            stages[stage] = {"user_ms": 1000 * user / frames, "system_ms": 1000 * system / frames}
            rows.append((stage, f"{1000 * user / frames:.1f}", f"{1000 * system / frames:.1f}"))
        rows.append(("wall clock", f"{1000 * result.seconds / frames:.1f}", ""))
        tables.append(Table(f"{clip.stem}, ms a frame", ("thread", "user", "system"), rows))
        figures.append({"clip": clip.stem, "frames": frames, "wall_s": result.seconds, "stages": stages})
        if profile and (size, faces) == ("720p", 1):
            charts.append(flame_graph(profiler.profile.stacks, f"{clip.stem}: busy samples of all threads"))
            largest = profiler.profile.own_time(_LARGEST)
            shares = [(name, f"{100 * share:.1f} %") for name, share in largest]
            tables.append(
                Table(f"{clip.stem}, largest own times", ("function", "share of busy samples"), shares)
            )
    notes = ["Engines work in threads of their own (`guarded-engine`); `render` waits for them meanwhile."]
    return Part("stages", "What each stage costs", tables, figures, charts, notes=notes)
