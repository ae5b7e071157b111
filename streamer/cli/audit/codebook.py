"""`veilstream audit codebook`: the screening of the synthetic people, done again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.svg import Series, line_chart
from engines.detectors import create_detector
from engines.landmarks import FaceMesh
from streamer.audit.codebook_screen import CodebookOutcome, MeshFace, audit_codebook, gallery_portraits
from streamer.audit.people import open_codebook
from streamer.audit.recognisers import MobileFaceNetRecogniser, open_recognisers
from streamer.cli.audit.options import CodebookPath, OutFolder, Threads
from streamer.cli.audit.verdict import conclude
from streamer.cli.results import write_results


def codebook(
    gallery: Annotated[
        Path | None, typer.Option(help="Folder of pictures of real people that nobody may be a double of.")
    ] = None,
    pictures: Annotated[int | None, typer.Option(min=1, help="At most so many of them.")] = None,
    codebook: CodebookPath = None,
    threads: Threads = 1,
    out: OutFolder = None,
) -> None:
    """Screen the synthetic people again with two recognisers: doubles among them, and of real people in a gallery.

    Without --gallery they are compared with each other alone.
    """
    book = open_codebook(codebook)
    real = [] if gallery is None else gallery_portraits(gallery, pictures)
    recognisers = open_recognisers(threads)
    console, errors = Console(), Console(stderr=True)
    for line in recognisers.missing:
        errors.print(f"left out: {line}", highlight=False, markup=False)
    used = [item for item in recognisers.ready if item.name == MobileFaceNetRecogniser.name]
    detector = create_detector(threads=threads)
    try:
        finder = MeshFace(detector, FaceMesh.open(threads=threads))
        with Progress(console=errors, transient=True) as progress:
            task = progress.add_task("encoding", total=book.size + len(real))
            outcome = audit_codebook(
                book, [recognisers.ready[0], *used], real, finder, lambda: progress.advance(task)
            )
    finally:
        detector.close()
    _show(outcome, console)
    series = [
        Series(name, tuple((float(at), value) for at, value in enumerate(values)), dashed=name == "limit")
        for name, values in (
            ("largest cosine", [finding.screening.largest for finding in outcome.findings]),
            ("limit", [finding.screening.limit for finding in outcome.findings]),
        )
    ]
    chart = line_chart("Codebook", "screening, in the order of the table", "cosine", series)
    write_results(out, "codebook", {"codebook": chart}, **vars(outcome), codebook_sha256=book.sha256)
    if gallery is None:
        console.print("no real people were compared with: --gallery FOLDER does that", highlight=False)
    conclude(console, outcome.judged, outcome.broken, outcome.unresolved)


def _show(outcome: CodebookOutcome, console: Console) -> None:
    table = Table("doubles", "recogniser", "compared", "largest cosine", "limit", "above", title="Codebook")
    for finding in outcome.findings:
        screening = finding.screening
        cells = (f"{finding.compared:,}", f"{screening.largest:.3f}", f"{screening.limit:.3f}")
        table.add_row(finding.what, finding.recogniser, *cells, str(len(screening.pairs)))
    console.print(table)
    console.print(
        f"{outcome.people} people; stored codes agree with their pictures to {outcome.agreement:.3f};"
        f" {outcome.gallery} real pictures, {outcome.faceless} without a face",
        highlight=False,
    )
