"""`veilstream audit coverage`: uncovered faces in scenes whose truth is known."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.svg import Series, line_chart
from calibration.scenes import SCENES
from streamer.audit.coverage import (
    MOST_BARE_PER_THOUSAND,
    UNJUDGED_SCENES,
    Examiner,
    Score,
    Verdict,
    judge,
    scene_scores,
)
from streamer.audit.people import open_codebook
from streamer.cli.audit.options import CodebookPath, OutFolder
from streamer.cli.audit.verdict import conclude
from streamer.cli.results import write_results
from streamer.errors import SettingsError
from streamer.settings import DetectorName, ReplaceWith, make_settings
from streamer.toolkit import Toolkit


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
    cover_doubtful: Annotated[
        bool, typer.Option(help="Cover also what three other looks take for no face.")
    ] = False,
    limit: Annotated[
        float,
        typer.Option(min=0.01, max=999.0, help="Most uncovered faces per 1,000, at their upper 95 % bound."),
    ] = MOST_BARE_PER_THOUSAND,
    codebook: CodebookPath = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the detector.")] = 1,
    out: OutFolder = None,
) -> None:
    """Count uncovered faces in synthetic scenes with exact truth, found as in files.

    Judged is the upper 95 % bound over all scenes; too few faces to tell end with status 4. The faces of the scene
    "small" are too small to be detected without tiles: they are shown, not judged.
    """
    names = scenes or list(SCENES)
    unknown = sorted(set(names) - set(SCENES))
    if unknown:
        raise SettingsError(f"scenes: no scene {unknown[0]!r}; there are: {', '.join(SCENES)}")
    people = open_codebook(codebook)
    analysis = {
        "detector": detector,
        "tiles": tiles,
        "detect_every": detect_every,
        "look_ahead_seconds": look_ahead_seconds,
        "cover_doubtful": cover_doubtful,
    }
    # What faces are replaced with has no part in finding them: a plain covering opens no decoder.
    toolkit = Toolkit(make_settings(replace_with=ReplaceWith.SOLID, analysis=analysis, threads=threads))
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            running = scene_scores(Examiner(toolkit), people, names, seeds, height)
            scores = list(progress.track(running, total=len(names) * seeds, description="scenes"))
    finally:
        toolkit.close()
    verdict = judge(scores, limit)
    _show_coverage(scores, verdict, toolkit.denied_detections)
    rows = [{**vars(score), "track_ids": len(score.track_ids)} for score in scores]
    points = tuple((float(at), score.bare_per_thousand) for at, score in enumerate(scores))
    alone = tuple((float(at), score.bare_by_detector_per_thousand) for at, score in enumerate(scores))
    series = [Series("ours", points), Series("detector alone", alone, dashed=True)]
    chart = line_chart("Uncovered faces", "scene, in the order of the table", "per 1,000", series)
    write_results(
        out, "coverage", {"coverage": chart}, scores=rows, **vars(verdict), denied=toolkit.denied_detections
    )
    conclude(Console(), verdict.summary(), verdict.broken, verdict.unresolved)


def _show_coverage(scores: list[Score], verdict: Verdict, denied: int) -> None:
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
    if denied:
        console.print(
            f"{denied} detections were left bare: three other looks saw no face there", highlight=False
        )
    shown = [score for score in scores if score.name not in verdict.sequences]
    if shown:
        faces, bare = sum(score.faces for score in shown), sum(score.bare for score in shown)
        console.print(
            f"not judged: {bare} of {faces:,} faces uncovered in {', '.join(UNJUDGED_SCENES)}, below what the detector"
            " sees",
            highlight=False,
            soft_wrap=True,
        )
