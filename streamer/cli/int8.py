"""`veilstream calibrate int8`: quantise the models, and say what it costs and what it buys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn
from rich.table import Table

from calibration.audit.report import as_json
from engines.processor import int8_instructions
from engines.zoo.commands import write_atomically
from engines.zoo.quantised import MANIFEST, calibrated_directory
from streamer.audit.people import open_codebook
from streamer.errors import InputError, SettingsError
from streamer.int8.calibrate import Calibrated, LayerProgress, calibrate_models, check_float_model
from streamer.int8.capture import capture, footage_streams, scene_streams
from streamer.int8.subjects import SUBJECTS
from streamer.settings import make_settings

# Those that every frame waits for and that gain: the face mesh and the iris model are faster in float, SFace runs once
# a track (docs/benchmarks, INT8).
DEFAULT_MODELS = ("decoder-v1", "retinaface-mnet025")


def int8(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help=f"Model to quantise, may be given again; default: the first two. {', '.join(SUBJECTS)}.",
        ),
    ] = None,
    footage: Annotated[
        list[Path] | None,
        typer.Option(help="Your own video to calibrate on, may be given again; default: synthetic scenes."),
    ] = None,
    decoder: Annotated[Path | None, typer.Option(help="Another float face decoder (ONNX).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the models and int8.json; default: where --precision int8 looks."),
    ] = None,
) -> None:
    """Quantise models to INT8 and report accuracy and latency against float.

    Footage is only read, into memory; nothing of it is written.
    """
    names = list(dict.fromkeys(models or DEFAULT_MODELS))
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise SettingsError(
            f"model: there is no {unknown[0]!r} to quantise; there are: {', '.join(SUBJECTS)}"
        )
    # Before minutes of work: a damaged file, or a missing package, is found now.
    for name in names:
        check_float_model(name, decoder)
    missing = [path for path in footage or () if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: no such file; check the path")
    codebook = open_codebook(None)
    console = Console()
    with _progress(console) as (say, on_layer):
        say("capturing what the models are shown")
        streams = footage_streams(footage) if footage else scene_streams(codebook)
        captured = capture(streams, make_settings(decoder=decoder, engine="onnxruntime", precision="float"))
        results = list(calibrate_models(names, captured, codebook, decoder=decoder, on_layer=on_layer))
    console.print(_table(results))
    folder = calibrated_directory() if out is None else out
    _write(folder, results, footage=len(footage or ()))
    console.print(f"written to {folder}", highlight=False)


@contextmanager
def _progress(console: Console) -> Iterator[tuple[Callable[[str], None], LayerProgress]]:
    with Progress(SpinnerColumn(), "{task.description}", console=console, transient=True) as progress:
        task = progress.add_task("")

        def say(what: str) -> None:
            progress.update(task, description=what)

        yield say, lambda name, done, layers: say(f"{name}: layer {done} of {layers}")


def _table(results: Sequence[Calibrated]) -> Table:
    instructions = ", ".join(int8_instructions()) or "none"
    table = Table(title=f"INT8 against float, one thread; INT8 instructions here: {instructions}")
    table.add_column("model", no_wrap=True)
    for heading in ("layers in float", "accuracy on held-out inputs", "MB", "ms, float to INT8"):
        table.add_column(heading)
    for result in results:
        kept = result.quantised
        table.add_row(
            result.name,
            f"{len(kept.float_layers)} + {len(kept.narrow_layers)} of {kept.layer_count}",
            result.accuracy.summary,
            f"{result.float_bytes / 1e6:.1f} to {len(kept.model) / 1e6:.1f}",
            "\n".join(
                f"{item.batch}: {item.float_ms:.1f} to {item.int8_ms:.1f}" for item in result.latencies
            ),
        )
    return table


def _write(folder: Path, results: Sequence[Calibrated], *, footage: int) -> None:
    """The models first: a list that names a file must find it. Models of an earlier call stay in the list."""
    for result in results:
        write_atomically(folder / result.file, result.quantised.model)
    calibrated_on = f"{footage} files of footage" if footage else "synthetic scenes"
    lines = [{**result.as_json(), "calibrated_on": calibrated_on} for result in results]
    again = {result.name for result in results}
    lines = [line for line in _earlier(folder / MANIFEST) if line["name"] not in again] + lines
    text = json.dumps({"models": as_json(lines)}, indent=2) + "\n"
    write_atomically(folder / MANIFEST, text.encode())


def _earlier(path: Path) -> list[dict[str, Any]]:
    """What is listed already; nothing where there is no list, or a damaged one, which is replaced."""
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))["models"]
        return [line for line in lines if isinstance(line["name"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
