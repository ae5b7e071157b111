"""`veilstream anonymize`: files, folders and patterns in; the same with synthetic people out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamer.batch import plan_tasks
from streamer.cli.batch import Batch
from streamer.cli.option_names import settings_of_options
from streamer.cli.places import ready_ledger_path
from streamer.errors import SettingsError
from streamer.settings import (
    DecoderTier,
    DetectorName,
    HardwareDecoding,
    HardwareEncoding,
    MechanismName,
    Mode,
    Precision,
    ReplaceWith,
)


def anonymize(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Video or image files, patterns, or folders.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Output file; a folder when there are several inputs, or when it ends with a slash.",
        ),
    ],
    mode: Annotated[
        Mode,
        typer.Option(
            help="anonymize: drawn under epsilon. hide: bound to the real identity by --key-file, no epsilon.",
            rich_help_panel="Privacy",
        ),
    ] = Mode.ANONYMIZE,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Privacy parameter of the identity drawn for each track.",
            show_default="1.0",
            rich_help_panel="Privacy",
        ),
    ] = None,
    mechanism: Annotated[
        MechanismName | None,
        typer.Option(
            help="How a track's synthetic person is drawn.",
            show_default="codebook",
            rich_help_panel="Privacy",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(help="Of the mechanism gaussian.", show_default="1e-6", rich_help_panel="Privacy"),
    ] = None,
    allow_large_epsilon: Annotated[
        bool,
        typer.Option(
            help="Accept an epsilon above 8, which protects next to nothing.", rich_help_panel="Privacy"
        ),
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Key that makes the draws replayable, or hides.", rich_help_panel="Privacy"),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Ledger file that takes one line per draw.", rich_help_panel="Privacy")
    ] = None,
    scope: Annotated[
        str, typer.Option(help="Name under which epsilon is summed.", rich_help_panel="Privacy")
    ] = "default",
    budget: Annotated[
        float | None, typer.Option(help="Largest sum of epsilon in the scope.", rich_help_panel="Privacy")
    ] = None,
    delta_budget: Annotated[
        float | None, typer.Option(help="Largest sum of delta in the scope.", rich_help_panel="Privacy")
    ] = None,
    codebook: Annotated[
        Path | None, typer.Option(help="Another codebook of synthetic people.", rich_help_panel="Privacy")
    ] = None,
    replace_with: Annotated[
        ReplaceWith, typer.Option(help="What stands in the place of a face.", rich_help_panel="Picture")
    ] = ReplaceWith.SYNTHETIC,
    detector: Annotated[
        DetectorName, typer.Option(help="Face detector.", rich_help_panel="Detection")
    ] = DetectorName.RETINAFACE,
    score_threshold: Annotated[
        float, typer.Option(help="Detections at least this sure are covered.", rich_help_panel="Detection")
    ] = 0.5,
    cover_doubtful: Annotated[
        bool,
        typer.Option(
            help="Cover also what the detector alone takes for a face, such as a pattern on a shirt.",
            rich_help_panel="Detection",
        ),
    ] = False,
    long_side: Annotated[
        int,
        typer.Option(help="Long side of the picture shown to the detector, px.", rich_help_panel="Detection"),
    ] = 640,
    tiles: Annotated[
        bool,
        typer.Option(
            help="Also look at overlapping tiles, for small faces (slower).", rich_help_panel="Detection"
        ),
    ] = False,
    detect_every: Annotated[
        int, typer.Option(help="Run the detector on every n-th frame.", rich_help_panel="Detection")
    ] = 1,
    codec: Annotated[
        str | None, typer.Option(help="Video encoder; default: the input's codec.", rich_help_panel="Picture")
    ] = None,
    hwenc: Annotated[
        HardwareEncoding,
        typer.Option(help="Encode in hardware, after a trial; else in software.", rich_help_panel="Picture"),
    ] = HardwareEncoding.NONE,
    hwdec: Annotated[
        HardwareDecoding,
        typer.Option(
            help="Decode in hardware where that works; else in software.", rich_help_panel="Picture"
        ),
    ] = HardwareDecoding.NONE,
    crf: Annotated[float | None, typer.Option(help="Constant quality.", rich_help_panel="Picture")] = None,
    preset: Annotated[str | None, typer.Option(help="Encoder preset.", rich_help_panel="Picture")] = None,
    decoder: Annotated[
        str,
        typer.Option(
            help="realtime; quality: large faces from pictures of 512 px, rendered by a fetched generator of "
            "non-commercial lineage; or another face decoder (ONNX).",
            rich_help_panel="Engines",
        ),
    ] = DecoderTier.REALTIME.value,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the generator's files for --decoder quality.",
            show_default="the fetched ones",
            rich_help_panel="Engines",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="auto (the fastest here), tensorrt, onnxruntime, openvino or torch.",
            rich_help_panel="Engines",
        ),
    ] = "auto",
    require_gpu: Annotated[
        bool, typer.Option(help="Fail rather than compute on the CPU.", rich_help_panel="Engines")
    ] = False,
    precision: Annotated[
        Precision,
        typer.Option(
            help="auto is fp16 on TensorRT, int8 on CPUs with VNNI where a model has such a version, else float.",
            rich_help_panel="Engines",
        ),
    ] = Precision.AUTO,
    threads: Annotated[
        int, typer.Option(help="Threads of each engine; 0: one per usable CPU.", rich_help_panel="Engines")
    ] = 1,
    report: Annotated[Path | None, typer.Option(help="Write a JSON report here.")] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Write boxes as MOT text: a file, or a folder for several inputs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace outputs that exist.")] = False,
    resume: Annotated[bool, typer.Option(help="Skip inputs whose output is already complete.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Replace every face in INPUT by a synthetic person who stays the same through a track."""
    if overwrite and resume:
        raise SettingsError("--overwrite and --resume contradict each other; give one of them")
    settings = settings_of_options(
        replace_with=replace_with,
        privacy={
            "mode": mode,
            **_given(
                mechanism=mechanism, epsilon=epsilon, delta=delta, budget=budget, delta_budget=delta_budget
            ),
            "allow_large_epsilon": allow_large_epsilon,
            "key_file": key_file,
            "ledger": ledger or ready_ledger_path(),
            "scope": scope,
            "codebook": codebook,
        },
        analysis={
            "detector": detector,
            "score_threshold": score_threshold,
            "continue_threshold": min(0.25, score_threshold),
            "long_side_px": long_side,
            "cover_doubtful": cover_doubtful,
            "tiles": tiles,
            "detect_every": detect_every,
        },
        encode={"codec": codec, "crf": crf, "preset": preset, "hardware": hwenc},
        hardware_decoding=hwdec,
        decoder=decoder,
        teacher=teacher,
        engine=engine,
        require_gpu=require_gpu,
        precision=precision,
        threads=threads,
    )
    tasks = plan_tasks(inputs, output)
    batch = Batch(settings, tasks, report, boxes, overwrite=overwrite, resume=resume, quiet=quiet)
    batch.check_files()
    raise typer.Exit(batch.run())


def _given(**values: object) -> dict[str, object]:
    """The options that were given; for the others the settings have defaults."""
    return {name: value for name, value in values.items() if value is not None}
