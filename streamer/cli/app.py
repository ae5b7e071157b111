"""Root of the command line. Sub-commands live in modules of their own and are imported when they are called."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated, Any, NoReturn

import typer

from calibration.errors import CalibrationError, EpsilonError
from engines.errors import EngineError
from streamer.cli.anonymize import anonymize
from streamer.cli.audit import audit_app
from streamer.cli.calibrate import calibrate_app
from streamer.cli.doctor import doctor
from streamer.cli.engines import engines_app
from streamer.cli.exit_codes import FAILED, INTERRUPTED, INTERRUPTED_LINE, USAGE
from streamer.cli.ledger import key_app, ledger_app
from streamer.cli.models import models_app
from streamer.cli.stream import stream
from streamer.errors import SettingsError, VeilstreamError
from streamer.pipeline import Cancelled

app = typer.Typer(
    name="veilstream",
    help="Replace every face in a video by a synthetic person, one per track, under a stated epsilon.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(anonymize)
app.command()(doctor)
app.command()(stream)
app.add_typer(models_app, name="models")
app.add_typer(engines_app, name="engines")
app.add_typer(ledger_app, name="ledger")
app.add_typer(key_app, name="key")
app.add_typer(audit_app, name="audit")
app.add_typer(calibrate_app, name="calibrate")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"veilstream {importlib.metadata.version('veilstream')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the sub-command."""


# Typer exports a kind of it alone; it lies in click or in typer's own copy of click, by version.
_UsageError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)


def main() -> NoReturn:
    """Entry point: turns every expected error into one line on stderr and an exit code."""
    try:
        code = app(prog_name="veilstream", standalone_mode=False)
    except _UsageError as error:
        _end_with_usage(error)
    except (SettingsError, EpsilonError) as error:
        _fail(str(error), USAGE)
    except (VeilstreamError, EngineError, CalibrationError) as error:
        _fail(str(error), FAILED)
    except (KeyboardInterrupt, Cancelled, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo(INTERRUPTED_LINE, err=True)
    sys.exit(code)


def _end_with_usage(error: Any) -> NoReturn:
    if type(error).__name__ == "NoArgsIsHelpError":
        # The help, where it has not been printed yet.
        if text := error.format_message():
            typer.echo(text, err=True)
        sys.exit(USAGE)
    where = "" if error.ctx is None else f"; see {error.ctx.command_path} --help"
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    _fail(message[:1].lower() + message[1:] + where, USAGE)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"veilstream: {message}", err=True)
    sys.exit(code)
