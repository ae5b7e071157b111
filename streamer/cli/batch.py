"""A batch of files of the command line: one after another, each failure its own, a report and boxes beside."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import Any

import typer

from calibration.errors import CalibrationError
from engines.errors import EngineError
from streamer.batch import Task
from streamer.cli.exit_codes import DONE, DONE_WITH_FAILURES, FAILED
from streamer.cli.progress import engine_notices, progress_display
from streamer.cli.report_file import ReportFile
from streamer.cli.signals import stop_signals
from streamer.errors import OutputError, VeilstreamError
from streamer.file_roles import FileRoles, refuse_existing
from streamer.job import JobResult, JobRunner, probe_duration_seconds
from streamer.pipeline import Cancelled
from streamer.redact import without_folders
from streamer.report import is_mot_text, try_place, write_text
from streamer.resume import NotedHashes
from streamer.settings import AnonymizeSettings

_EXPECTED = (VeilstreamError, EngineError, CalibrationError)


class Batch:
    """Runs the tasks one after another; one that fails leaves the others alone."""

    def __init__(
        self,
        settings: AnonymizeSettings,
        tasks: list[Task],
        report: Path | None,
        boxes: Path | None,
        *,
        overwrite: bool,
        resume: bool,
        quiet: bool,
    ) -> None:
        self._settings = settings
        self._tasks = tasks
        self._report = report
        self._boxes = boxes
        self._overwrite = overwrite
        self._resume = resume
        self._quiet = quiet
        self._cancel = threading.Event()
        self._report_file = None if report is None else ReportFile(report)
        self._entries: list[dict[str, Any]] = []

    def check_files(self) -> None:
        """Before any work: what will be written is nothing that is read, and can be written.

        Raises:
            SettingsError: one file in two roles.
            OutputError: a report or boxes that exist, or that cannot be written there.
        """
        roles = FileRoles()
        for task in self._tasks:
            roles.read("an input", task.input_path)
        for role, path in self._settings.files():
            roles.read(role, path)
        for task in self._tasks:
            if task.problem is None:
                roles.write("output", task.output_path)
        beside = [("report", self._report), *(("boxes", self._boxes_path(task)) for task in self._tasks)]
        for role, path in beside:
            roles.write(role, path)
        for role, path in beside:
            if path is not None:
                refuse_existing(role, path, overwrite=self._overwrite or self._resume)
        if self._resume:
            self._check_resumed([path for role, path in beside if role == "boxes" and path is not None])
        for place in dict.fromkeys(path.parent for _, path in beside if path is not None):
            try_place(place)

    def _check_resumed(self, boxes: list[Path]) -> None:
        """What is there must be of an earlier run: that is gone on with, not other files written over."""
        if self._report_file is not None:
            self._report_file.load()
        for path in boxes:
            if not is_mot_text(path):
                raise OutputError(f"boxes {path} exists and holds no boxes; choose another place")

    def run(self) -> int:
        if not self._tasks:
            typer.echo("veilstream: no video or image in the input; nothing to do", err=True)
            return FAILED
        code = DONE
        with stop_signals(self._cancel), self._opened() as runner:
            if not self._quiet:
                typer.echo(f"engines: {runner.engine_line}", err=True)
            for warning in runner.warnings:
                typer.echo(f"veilstream: {warning}", err=True)
            problem = None
            for task in self._tasks:
                code = _worse(code, self._run_one(runner, task))
                problem = self._write_report(runner)
        # Each report holds those before it, so the last one alone counts.
        if problem is not None:
            typer.echo(f"veilstream: no report: {problem}", err=True)
            code = FAILED
        return code

    def _opened(self) -> JobRunner:
        with engine_notices(quiet=self._quiet):
            return JobRunner(self._settings)

    def _run_one(self, runner: JobRunner, task: Task) -> int:
        try:
            if task.problem is not None:
                raise VeilstreamError(task.problem)
            if task.makes_folder:
                _make_folder(task.output_path.parent)
            duration_seconds = (
                None if task.is_image or self._quiet else probe_duration_seconds(task.input_path)
            )
            with progress_display(task.input_path.name, duration_seconds, quiet=self._quiet) as on_progress:
                result = runner.run(
                    task.input_path,
                    task.output_path,
                    overwrite=self._overwrite,
                    resume=self._resume,
                    noted=self._noted(task),
                    on_progress=on_progress,
                    cancel=self._cancel,
                )
            self._write_boxes(task, result)
        except Cancelled:
            raise
        except Exception as error:  # of one file: the others go on
            return self._note_failure(task, _told(error, task))
        self._entries.append({**result.as_json(), "input": task.input_name, "output": task.output_name})
        typer.echo(result.summary())
        for notice in result.notices:
            typer.echo(f"veilstream: {task.input_path}: {notice}", err=True)
        return DONE_WITH_FAILURES if result.is_flawed else DONE

    def _note_failure(self, task: Task, message: str) -> int:
        typer.echo(f"veilstream: {message}", err=True)
        reason = without_folders(message, task.input_path, task.output_path)
        self._entries.append({"input": task.input_name, "status": "failed", "error": reason})
        return FAILED

    def _noted(self, task: Task) -> NotedHashes | None:
        if self._report_file is None:
            return None
        return self._report_file.noted(task.input_name, task.output_name)

    def _write_boxes(self, task: Task, result: JobResult) -> None:
        path = self._boxes_path(task)
        if path is not None and not result.skipped:
            write_text(path, "".join(f"{line}\n" for line in result.mot_lines))

    def _boxes_path(self, task: Task) -> Path | None:
        """A file for one input, else one for each in the same tree as the outputs."""
        if self._boxes is None or task.problem is not None:
            return None
        if len(self._tasks) == 1 and not self._boxes.is_dir():
            return self._boxes
        return self._boxes / f"{task.output_name}.txt"

    def _write_report(self, runner: JobRunner) -> str | None:
        """The report so far; gives the reason where it cannot be written."""
        try:
            if self._report_file is not None:
                self._report_file.write(runner.describe(), self._entries)
        except _EXPECTED as error:
            return str(error)
        return None


def _told(error: Exception, task: Task) -> str:
    """What is said of an error. The text of one that nobody expected may carry numbers of the picture: only where it
    happened is told."""
    if isinstance(error, _EXPECTED):
        return str(error)
    (*_, place) = traceback.extract_tb(error.__traceback__)
    where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
    return f"{task.input_path}: failed by a fault of veilstream ({where}); please report it"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another output") from None


def _worse(first: int, second: int) -> int:
    order = (DONE, DONE_WITH_FAILURES, FAILED)
    return max(first, second, key=order.index)
