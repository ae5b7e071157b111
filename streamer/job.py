"""One file, or a batch of files, from input to committed output."""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from calibration.assign import Assignment
from streamer.analysis import Analyzer, AnalyzerSettings, DetectionCadence, frames_for
from streamer.errors import InputError, OutputError, VeilstreamError
from streamer.file_roles import FileRoles
from streamer.identity import IdentityKeeper
from streamer.pipeline import Pipeline, ProgressCallback, StageSeconds
from streamer.planes import analysis_picture
from streamer.redact import without_folders
from streamer.render.compositor import Compositor
from streamer.report import REPORT_FORMAT, JobRecorder, input_sha256, sha256_of_file
from streamer.resume import NotedHashes, why_not_done
from streamer.settings import AnonymizeSettings, DecoderTier, Mode
from streamer.sink import open_sink
from streamer.source import VideoSource, open_source
from streamer.toolkit import Toolkit

DEFAULT_FRAMES_PER_SECOND = 25.0
# Reasons for a face without a person that nobody chose.
_FAILED_DRAWS = {"ledger_failed", "codebook_damaged"}


@dataclass(slots=True)
class JobResult:
    """What became of one file.

    Attributes:
        skipped: the output was already complete (`resume`), nothing was done.
        masked_frames: frames masked whole because something failed.
        mot_lines: boxes in the MOTChallenge text format.
        tracks: one entry per track, without biometric data.
        epsilon_total: what was spent; None where faces were hidden under a key, which no epsilon covers.
    """

    input_path: Path
    output_path: Path
    skipped: bool = False
    seconds: float = 0.0
    coverage: dict[str, Any] = field(default_factory=dict)
    tracks: list[dict[str, Any]] = field(default_factory=list)
    epsilon_total: float | None = 0.0
    stage_seconds: StageSeconds = field(default_factory=StageSeconds)
    notices: list[str] = field(default_factory=list)
    input_sha256: str = ""
    output_sha256: str = ""
    mot_lines: list[str] = field(default_factory=list)

    @property
    def masked_frames(self) -> int:
        return sum(self.coverage.get("frames_masked_whole", {}).values())

    @property
    def is_flawed(self) -> bool:
        """True where something failed that cost the picture more than it had to: all is covered nevertheless."""
        failed = self.coverage.get("faces_fallback", {}).keys() & _FAILED_DRAWS
        return bool(self.masked_frames or failed)

    def as_json(self) -> dict[str, Any]:
        """Entry of the report. Paths are file names only: folders may name people."""
        if self.skipped:
            return {"input": self.input_path.name, "output": self.output_path.name, "status": "skipped"}
        return {
            "input": self.input_path.name,
            "output": self.output_path.name,
            "status": "done_with_masked_frames" if self.masked_frames else "done",
            "input_sha256": self.input_sha256,
            "output_sha256": self.output_sha256,
            "seconds": round(self.seconds, 3),
            "stage_seconds": {name: round(value, 3) for name, value in asdict(self.stage_seconds).items()},
            "coverage": self.coverage,
            "epsilon_total": self.epsilon_total,
            "notices": self.notices,
            "tracks": self.tracks,
        }

    def summary(self) -> str:
        """One line for a person."""
        if self.skipped:
            return f"{self.output_path}: already complete, skipped"
        coverage = self.coverage
        rate = coverage["frames"] / max(self.seconds, 1e-6)
        parts = [
            f"{coverage['frames']} frames at {rate:.1f}/s",
            f"{coverage['tracks']} tracks",
            f"{coverage['faces']} faces ({', '.join(self._faces_by_covering())})",
            "hidden under a key, no epsilon"
            if self.epsilon_total is None
            else f"epsilon {self.epsilon_total:g} in sum",
        ]
        if self.masked_frames:
            parts.append(f"{self.masked_frames} frames masked whole")
        return f"{self.output_path}: " + ", ".join(parts)

    def _faces_by_covering(self) -> list[str]:
        """How many are synthetic, and how many got the fallback for which reason other than that it was asked for."""
        reasons = self.coverage["faces_fallback"].items()
        told = [f"{count} {reason.replace('_', ' ')}" for reason, count in reasons if reason != "asked"]
        return [f"{self.coverage['faces_synthetic']} synthetic", *told]


