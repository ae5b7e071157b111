"""`veilstream audit coverage`: uncovered faces in scenes whose truth is known."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.svg import Series, line_chart
from calibration.scenes import SCENES
from engines.detectors import create_detector
from streamer.analysis import AnalyzerSettings
from streamer.audit.coverage import (
    MOST_BARE_PER_THOUSAND,
    Examiner,
    Score,
    bare_rate,
    broken_claims,
    judged,
    scene_scores,
)
from streamer.audit.people import open_codebook
from streamer.cli.audit.options import CodebookPath, OutFolder
from streamer.cli.exit_codes import FAILED
from streamer.cli.results import write_results
from streamer.errors import SettingsError
from streamer.settings import DetectorName


def coverage(
    scenes: Annotated[
        list[str] | None, typer.Option(help=f"Scene, may be repeated: {', '.join(SCENES)}. Default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Variants of each scene.")] = 2,
    height: Annotated[int, typer.Option(min=120, help="Height of the scenes, px.")] = 360,
    detector: Annotated[DetectorName, typer.Option(help="Face detector.")] = DetectorName.RETINAFACE,
    tiles: Annotated[bool, typer.Option(help="Also look at overlapping tiles.")] = False,
    detect_every: Annotated[int, typer.Option(min=1, help="Run the detector on every n-th frame.")] = 1,
    look_ahead_seconds: Annotated[float, typer.Option(min=0.0, help="How long frames wait.")] = 0.4,
    limit: Annotated[
        float, typer.Option(min=0.0, help="Most uncovered faces per 1,000.")
    ] = MOST_BARE_PER_THOUSAND,
    codebook: CodebookPath = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the detector.")] = 1,
    out: OutFolder = None,
) -> None:
    """Count uncovered faces in synthetic scenes with exact truth. Faces too small to be detected are not judged."""
    names = scenes or list(SCENES)
    unknown = sorted(set(names) - set(SCENES))
    if unknown:
        raise SettingsError(f"scenes: no scene {unknown[0]!r}; there are: {', '.join(SCENES)}")
    people = open_codebook(codebook)
    finder = create_detector(
        detector.value, score_threshold=AnalyzerSettings().continue_threshold, threads=threads
    )
    try:
        examiner = Examiner(finder, tiles=tiles, interval=detect_every, look_ahead_seconds=look_ahead_seconds)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            running = scene_scores(examiner, people, names, seeds, height)
            scores = list(progress.track(running, total=len(names) * seeds, description="scenes"))
    finally:
        finder.close()
    broken = broken_claims(scores, limit)
    _show_coverage(scores, broken)
    rows = [{**vars(score), "track_ids": len(score.track_ids)} for score in scores]
    points = tuple((float(at), score.bare_per_thousand) for at, score in enumerate(scores))
    alone = tuple((float(at), score.bare_by_detector_per_thousand) for at, score in enumerate(scores))
    series = [Series("ours", points), Series("detector alone", alone, dashed=True)]
    chart = line_chart("Uncovered faces", "scene, in the order of the table", "per 1,000", series)
    write_results(out, "coverage", {"coverage": chart}, scores=rows, broken=broken, limit_per_thousand=limit)
    if broken:
        raise typer.Exit(FAILED)


def _show_coverage(scores: list[Score], broken: list[str]) -> None:
    table = Table(
        "scene", "faces", "bare per 1,000", "detector alone", "tracks", "switches", "shared", "extra"
    )
    for score in scores:
        table.add_row(
            score.name.removeprefix("scene "),
            str(score.faces),
            f"{score.bare_per_thousand:.1f}",
            f"{score.bare_by_detector_per_thousand:.1f}",
            str(len(score.track_ids)),
            str(score.switches),
            str(score.shared),
            str(score.extra),
        )
    console = Console()
    console.print(table)
    rate = bare_rate(judged(scores))
    console.print(
        f"{rate.successes} of {rate.trials:,} judged faces uncovered:"
        f" {1000 * rate.value:.2f} per 1,000, at most {1000 * rate.high:.2f} (95 %)",
        highlight=False,
    )
    for line in broken:
        console.print(f"FAIL {line}", style="red", highlight=False)
