"""`veilstream audit`: attacks on our own claims. Each prints a table and fails when the claim does not hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.epsilon import DEFAULT_TRIALS, EpsilonFinding, audit_mechanism
from calibration.audit.report import epsilon_chart, epsilon_table, reid_table
from calibration.audit.svg import Series, line_chart
from calibration.bounds import check_epsilon
from calibration.codebook import Codebook
from calibration.exact import as_epsilon
from calibration.mechanisms import MECHANISM_NAMES, CodebookMechanism, UniformMechanism, create_mechanism
from calibration.scenes import SCENES
from engines.detectors import create_detector
from engines.remember import RememberingEngine
from streamer.analysis import AnalyzerSettings
from streamer.audit.attributes import LEAST_PEOPLE, ORIGINAL_CODE, AttributeFinding, audit_attributes
from streamer.audit.coverage import (
    MOST_BARE_PER_THOUSAND,
    Examiner,
    Score,
    bare_rate,
    broken_claims,
    judged,
    scene_scores,
)
from streamer.audit.lfw import read_matched_pairs
from streamer.audit.people import open_codebook
from streamer.audit.pictures import CentralFace
from streamer.audit.recognisers import SFaceRecogniser, open_recognisers
from streamer.audit.reidentify import ReidOutcome, reid_chart, run_reid
from streamer.audit.rows import rows_for
from streamer.audit.through_pixels import PixelFinding, audit_pixels
from streamer.cli.exit_codes import FAILED
from streamer.cli.results import write_results
from streamer.errors import SettingsError
from streamer.settings import DetectorName, make_settings
from streamer.toolkit import Toolkit

audit_app = typer.Typer(help="Attack our own claims; fails when one does not hold.", no_args_is_help=True)

DEFAULT_EPSILONS = (0.5, 1.0, 2.3, 4.0)
DEFAULT_PIXEL_DRAWS = 100

CodebookPath = Annotated[Path | None, typer.Option(help="Another codebook of synthetic people.")]
DecoderPath = Annotated[Path | None, typer.Option(help="Another face decoder (ONNX).")]
OutFolder = Annotated[Path | None, typer.Option(help="Folder for the JSON file and the plot.")]


@audit_app.command()
def epsilon(
    epsilon: Annotated[
        list[float] | None, typer.Option(help="Epsilon to audit; may be repeated. Default: 0.5, 1, 2.3, 4.")
    ] = None,
    mechanism: Annotated[
        list[str] | None, typer.Option(help="Mechanism to audit; may be repeated. Default: all.")
    ] = None,
    trials: Annotated[int, typer.Option(min=100, help="Draws under each of two codes.")] = DEFAULT_TRIALS,
    pixels: Annotated[
        int,
        typer.Option(min=0, help="Tracks rendered under each code at the epsilon nearest to 1; 0 for none."),
    ] = DEFAULT_PIXEL_DRAWS,
    allow_large_epsilon: Annotated[bool, typer.Option(help="Accept an epsilon above 8.")] = False,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    out: OutFolder = None,
) -> None:
    """How much a draw tells, measured on the draws themselves and on the pictures made from them."""
    epsilons = sorted(set(epsilon or DEFAULT_EPSILONS))
    names = mechanism or list(MECHANISM_NAMES)
    unknown = sorted(set(names) - set(MECHANISM_NAMES))
    if unknown:
        raise SettingsError(f"mechanism: no {unknown[0]!r}; there are: {', '.join(MECHANISM_NAMES)}")
    for value in epsilons:
        check_epsilon(value, allow_large_epsilon)
    console = Console()
    people = open_codebook(codebook)
    findings = _draw_audits(people, names, epsilons, trials)
    seen = None
    if pixels and CodebookMechanism.name in names:
        seen = _pixel_audit(min(epsilons, key=lambda value: abs(value - 1.0)), pixels, codebook, decoder)
    shown = findings + ([seen.finding] if seen else [])
    console.print(epsilon_table(shown))
    if seen:
        console.print(f"through the pixels, {seen.recovered} of {seen.runs} indices were recovered")
    write_results(out, "epsilon", {"epsilon": epsilon_chart(shown)}, findings=findings, pixels=seen)
    if not all(finding.passed for finding in shown):
        raise typer.Exit(FAILED)


def _draw_audits(
    people: Codebook, names: list[str], epsilons: list[float], trials: int
) -> list[EpsilonFinding]:
    findings = []
    for name in names:
        # `uniform` has one epsilon, 0, whatever is asked.
        for value in epsilons if name != UniformMechanism.name else (0.0,):
            chosen = create_mechanism(name, str(value), dimension=people.space.dimension)
            findings.append(audit_mechanism(chosen, people.space, trials=trials))
    return findings


def _pixel_audit(value: float, draws: int, codebook: Path | None, decoder: Path | None) -> PixelFinding:
    if value == 0:
        raise SettingsError("epsilon: 0 looks at no face; audit the mechanism `uniform`, or give --pixels 0")
    privacy = {"mechanism": CodebookMechanism.name, "epsilon": value, "codebook": codebook}
    toolkit = Toolkit(make_settings(privacy={**privacy, "allow_large_epsilon": True}, decoder=decoder))
    try:
        return audit_pixels(toolkit, CodebookMechanism(str(value)), draws)
    finally:
        toolkit.close()


@audit_app.command()
def reid(
    lfw: Annotated[
        Path, typer.Option(help="Folder of Labeled Faces in the Wild: pairs.txt and the pictures.")
    ],
    pairs: Annotated[int, typer.Option(min=2, help="At most so many matched pairs.")] = 1500,
    epsilons: Annotated[
        str, typer.Option(help="Epsilons, by commas; 0 is always shown.")
    ] = "0,1,2.3,4,8,inf",
    copies: Annotated[
        int, typer.Option(min=1, help="Anonymizations of each known picture that a parrot is trained on.")
    ] = 3,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each engine.")] = 1,
    out: OutFolder = None,
) -> None:
    """Attack anonymized portraits with face recognisers: naive, parrots, learned reversal, linkage.

    Judged are epsilons up to 1 with recognisers that took no part in training. With --out, the table so far is written
    from time to time: a run that is stopped leaves what it has seen.
    """
    values = _numbers(epsilons)
    pictures = read_matched_pairs(lfw, pairs)
    recognisers = open_recognisers(threads)
    errors = Console(stderr=True)
    for line in recognisers.missing:
        errors.print(f"left out: {line}", highlight=False)
    settings = make_settings(privacy={"codebook": codebook}, decoder=decoder, threads=threads)
    toolkit = Toolkit(settings, wrap_engine=RememberingEngine)

    def write(outcome: ReidOutcome) -> None:
        charts = {"reid": reid_chart(outcome)}
        write_results(out, "reid", charts, **vars(outcome), left_out=recognisers.missing)

    try:
        rows = rows_for(toolkit, values, copies)
        total = sum(len(pictures.probes) + row.copies * len(pictures.gallery) for row in rows)
        with Progress(console=errors, transient=True) as progress:
            task = progress.add_task("attacking", total=total)
            outcome = run_reid(
                pictures,
                CentralFace(toolkit.detect),
                rows,
                recognisers.ready,
                lambda row: progress.update(task, advance=1, description=row),
                write,
            )
    finally:
        toolkit.close()
    _show_reid(outcome)
    write(outcome)
    if outcome.broken:
        raise typer.Exit(FAILED)


def _show_reid(outcome: ReidOutcome) -> None:
    console = Console()
    console.print(reid_table(outcome.results))
    counts = Table("pictures", "made", "synthetic", "face found again", box=None)
    for count in outcome.counts:
        again = f"{100 * count.found_again / count.pictures:.1f} %"
        counts.add_row(count.row, str(count.pictures), str(count.synthetic), again)
    console.print(counts)
    console.print(
        f"{outcome.probes} probes, {outcome.gallery} in the gallery, {outcome.faceless} without a face; took no part in"
        f" training: {', '.join(outcome.held_out) or 'none'}"
    )
    for line in outcome.broken:
        console.print(f"FAIL {line}", style="red", highlight=False)


def _numbers(text: str) -> list[float]:
    """Epsilons from text like "0,1,2.3,inf"."""
    parts = [part.strip() for part in text.split(",")]
    return [math.inf if part == "inf" else float(as_epsilon(part)) for part in parts]


@audit_app.command()
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


@audit_app.command()
def attributes(
    lfw: Annotated[
        Path, typer.Option(help="Folder of Labeled Faces in the Wild: pairs.txt and the pictures.")
    ],
    pairs: Annotated[int, typer.Option(min=LEAST_PEOPLE, help="At most so many matched pairs.")] = 300,
    limit: Annotated[
        float | None, typer.Option(min=0.0, help="Fail when a probe names more than this share, in percent.")
    ] = None,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each engine.")] = 1,
    out: OutFolder = None,
) -> None:
    """What probes read of a person from all that crosses beside the identity code, which epsilon does not cover."""
    pictures = read_matched_pairs(lfw, pairs)
    toolkit = Toolkit(make_settings(privacy={"codebook": codebook}, decoder=decoder, threads=threads))
    try:
        tools = toolkit.synthetic
        assert tools is not None
        assert tools.encoder is not None
        encoder, central = SFaceRecogniser(tools.encoder), CentralFace(toolkit.detect)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("reading", total=len(pictures.probes) + len(pictures.gallery))
            findings = audit_attributes(pictures, central, tools, encoder, lambda: progress.advance(task))
    finally:
        toolkit.close()
    _show_attributes(findings)
    points = tuple((float(at), finding.best_rank1) for at, finding in enumerate(findings))
    chart = line_chart("Probes", "part, in the order of the table", "rank-1", [Series("best probe", points)])
    write_results(out, "attributes", {"attributes": chart}, findings=findings, limit_percent=limit)
    told = [finding for finding in findings if finding.part != ORIGINAL_CODE]
    if limit is not None and any(100.0 * finding.best_rank1 > limit for finding in told):
        raise typer.Exit(FAILED)


def _show_attributes(findings: list[AttributeFinding]) -> None:
    table = Table("part", "numbers", "ridge rank-1", "logistic rank-1", "area", "identity explained")
    for finding in findings:
        rates = [f"{100 * probe.rank1.value:.1f} %" for probe in finding.probes]
        area = f"{max(probe.area for probe in finding.probes):.3f}"
        explained = f"{100 * finding.explained:.1f} %" if finding.explained > 0 else "none"
        table.add_row(finding.part, str(finding.numbers), *rates, area, explained)
    people = findings[0].probes[0].people
    table.caption = f"{people} people; chance is {100 / people:.2g} %, area 0.5, none explained"
    Console().print(table)
