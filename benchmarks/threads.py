"""How many threads decoder, engines, OpenCV and encoder should have: whole jobs, in turn, by wall and processor time.

python -m benchmarks.threads CLIP [--rounds 3]

0 leaves the number to FFmpeg, or to OpenCV. The stages have a thread of their own each in any case; this is about the
threads inside them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.processes import interleaved, machine, median_run

# Decoder, engines, OpenCV, encoder.
SETTINGS = (
    (0, 1, 0, 0),
    (0, 1, 1, 0),
    (0, 2, 1, 0),
    (1, 1, 1, 0),
    (0, 1, 1, 1),
    (1, 1, 1, 1),
    (0, 2, 0, 0),
)


def run_job(clip: Path, decode: int, engine: int, opencv: int, encode: int) -> None:
    """One job in this process. Thread counts that are no settings of a job are put where a job takes them from."""
    import cv2

    import streamer.job
    from streamer import anonymize_file, make_settings
    from streamer.sink import codec_choice
    from streamer.source import open_source

    if opencv:
        cv2.setNumThreads(opencv)
    streamer.job.open_source = partial(open_source, threads=decode)  # type: ignore[attr-defined]
    if encode:
        codec_choice._FASTEST_GOOD["libx264"]["threads"] = str(encode)
    with tempfile.TemporaryDirectory() as folder:
        anonymize_file(clip, Path(folder, "out.mp4"), settings=make_settings(threads=engine))


def measure(clip: Path, rounds: int) -> str:
    """The table as Markdown, in ratios to the first row."""
    base = [sys.executable, "-m", "benchmarks.threads", str(clip), "--job"]
    commands = {" ".join(map(str, row)): [*base, *map(str, row)] for row in SETTINGS}
    results = {name: median_run(runs) for name, runs in interleaved(commands, rounds).items()}
    first = next(iter(results.values()))
    lines = [
        "| decoder | engines | OpenCV | encoder | processor s | of the first | wall, of the first | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, run in results.items():
        busy, of_first = run.user + run.system, (run.user + run.system) / (first.user + first.system)
        cells = [word if word != "0" else "auto" for word in name.split()]
        cells += [f"{busy:.1f}", f"{of_first:.2f}", f"{run.wall / first.wall:.2f}", f"{run.peak_mib:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", type=int, nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        run_job(arguments.clip, *arguments.job)
    else:
        print(f"{machine()}\n\n{measure(arguments.clip, arguments.rounds)}")


if __name__ == "__main__":
    main()
