"""`veilstream engines`: which inference backends work here, how fast they are, and whether they agree."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engines.backends import (
    BackendName,
    available_backends,
    backend_statuses,
    choose_backend,
    open_engine,
)
from engines.backends.tensorrt import Profiles, default_plan_cache
from engines.bench import (
    BATCHES,
    PARITY_LIMIT,
    REFERENCE,
    Comparison,
    Latency,
    bench,
    compare,
    runnable_models,
)
from engines.contract import Engine
from engines.precision import Precision as ComputesIn
from engines.precision import choose_precision
from engines.zoo.opening import open_in
from engines.zoo.registry import entries, entry
from streamer.cli.exit_codes import FAILED
from streamer.cli.progress import engine_notices
from streamer.cli.tables import print_table
from streamer.settings import AnalysisSettings, Precision
from streamer.toolkit import detector_profiles

engines_app = typer.Typer(help="List, time, compare and compile inference engines.", no_args_is_help=True)

Models = Annotated[
    list[str] | None, typer.Argument(help="Registered models or ONNX files; default: all that ship.")
]
Backends = Annotated[
    list[str] | None, typer.Option("--engine", help="Backend; may be repeated. Default: all that work here.")
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each engine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@engines_app.command("list")
def list_backends(as_json: AsJson = False) -> None:
    """All backends, whether they can be used here, and if not, why; and the plans that TensorRT has compiled."""
    chosen = choose_backend("auto").name
    statuses = backend_statuses()
    plans = default_plan_cache().keys()
    if as_json:
        backends = [{**asdict(status), "auto": status.name == chosen} for status in statuses]
        _print_json({"backends": backends, "plans": plans})
        return
    usable = [
        "no" if not status.available else "yes (auto)" if status.name == chosen else "yes"
        for status in statuses
    ]
    print_table(
        ("backend", "usable", "detail"),
        [(status.name, word, status.detail) for status, word in zip(statuses, usable, strict=True)],
    )
    if plans:
        typer.echo()
        print_table(
            ("compiled plan", "precision", "pictures", "tensorrt", "GPU", "MB"), map(_plan_cells, plans)
        )


@engines_app.command("bench")
def bench_engines(
    models: Models = None,
    engine: Backends = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batch size; may be repeated. Default: 1, 4, 16.")
    ] = None,
    threads: Threads = 1,
    seconds: Annotated[float, typer.Option(min=0.0, help="For each figure.")] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Latency of each model on each backend: median and 95th percentile of one call, and processor time."""
    rows = bench(
        models or runnable_models(),
        _chosen(engine) or available_backends(),
        batch or BATCHES,
        threads=threads,
        seconds=seconds,
    )
    if as_json:
        _print_json([asdict(row) for row in rows])
        return
    head = ("model", "backend", "batch", "median ms", "p95 ms", "cpu ms")
    print_table(head, [_latency_cells(row) for row in rows])


@engines_app.command("compare")
def compare_engines(
    models: Models = None, engine: Backends = None, threads: Threads = 1, as_json: AsJson = False
) -> None:
    """Outputs and latency of the backends beside onnxruntime in float. Fails when one is off by over 1e-3."""
    others = _chosen(engine) or [name for name in available_backends() if name != REFERENCE]
    rows = list(compare(models or runnable_models(), others, threads=threads))
    if as_json:
        _print_json([{**asdict(row), "agrees": row.agrees} for row in rows])
    else:
        head = ("model", "backend", "largest difference", "median ms", f"{REFERENCE} ms", "verdict")
        print_table(head, [_comparison_cells(row) for row in rows])
    if not rows:
        typer.echo(f"nothing to compare: only {REFERENCE} can be used here", err=True)
    if not all(row.agrees for row in rows):
        raise typer.Exit(FAILED)


@engines_app.command()
def build(
    models: Models = None,
    precision: Annotated[Precision, typer.Option(help="As for anonymize; auto is fp16.")] = Precision.AUTO,
    long_side: Annotated[
        int, typer.Option(min=128, max=4096, help="As for anonymize; up to 1280 is always included.")
    ] = 640,
    tiles: Annotated[bool, typer.Option(help="As for anonymize.")] = False,
) -> None:
    """Compile all models for this GPU with TensorRT, so that no job has to wait for it."""
    choose_backend("tensorrt", require_gpu=True)
    chosen = choose_precision(precision.value, "tensorrt")
    profiles = detector_profiles(AnalysisSettings(long_side_px=long_side, tiles=tiles))
    names = models or runnable_models()
    for number, name in enumerate(names, 1):
        typer.echo(f"{number} of {len(names)}: {name}")
        with engine_notices(quiet=False), _compiled(name, chosen, profiles) as engine:
            info = engine.describe()
            typer.echo(f"  {info.precision} on {info.device}, {info.backend}")


def _compiled(model: str, precision: ComputesIn, profiles: Profiles) -> Engine:
    """An engine as a job opens it: only detectors are shown pictures of any size."""
    if model.endswith(".onnx"):
        return open_engine(Path(model), backend="tensorrt", fp16=precision == "fp16")
    if entry(model).role != "detector":
        return open_in(precision, model, backend="tensorrt")
    return open_in(precision, model, backend="tensorrt", profiles=profiles)


def _plan_cells(plan: dict[str, Any]) -> tuple[str, ...]:
    sha256 = plan["onnx_sha256"]
    name = next((item.name for item in entries().values() if item.sha256 == sha256), f"{sha256[:12]}...")
    pictures = f"up to {plan['profiles']['side_px']['most']} px"
    megabytes = f"{plan['plan_bytes'] / 1e6:.1f}"
    return (name, plan["precision"], pictures, plan["tensorrt_version"], plan["gpu_name"], megabytes)


def _latency_cells(row: Latency) -> tuple[str, ...]:
    figures = (f"{value:.2f}" for value in (row.median_ms, row.p95_ms, row.cpu_ms))
    return (row.model, row.backend, str(row.batch), *figures)


def _comparison_cells(row: Comparison) -> tuple[str, ...]:
    if row.problem:
        return (row.model, row.backend, "", "", "", row.problem)
    verdict = "agrees" if row.agrees else f"differs by over {PARITY_LIMIT:g}"
    figures = (f"{row.difference:.1e}", f"{row.median_ms:.2f}", f"{row.reference_ms:.2f}")
    return (row.model, row.backend, *figures, verdict)


def _chosen(names: Iterable[str] | None) -> list[BackendName]:
    """The backends by name, each proven to be usable, before minutes are spent on the first."""
    return [choose_backend(name).name for name in names or ()]


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=1))
