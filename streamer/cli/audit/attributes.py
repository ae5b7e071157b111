"""`veilstream audit attributes`: what probes read beside the identity code."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calibration.audit.svg import Series, line_chart
from streamer.audit.attributes import LEAST_PEOPLE, AttributeFinding, audit_attributes, judge
from streamer.audit.lfw import read_matched_pairs
from streamer.audit.pictures import CentralFace
from streamer.audit.recognisers import SFaceRecogniser
from streamer.cli.audit.options import CodebookPath, DecoderPath, LfwFolder, OutFolder, Threads
from streamer.cli.audit.verdict import conclude
from streamer.cli.results import write_results
from streamer.settings import make_settings
from streamer.toolkit import Toolkit


def attributes(
    lfw: LfwFolder,
    pairs: Annotated[int, typer.Option(min=LEAST_PEOPLE, help="At most so many matched pairs.")] = 350,
    limit: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=100.0,
            help="Most people linked or named by a part, in percent, in place of 10 for what the decoder is told, 12"
            " for the drawn face and 15 for the output.",
        ),
    ] = None,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    threads: Threads = 1,
    out: OutFolder = None,
) -> None:
    """What probes read of a person from all that crosses beside the identity code, which epsilon does not cover.

    Judged is the upper 95 % bound of who is linked, and named, by what crosses. Too few people to tell end with status
    4. What is around the face is shown, not judged.
    """
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
    verdict = judge(findings, limit)
    points = tuple((float(at), finding.best_rank1) for at, finding in enumerate(findings))
    chart = line_chart("Probes", "part, in the order of the table", "rank-1", [Series("best probe", points)])
    write_results(
        out, "attributes", {"attributes": chart}, findings=findings, limit_percent=limit, **vars(verdict)
    )
    conclude(Console(), verdict.judged, verdict.broken, verdict.unresolved)


def _show_attributes(findings: list[AttributeFinding]) -> None:
    table = Table(
        "part", "numbers", "ridge", "logistic", "area", "explained", "linked, FAR 1 %", "nearest", "area"
    )
    for finding in findings:
        rates = [f"{100 * probe.rank1.value:.1f} %" for probe in finding.probes]
        area = f"{max(probe.area for probe in finding.probes):.3f}"
        explained = f"{100 * finding.explained:.1f} %" if finding.explained > 0 else "none"
        linked = finding.best_link
        links = [f"{100 * rate.value:.1f} %" for rate in (linked.tar, linked.rank1)]
        table.add_row(
            finding.part, str(finding.numbers), *rates, area, explained, *links, f"{linked.area:.3f}"
        )
    people, chance = findings[0].probes[0].people, findings[0].best_link.chance
    table.caption = (
        f"{people} people. Probes are trained on pictures of the same people: chance is {100 / people:.2g} %, area 0.5."
        f" Links (the better of two metrics) are learned on others: chance is 1 %, {100 * chance:.2g} %, area 0.5."
    )
    Console().print(table)
