"""`veilstream audit reid`: face recognisers on anonymized portraits."""

from __future__ import annotations

import math
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.report import reid_table
from calibration.exact import as_epsilon
from engines.remember import RememberingEngine
from streamer.audit.lfw import read_matched_pairs
from streamer.audit.pictures import CentralFace
from streamer.audit.recognisers import open_recognisers
from streamer.audit.reidentify import ReidOutcome, reid_chart, run_reid
from streamer.audit.rows import rows_for
from streamer.cli.audit.options import CodebookPath, DecoderPath, LfwFolder, OutFolder, Threads
from streamer.cli.audit.verdict import conclude
from streamer.cli.results import write_results
from streamer.settings import make_settings
from streamer.toolkit import Toolkit


def reid(
    lfw: LfwFolder,
    pairs: Annotated[int, typer.Option(min=2, help="At most so many matched pairs.")] = 1500,
    epsilons: Annotated[
        str, typer.Option(help="Epsilons, by commas; 0 is always shown.")
    ] = "0,1,2.3,4,8,inf",
    copies: Annotated[
        int, typer.Option(min=1, help="Anonymizations of each known picture that a parrot is trained on.")
    ] = 3,
    draws: Annotated[
        int, typer.Option(min=1, help="Anonymizations of each picture that is to be recognised.")
    ] = 3,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    threads: Threads = 1,
    out: OutFolder = None,
) -> None:
    """Attack anonymized portraits with face recognisers: naive, parrots, learned reversal, linkage.

    Judged are epsilons up to 1 with recognisers that took no part in training, of which it takes two, and 598 pairs
    of one person. Each picture is drawn several times, since rates as small as these differ much from draw to draw. A
    run that misses a bar ends with status 1, one that cannot tell with 4. With --out, the table so far
    is written from time to time: a run that is stopped leaves what it has seen.
    """
    values = _numbers(epsilons)
    pictures = read_matched_pairs(lfw, pairs)
    recognisers = open_recognisers(threads)
    errors = Console(stderr=True)
    for line in recognisers.missing:
        errors.print(f"left out: {line}", highlight=False, markup=False)
    settings = make_settings(privacy={"codebook": codebook}, decoder=decoder, threads=threads)
    toolkit = Toolkit(settings, wrap_engine=RememberingEngine)

    def write(outcome: ReidOutcome) -> None:
        charts = {"reid": reid_chart(outcome)}
        write_results(out, "reid", charts, **vars(outcome), left_out=recognisers.missing)

    try:
        rows = rows_for(toolkit, values, copies, draws)
        total = sum(row.draws * len(pictures.probes) + row.copies * len(pictures.gallery) for row in rows)
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
    conclude(Console(), outcome.judged, outcome.broken, outcome.unresolved)


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


def _numbers(text: str) -> list[float]:
    """Epsilons from text like "0,1,2.3,inf"."""
    parts = [part.strip() for part in text.split(",")]
    return [math.inf if part == "inf" else float(as_epsilon(part)) for part in parts]
