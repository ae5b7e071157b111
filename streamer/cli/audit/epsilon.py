"""`veilstream audit epsilon`: how much a draw tells, on the draws themselves and through the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from calibration.audit.broken import BROKEN_NAMES, broken_case
from calibration.audit.epsilon import DEFAULT_TRIALS, EpsilonFinding, audit_case, audit_mechanism
from calibration.audit.report import epsilon_chart, epsilon_table
from calibration.bounds import check_epsilon
from calibration.codebook import Codebook
from calibration.mechanisms import MECHANISM_NAMES, CodebookMechanism, UniformMechanism, create_mechanism
from streamer.audit.people import open_codebook
from streamer.audit.through_pixels import PixelFinding, audit_pixels
from streamer.cli.audit.options import CodebookPath, DecoderPath, OutFolder
from streamer.cli.exit_codes import FAILED
from streamer.cli.results import write_results
from streamer.errors import SettingsError
from streamer.settings import make_settings
from streamer.toolkit import Toolkit

DEFAULT_EPSILONS = (0.5, 1.0, 2.3, 4.0)
DEFAULT_PIXEL_DRAWS = 100


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
        typer.Option(min=0, help="Tracks of `codebook` rendered under each code, per epsilon; 0 for none."),
    ] = DEFAULT_PIXEL_DRAWS,
    broken: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Audit mechanisms broken on purpose instead, which must fail: {', '.join(BROKEN_NAMES)}."
        ),
    ] = None,
    allow_large_epsilon: Annotated[bool, typer.Option(help="Accept an epsilon above 8.")] = False,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    out: OutFolder = None,
) -> None:
    """How much a draw tells, measured on the draws themselves and on the pictures made from them."""
    epsilons = sorted(set(epsilon or DEFAULT_EPSILONS))
    names = _known("mechanism", mechanism or list(MECHANISM_NAMES), MECHANISM_NAMES)
    broken_names = _known("broken", broken or [], BROKEN_NAMES)
    for value in epsilons:
        check_epsilon(value, allow_large_epsilon)
    people = open_codebook(codebook)
    seen: list[PixelFinding] = []
    if broken_names:
        findings = [
            audit_case(broken_case(name, str(value), people.space, trials), trials=trials)
            for name in broken_names
            for value in epsilons
        ]
    else:
        findings = _draw_audits(people, names, epsilons, trials)
        if pixels and CodebookMechanism.name in names:
            seen = _pixel_audits(epsilons, pixels, codebook, decoder)
    shown = findings + [item.finding for item in seen]
    console = Console()
    console.print(epsilon_table(shown))
    for item in seen:
        console.print(
            f"through the pixels, epsilon {item.finding.epsilon:g}: {item.recovered} of {item.runs} indices recovered"
        )
    write_results(out, "epsilon", {"epsilon": epsilon_chart(shown)}, findings=findings, pixels=seen)
    if not all(finding.passed for finding in shown):
        raise typer.Exit(FAILED)


def _known(option: str, names: list[str], known: tuple[str, ...]) -> list[str]:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SettingsError(f"{option}: no {unknown[0]!r}; there are: {', '.join(known)}")
    return names


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


def _pixel_audits(
    epsilons: list[float], draws: int, codebook: Path | None, decoder: Path | None
) -> list[PixelFinding]:
    if 0.0 in epsilons:
        raise SettingsError("epsilon: 0 looks at no face; audit the mechanism `uniform`, or give --pixels 0")
    toolkit = Toolkit(make_settings(privacy={"codebook": codebook}, decoder=decoder))
    try:
        return [audit_pixels(toolkit, CodebookMechanism(str(value)), draws) for value in epsilons]
    finally:
        toolkit.close()
