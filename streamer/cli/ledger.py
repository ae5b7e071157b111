"""`veilstream ledger` and `veilstream key`: what was spent, and the keys that make draws replayable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibration.claims import HIDDEN, KEYED
from calibration.keys import key_fingerprint, load_key, new_key_file, rotate_key_file
from calibration.ledger import verify_ledger
from streamer.cli.places import default_ledger_path
from streamer.cli.tables import print_table

ledger_app = typer.Typer(help="Check the ledger of draws and add up epsilon.", no_args_is_help=True)
key_app = typer.Typer(help="Make and rotate key files.", no_args_is_help=True)

LedgerPath = Annotated[Path | None, typer.Argument(help="Ledger file; default: the user's own.")]


@ledger_app.command()
def verify(
    path: LedgerPath = None,
    head: Annotated[str | None, typer.Option(help="A head noted elsewhere, e.g. in a report.")] = None,
) -> None:
    """Check every line and the chain. Fails on the first line that does not hold."""
    summary = verify_ledger(path or default_ledger_path(), noted_head=head)
    typer.echo(f"{summary.lines} draws, chain whole, head {summary.head}")
    if summary.note:
        typer.echo(summary.note)


@ledger_app.command("sum")
def add_up(path: LedgerPath = None) -> None:
    """Epsilon and delta per scope, and what no epsilon covers."""
    scopes = verify_ledger(path or default_ledger_path()).scopes
    rows = []
    for scope in scopes:
        sums = (f"{float(scope.epsilon):g}", f"{float(scope.delta):g}")
        rows.append((scope.scope, str(scope.draws), *sums, str(scope.keyed), str(scope.hidden)))
    print_table(("scope", "draws", "epsilon in sum", "delta in sum", "keyed", "hidden"), rows)
    if any(scope.keyed for scope in scopes):
        typer.echo(f"keyed: {KEYED}")
    if any(scope.hidden for scope in scopes):
        typer.echo(f"hidden: {HIDDEN}")


@key_app.command("new")
def new_key(path: Annotated[Path, typer.Argument(help="File to make.")]) -> None:
    """Write a new random key, readable by its owner alone."""
    typer.echo(f"{path}: fingerprint {new_key_file(path)}")


@key_app.command("rotate")
def rotate_key(path: Annotated[Path, typer.Argument(help="Key file to replace.")]) -> None:
    """Put a new key in place; the old one is kept beside it until you delete it."""
    fingerprint, kept = rotate_key_file(path)
    typer.echo(
        f"{path}: new fingerprint {fingerprint}; the old key is in {kept}, delete it to make this final"
    )


@key_app.command("show")
def show_key(path: Annotated[Path, typer.Argument(help="Key file.")]) -> None:
    """Check a key file and print its fingerprint."""
    typer.echo(key_fingerprint(load_key(path)))
