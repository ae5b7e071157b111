"""`veilstream stream`: cameras in, anonymized streams out, until it is told to stop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from streamer.cli.exit_codes import DONE, FAILED
from streamer.cli.places import ready_ledger_path
from streamer.cli.signals import stop_signals
from streamer.errors import SettingsError
from streamer.live.config import load_config, parse_config
from streamer.live.gateway import Gateway
from streamer.live.jsonlog import configure_logging
from streamer.live.memory import share_arenas
from streamer.live.settings import GatewaySettings, HlsOutput, Transport
from streamer.live.states import CameraState
from streamer.live.urls import PUSH_SCHEMES
from streamer.live.web import start_web
from streamer.settings import MechanismName, Precision, ReplaceWith

_LOOK_SECONDS = 0.5


def stream(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(metavar="IN", help="Camera URL (rtsp, http, srt ...), /dev/video device or file."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="OUT", help="URL to push to (rtsp, rtmp, srt), FOLDER/index.m3u8, or a folder."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with any number of cameras, instead of IN and OUT.")
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Privacy parameter of the identity drawn for each track.",
            show_default="1.0",
            rich_help_panel="Privacy",
        ),
    ] = None,
    mechanism: Annotated[
        MechanismName,
        typer.Option(help="How a track's synthetic person is drawn.", rich_help_panel="Privacy"),
    ] = MechanismName.CODEBOOK,
    ledger: Annotated[
        Path | None, typer.Option(help="Ledger file that takes one line per draw.", rich_help_panel="Privacy")
    ] = None,
    scope: Annotated[
        str, typer.Option(help="Name under which epsilon is summed.", rich_help_panel="Privacy")
    ] = "camera",
    budget: Annotated[
        float | None, typer.Option(help="Largest sum of epsilon in the scope.", rich_help_panel="Privacy")
    ] = None,
    replace_with: Annotated[
        ReplaceWith, typer.Option(help="What stands in the place of a face.", rich_help_panel="Picture")
    ] = ReplaceWith.SYNTHETIC,
    look_ahead: Annotated[
        float,
        typer.Option(
            help="Seconds that pictures are held back. With 0 no face is covered from before it was found.",
            rich_help_panel="Detection",
        ),
    ] = 0.5,
    transport: Annotated[
        Transport, typer.Option(help="How RTSP comes and goes.", rich_help_panel="Network")
    ] = Transport.TCP,
    engine: Annotated[
        str, typer.Option(help="Inference backend, as for anonymize.", rich_help_panel="Engines")
    ] = "auto",
    precision: Annotated[
        Precision,
        typer.Option(help="What models compute in, as for anonymize.", rich_help_panel="Engines"),
    ] = Precision.AUTO,
    threads: Annotated[int, typer.Option(help="Threads of each engine.", rich_help_panel="Engines")] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            help="Serve page, metrics and health checks on this port of 127.0.0.1.", rich_help_panel="Network"
        ),
    ] = None,
) -> None:
    """Anonymize live video: IN to OUT, or all cameras of a --config file."""
    if config is not None:
        if source is not None or target is not None:
            raise SettingsError("--config and IN OUT contradict each other; give one of them")
        if beside := _given_options(context) - {"--config"}:
            raise SettingsError(
                f"--config holds all settings: write {', '.join(sorted(beside))} into {config} instead"
            )
        settings = load_config(config)
    elif source is None or target is None:
        raise SettingsError("give IN and OUT, or --config FILE")
    else:
        privacy: dict[str, Any] = {
            "mechanism": mechanism,
            "scope": scope,
            "budget": budget,
        }
        if epsilon is not None:
            privacy["epsilon"] = epsilon
        camera: dict[str, Any] = {
            "name": "camera",
            "input": source,
            "outputs": _outputs(target, transport, with_preview=port is not None),
            "transport": transport,
            "look_ahead_seconds": look_ahead,
            "privacy": privacy,
            "replace_with": replace_with,
        }
        content: dict[str, Any] = {
            "cameras": [camera],
            "ledger": ledger,
            "engine": engine,
            "precision": precision,
            "threads": threads,
            "web": None if port is None else {"port": port},
        }
        # Nothing is taken from the environment: the shell has done that.
        settings = parse_config(_quoted(content), where="stream")
    raise typer.Exit(_run(settings))


def _given_options(context: typer.Context) -> set[str]:
    """Options that were typed, defaults left out."""
    given = set()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given.add(parameter.opts[0])
    return given


def _outputs(target: str, transport: Transport, *, with_preview: bool) -> list[dict[str, Any]]:
    """What OUT means."""
    outputs: list[dict[str, Any]] = [{"kind": "preview"}] if with_preview else []
    scheme = target.partition("://")[0].lower() if "://" in target else ""
    path = Path(target)
    if scheme in PUSH_SCHEMES:
        outputs.append({"kind": "push", "url": target, "transport": transport})
    elif scheme:
        raise SettingsError(f"OUT: cannot push to {scheme}://; give one of {', '.join(PUSH_SCHEMES)}")
    elif path.name == "index.m3u8":
        outputs.append({"kind": "hls", "folder": path.parent})
    elif path.suffix:
        raise SettingsError(f"OUT: {target} is neither a URL, FOLDER/index.m3u8, nor a folder for recordings")
    else:
        outputs.append({"kind": "segments", "folder": path})
    return outputs


def _quoted(value: Any) -> Any:
    """The same values, their dollar signs safe from being taken for variables."""
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return value.replace("$", "$$") if type(value) is str else value


def _refuse_folders_of_inputs(settings: GatewaySettings) -> None:
    """An HLS output goes on with the playlist it finds, and deletes segments: those of an input, were it there."""
    inputs = [camera.input.reveal() for camera in settings.cameras if camera.input.scheme == "file"]
    folders = {Path(given.removeprefix("file://")).resolve().parent for given in inputs}
    for camera in settings.cameras:
        for output in camera.outputs:
            if isinstance(output, HlsOutput) and output.folder.resolve() in folders:
                raise SettingsError(
                    f"{camera.name}: HLS into {output.folder}, where an input lies, could delete it; choose another one"
                )


def _run(settings: GatewaySettings) -> int:
    """Run until told to stop, or until every input has ended."""
    _refuse_folders_of_inputs(settings)
    if settings.ledger is None:
        settings = settings.model_copy(update={"ledger": ready_ledger_path()})
    configure_logging(settings.log_format, settings.secrets())
    share_arenas()
    stop = threading.Event()
    with stop_signals(stop):
        gateway = Gateway(settings)
        for warning in gateway.warnings:
            typer.echo(f"veilstream: {warning}", err=True)
        web = None
        try:
            if settings.web is not None:
                web = start_web(gateway, settings.web)
            gateway.start()
            while gateway.healthy and not gateway.is_over and not stop.wait(_LOOK_SECONDS):
                pass
            whole = gateway.healthy
        finally:
            gateway.stop()
            if web is not None:
                web.stop()
    if not whole:
        # Nothing here can put it right: whoever supervises the process starts it anew.
        typer.echo("veilstream: a thread of the gateway died; the log says which one", err=True)
        return FAILED
    failed = any(item.state is CameraState.FAILED for item in gateway.snapshots())
    return FAILED if failed and not stop.is_set() else DONE
