"""`veilstream doctor`: what is installed, and what of it works."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from streamer.cli.exit_codes import FAILED
from streamer.cli.places import default_ledger_path
from streamer.cli.tables import print_table
from streamer.doctor import examine, is_healthy


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Try models, detectors, codecs, hardware and a small job. Fails when files cannot be anonymized here."""
    checks = list(examine(default_ledger_path()))
    healthy = is_healthy(checks)
    if as_json:
        document = {"healthy": healthy, "checks": [asdict(check) for check in checks]}
        typer.echo(json.dumps(document, indent=1))
    else:
        head = ("", "what", "verdict", "detail")
        print_table(head, [(check.group, check.name, check.verdict.value, check.detail) for check in checks])
        ailing = [check.name for check in checks if check.essential and check.verdict.value != "ok"]
        typer.echo("all that a job needs works" if healthy else f"a job cannot run: {', '.join(ailing)}")
    if not healthy:
        raise typer.Exit(FAILED)