class JobRunner:
    """Runs jobs that share engines, codebook and ledger. A context manager."""

    def __init__(self, settings: AnonymizeSettings) -> None:
        self._settings = settings
        self._toolkit = Toolkit(settings)

    def __enter__(self) -> JobRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._toolkit.close()

    @property
    def warnings(self) -> list[str]:
        """What the user should know before the work begins."""
        return self._toolkit.warnings

    @property
    def engine_line(self) -> str:
        """What the models run on and compute in, for people."""
        return self._toolkit.engine_line()

    def describe(self) -> dict[str, Any]:
        """Head of the report: tool, settings, models, privacy."""
        return {
            "format": REPORT_FORMAT,
            "tool": f"veilstream {importlib.metadata.version('veilstream')}",
            "settings": self._settings.model_dump(
                mode="json",
                exclude={
                    "privacy": self._unreported(),
                    "decoder": not isinstance(self._settings.decoder, DecoderTier),
                    "teacher": True,
                },
            ),
            **self._toolkit.describe(),
        }

    def _unreported(self) -> set[str]:
        """Privacy settings that stay out of the report: paths, and what says nothing here."""
        return {"key_file", "ledger", "codebook"} | self._settings.privacy.unused_options()

    def run(
        self,
        input_path: Path,
        output_path: Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        noted: NotedHashes | None = None,
        on_progress: ProgressCallback | None = None,
        cancel: threading.Event | None = None,
    ) -> JobResult:
        """Anonymize one file. The output appears complete or not at all.

        Args:
            resume: an output that is complete is kept, and nothing is done.
            noted: hashes of an earlier report, to tell whether it is; None compares what can be compared.

        Raises:
            InputError, OutputError: one clear line; nothing is left at the output path.
            SettingsError: the output is the ledger or another file of the settings.
            Cancelled: `cancel` was set.
        """
        if resume and output_path.exists():
            if reason := _why_not_done(input_path, output_path, noted):
                raise OutputError(f"{output_path} exists but {reason}; remove it or use --overwrite")
            return JobResult(input_path, output_path, skipped=True)
        _check_paths(input_path, output_path, overwrite=overwrite)
        roles = FileRoles()
        for role, path in self._settings.files():
            roles.read(role, path)
        roles.write("output", output_path)
        start = time.perf_counter()
        result = JobResult(input_path, output_path, input_sha256=input_sha256(input_path))
        try:
            with open_source(input_path, hardware=self._settings.hardware_decoding) as source:
                self._process(source, result, overwrite, on_progress, cancel or threading.Event())
        except MemoryError:
            raise InputError(
                f"{input_path}: a frame does not fit into memory; scale the video down first"
            ) from None
        result.output_sha256 = sha256_of_file(output_path)
        result.seconds = time.perf_counter() - start
        return result

    def _process(
        self,
        source: VideoSource,
        result: JobResult,
        overwrite: bool,
        on_progress: ProgressCallback | None,
        cancel: threading.Event,
    ) -> None:
        rate = float(source.stream_info.frame_rate or DEFAULT_FRAMES_PER_SECOND)
        depth = frames_for(self._settings.analysis.look_ahead_seconds, rate)
        self._toolkit.begin_stream()
        rendering = self._toolkit.new_renderer(f"sha256:{result.input_sha256[:16]}", depth)
        renderer, keeper = rendering if rendering is not None else (None, None)
        recorder = JobRecorder()
        denied_before = self._toolkit.denied_detections
        with open_sink(
            result.output_path,
            source.stream_info,
            copy_from=result.input_path,
            encode=self._settings.encode,
            overwrite=overwrite,
        ) as sink:
            pipeline = Pipeline(
                frames=source,
                analyzer=file_analyzer(self._toolkit, rate),
                compositor=Compositor(renderer, self._settings.replace_with),
                sink=sink,
                recorder=recorder,
                observe=keeper.observe if keeper is not None else None,
                on_progress=on_progress,
                cancel=cancel,
            )
            pipeline.run()
            sink.finish()
            if source.masked:
                recorder.masked_frames["damaged"] += source.masked
            result.notices = [*source.notices, *sink.notices]
        if denied := self._toolkit.denied_detections - denied_before:
            result.notices.append(
                f"{denied} detections were not covered: three other looks saw no face there "
                "(--cover-doubtful covers them)"
            )
        result.stage_seconds = pipeline.seconds
        result.coverage = recorder.coverage()
        if keeper is not None:
            result.notices += self._refusals(keeper, recorder)
        result.mot_lines = recorder.mot_lines()
        _account(result, recorder, keeper)
        if keeper is not None and self._settings.privacy.mode is Mode.HIDE:
            result.epsilon_total = None

    def _refusals(self, keeper: IdentityKeeper, recorder: JobRecorder) -> list[str]:
        """One notice for each reason that kept tracks without a person. Folders stay out: notices are reported."""
        ledger = self._settings.privacy.ledger
        notices = []
        for reason, problem in sorted(keeper.problems.items()):
            tracks = sum(reason in track.fallback_frames for track in recorder.tracks.values())
            told = problem if ledger is None else without_folders(problem, ledger)
            notices.append(f"tracks covered plainly for want of a person: {tracks} ({told})")
        return notices


