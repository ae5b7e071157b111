"""`veilstream audit epsilon`: how much a draw tells, on the draws themselves and through the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from calibration.audit.broken import BROKEN_NAMES, audit_broken
from calibration.audit.epsilon import DEFAULT_TRIALS, EpsilonFinding, audit_mechanism
from calibration.audit.report import epsilon_chart, epsilon_table
from calibration.audit.tracks import audit_assigner
from calibration.bounds import check_epsilon
from calibration.codebook import Codebook
from calibration.mechanisms import MECHANISM_NAMES, CodebookMechanism, UniformMechanism, create_mechanism
from streamer.audit.people import open_codebook
from streamer.audit.through_pixels import FRAMES, audit_pixels
from streamer.cli.audit.options import CodebookPath, DecoderPath, OutFolder
from streamer.cli.exit_codes import FAILED, UNDECIDED
from streamer.cli.results import write_results
from streamer.errors import SettingsError
from streamer.settings import make_settings
from streamer.toolkit import Toolkit

DEFAULT_EPSILONS = (0.5, 1.0, 2.3, 4.0)


def epsilon(
    epsilon: Annotated[
        list[float] | None, typer.Option(help="Epsilon to audit; may be repeated. Default: 0.5, 1, 2.3, 4.")
    ] = None,
    mechanism: Annotated[
        list[str] | None, typer.Option(help="Mechanism to audit; may be repeated. Default: all.")
    ] = None,
    trials: Annotated[int, typer.Option(min=100, help="Draws under each of two codes.")] = DEFAULT_TRIALS,
    pixels: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tracks of `codebook` rendered under each code, per epsilon; 0 for none. Default: as many as it takes"
            " to catch a mechanism that spends twice its epsilon (minutes).",
        ),
    ] = None,
    broken: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Audit mechanisms broken on purpose instead; may be repeated: {', '.join(BROKEN_NAMES)}."
            " Status 1 when every one was caught at every epsilon, 4 when any was not."
        ),
    ] = None,
    allow_large_epsilon: Annotated[bool, typer.Option(help="Accept an epsilon above 8.")] = False,
    codebook: CodebookPath = None,
    decoder: DecoderPath = None,
    out: OutFolder = None,
) -> None:
    """How much a draw tells, measured on the draws themselves and on the pictures made from them.

    Status 0: all that is claimed holds. 1: something does not. 4: too few trials to say.
    """
    epsilons = sorted(set(epsilon or DEFAULT_EPSILONS))
    names = _known("mechanism", mechanism or list(MECHANISM_NAMES), MECHANISM_NAMES)
    broken_names = _known("broken", broken or [], BROKEN_NAMES)
    for value in epsilons:
        check_epsilon(value, allow_large_epsilon)
    people = open_codebook(codebook)
    if broken_names:
        status = _audit_broken(people, broken_names, epsilons, trials, out)
    else:
        findings = _draw_audits(people, names, epsilons, trials)
        seen: list[EpsilonFinding] = []
        if pixels != 0 and CodebookMechanism.name in names:
            seen = _pixel_audits(epsilons, pixels, codebook, decoder)
        status = _show(findings, seen, out)
    if status:
        raise typer.Exit(status)


def _show(findings: list[EpsilonFinding], seen: list[EpsilonFinding], out: Path | None) -> int:
    """Print and write what was found. The exit status."""
    shown = findings + seen
    console = Console(soft_wrap=True, highlight=False)
    console.print(epsilon_table(shown))
    for item in seen:
        console.print(
            f"through the pixels, epsilon {item.epsilon:g}: {2 * item.trials} tracks of {FRAMES} frames;"
            f" {item.recovery:.1%} of the people read back, {item.changed_tracks} tracks changed theirs"
        )
    for option, part in (("--trials", findings), ("--pixels", seen)):
        needed = [finding.needed_trials for finding in part if not (finding.failed or finding.conclusive)]
        if needed:
            console.print(
                f"too few trials to say: {len(needed)} of {len(part)} rows; give {option} {max(needed)}"
            )
    write_results(out, "epsilon", {"epsilon": epsilon_chart(shown)}, findings=findings, pixels=seen)
    if any(finding.failed for finding in shown):
        return FAILED
    return 0 if all(finding.conclusive for finding in shown) else UNDECIDED


def _audit_broken(
    people: Codebook, names: list[str], epsilons: list[float], trials: int, out: Path | None
) -> int:
    """Audit what is broken on purpose and say of each whether it was caught. The exit status."""
    if 0.0 in epsilons:
        raise SettingsError("epsilon: the broken mechanisms state an epsilon above 0")
    found = {
        (name, value): audit_broken(name, str(value), people.space, trials=trials)
        for name in names
        for value in epsilons
    }
    caught = {key: any(finding.failed for finding in findings) for key, findings in found.items()}
    shown = [finding for findings in found.values() for finding in findings]
    console = Console(soft_wrap=True, highlight=False)
    console.print(epsilon_table(shown))
    for name in names:
        missed = ", ".join(f"{value:g}" for value in epsilons if not caught[name, value])
        console.print(f"{name}: " + (f"NOT caught at epsilon {missed}" if missed else "caught"))
    if not all(caught.values()):
        advice = (
            f"give more --trials ({DEFAULT_TRIALS} catch them)" if trials < DEFAULT_TRIALS else "it is blind"
        )
        console.print(f"the audit misses what is broken: {advice}")
    verdicts = [
        {"broken": name, "epsilon": value, "caught": is_caught} for (name, value), is_caught in caught.items()
    ]
    write_results(out, "epsilon", {"epsilon": epsilon_chart(shown)}, findings=shown, broken=verdicts)
    return FAILED if all(caught.values()) else UNDECIDED


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
            drawn = audit_mechanism(chosen, people.space, trials=trials)
            findings += drawn
            # A ledger takes no draws whose weights are not those of their epsilon.
            if not any(finding.failed for finding in drawn):
                findings.append(audit_assigner(chosen, people, most_trials=trials))
    return findings


def _pixel_audits(
    epsilons: list[float], tracks: int | None, codebook: Path | None, decoder: Path | None
) -> list[EpsilonFinding]:
    if 0.0 in epsilons:
        raise SettingsError("epsilon: 0 looks at no face; audit the mechanism `uniform`, or give --pixels 0")
    toolkit = Toolkit(make_settings(privacy={"codebook": codebook}, decoder=decoder))
    try:
        return [audit_pixels(toolkit, CodebookMechanism(str(value)), tracks) for value in epsilons]
    finally:
        toolkit.close()
