"""`veilstream audit`: attacks on our own claims. Each prints a table and fails when the claim does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from calibration.audit.epsilon import DEFAULT_TRIALS, EpsilonFinding, audit_mechanism
from calibration.audit.report import epsilon_chart, epsilon_table
from calibration.bounds import check_epsilon
from calibration.codebook import Codebook
from calibration.mechanisms import MECHANISM_NAMES, CodebookMechanism, UniformMechanism, create_mechanism
from streamer.audit.people import open_codebook
from streamer.audit.through_pixels import PixelFinding, audit_pixels
from streamer.cli.exit_codes import FAILED
from streamer.cli.results import write_results
from streamer.errors import SettingsError
from streamer.settings import make_settings
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
        int, typer.Option(min=0, help="Tracks rendered under each code, for the audit through the pixels.")
    ] = DEFAULT_PIXEL_DRAWS,
    allow_large_epsilon: Annotated[bool, typer.Option(help="Accept an epsilon above 8.")] = False,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    out: OutFolder = None,
) -> None:
    """How much a draw tells, measured on the draws themselves and on the pictures made from them."""
    epsilons = sorted(set(epsilon or DEFAULT_EPSILONS))
    names = mechanism or list(MECHANISM_NAMES)
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