def file_analyzer(toolkit: Toolkit, frames_per_second: float) -> Analyzer:
    """The analysis stage as files get it; one per file, since it follows faces."""
    settings, long_side_px = toolkit.settings.analysis, toolkit.picture_side_px
    return Analyzer(
        toolkit.detect,
        lambda frame: analysis_picture(frame.video, frame.geometry, long_side_px),
        AnalyzerSettings(
            score_threshold=settings.score_threshold,
            continue_threshold=settings.continue_threshold,
            depth_frames=frames_for(settings.look_ahead_seconds, frames_per_second),
            hold_frames=frames_for(settings.hold_seconds, frames_per_second),
        ),
        cadence=DetectionCadence(settings.detect_every),
    )


def anonymize_file(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    settings: AnonymizeSettings | None = None,
    overwrite: bool = False,
    on_progress: ProgressCallback | None = None,
    cancel: threading.Event | None = None,
) -> JobResult:
    """Replace every face of a video or image file.

    Args:
        settings: see `AnonymizeSettings`; the defaults draw a synthetic person per track under epsilon 1.
        overwrite: replace an output that exists.
        on_progress: called after each frame.
        cancel: set it from another thread to stop; Cancelled is then raised and nothing is left behind.

    Raises:
        InputError, OutputError, SettingsError: one clear line each.
        EngineError, CalibrationError: a model, key or ledger that cannot be opened.
    """
    with JobRunner(settings or AnonymizeSettings()) as runner:
        return runner.run(
            Path(input_path), Path(output_path), overwrite=overwrite, on_progress=on_progress, cancel=cancel
        )


def probe_duration_seconds(path: Path) -> float | None:
    """Duration for a progress display; None when it is unknown or the file cannot be read."""
    try:
        with open_source(path) as source:
            return source.stream_info.duration_seconds
    except VeilstreamError:
        return None


def _why_not_done(input_path: Path, output_path: Path, noted: NotedHashes | None) -> str | None:
    try:
        return why_not_done(input_path, output_path, noted)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _check_paths(input_path: Path, output_path: Path, *, overwrite: bool) -> None:
    if not input_path.exists():
        raise InputError(f"{input_path}: no such file; check the path")
    if input_path.is_dir():
        raise InputError(f"{input_path} is a folder; give it as input of a batch, or a file in it")
    if output_path.exists():
        if output_path.samefile(input_path):
            raise OutputError(f"{output_path} is the input itself; choose another output")
        if not overwrite:
            raise OutputError(f"{output_path} exists; use --overwrite to replace it, or --resume to keep it")


def _account(result: JobResult, recorder: JobRecorder, keeper: IdentityKeeper | None) -> None:
    """Epsilon per track and in sum. A replayed draw was charged when it was first made."""
    assignments: dict[int, Assignment] = {} if keeper is None else keeper.assignments
    result.tracks = [
        track.as_json(assignments.get(track_id)) for track_id, track in sorted(recorder.tracks.items())
    ]
    result.epsilon_total = float(
        sum(a.epsilon for a in assignments.values() if a.epsilon is not None and not a.replayed)
    )
