"""`veilstream audit hide`: what can be matched of hidden faces, with the key and without."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.report import percent
from calibration.audit.svg import Series, line_chart
from calibration.claims import HIDDEN
from calibration.hide import KeyedRotation
from calibration.keys import MIN_KEY_BYTES, load_key
from engines.remember import RememberingEngine
from streamer.audit.hidden import JUDGED, HiddenOutcome, audit_hidden
from streamer.audit.lfw import read_matched_pairs
from streamer.audit.pictures import CentralFace
from streamer.audit.recognisers import SFaceRecogniser
from streamer.cli.audit.options import CodebookPath, DecoderPath, LfwFolder, OutFolder, Threads
from streamer.cli.audit.verdict import conclude
from streamer.cli.results import write_results
from streamer.settings import make_settings
from streamer.toolkit import Toolkit

_PURPOSE = "audit"


def hide(
    lfw: LfwFolder,
    key_file: Annotated[
        Path | None, typer.Option(help="Key to hide under; default: one made for this audit.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=2, help="At most so many matched pairs.")] = 1500,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    threads: Threads = 1,
    out: OutFolder = None,
) -> None:
    """Hide portraits under a key and under another one, and match: with the key, with the wrong one, without."""
    held = secrets.token_bytes(MIN_KEY_BYTES) if key_file is None else load_key(key_file)
    pictures = read_matched_pairs(lfw, pairs)
    settings = make_settings(privacy={"codebook": codebook}, decoder=decoder, threads=threads)
    toolkit = Toolkit(settings, wrap_engine=RememberingEngine)
    try:
        tools = toolkit.synthetic
        assert tools is not None
        assert tools.encoder is not None
        dimension = tools.codebook.space.dimension
        one, two = (
            KeyedRotation(key, dimension, _PURPOSE) for key in (held, secrets.token_bytes(MIN_KEY_BYTES))
        )
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("hiding", total=len(pictures.probes) + len(pictures.gallery))
            outcome = audit_hidden(
                pictures,
                CentralFace(toolkit.detect),
                tools,
                SFaceRecogniser(tools.encoder),
                (one, two),
                lambda: progress.advance(task),
            )
    finally:
        toolkit.close()
    _show(outcome)
    points = tuple((float(at), result.area) for at, result in enumerate(outcome.results))
    chart = line_chart(
        "Hidden faces",
        "what is compared, in the order of the table",
        "area (.5 is chance)",
        [Series("area", points)],
    )
    write_results(out, "hide", {"hide": chart}, **vars(outcome), claim=HIDDEN, judged=JUDGED)
    conclude(Console(), JUDGED, outcome.broken, outcome.unresolved)


def _show(outcome: HiddenOutcome) -> None:
    table = Table("compared", "TAR at FAR .1 %", "at FAR 1 %", "rank-1", "area", title="Hidden under a key")
    for result in outcome.results:
        assert result.rank1 is not None
        table.add_row(
            result.row,
            percent(result.tar_far_1e3.tar),
            percent(result.tar_far_1e2.tar),
            f"{percent(result.rank1)} of {result.people}",
            f"{result.area:.3f}",
        )
    console = Console()
    console.print(table)
    console.print(HIDDEN, highlight=False)
