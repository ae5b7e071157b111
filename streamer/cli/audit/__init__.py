"""`veilstream audit`: attacks on our own claims. Each prints a table and fails when the claim does not hold."""

from __future__ import annotations

import typer

from streamer.cli.audit.attributes import attributes
from streamer.cli.audit.codebook import codebook
from streamer.cli.audit.coverage import coverage
from streamer.cli.audit.epsilon import epsilon
from streamer.cli.audit.hide import hide
from streamer.cli.audit.reid import reid

audit_app = typer.Typer(help="Attack our own claims; fails when one does not hold.", no_args_is_help=True)
for command in (epsilon, reid, hide, coverage, attributes, codebook):
    audit_app.command()(command)

__all__ = ["audit_app"]
