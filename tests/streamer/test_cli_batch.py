"""One file that fails leaves the others of a batch alone, whatever failed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from calibration.errors import LedgerError
from engines.errors import EngineError
from streamer.batch import Task, plan_tasks
from streamer.cli.batch import Batch
from streamer.cli.exit_codes import DONE, DONE_WITH_FAILURES, FAILED
from streamer.errors import InputError
from streamer.job import JobResult
from streamer.pipeline import Cancelled
from streamer.report import JobRecorder
from streamer.settings import make_settings


class _Runner:
    def __init__(self, error: Exception) -> None:
        self.error = error
        self.warnings: list[str] = []
        self.described = 0
        self.ledger_is_free_from = 0

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise self.error

    def describe(self) -> dict[str, Any]:
        self.described += 1
        if self.described < self.ledger_is_free_from:
            raise LedgerError("the ledger is locked by another process")
        return {}


@pytest.mark.parametrize("kind", [InputError, EngineError, LedgerError])
def test_an_error_of_one_file_is_an_entry_of_the_report(
    kind: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Task(tmp_path / "anna" / "a.mp4", tmp_path / "out.mp4")
    batch = Batch(make_settings(), [task], None, None, overwrite=False, resume=False, quiet=True)
    assert batch._run_one(_Runner(kind(f"{task.input_path}: broken")), task) == FAILED  # type: ignore[arg-type]
    assert batch._entries == [{"input": "a.mp4", "status": "failed", "error": "a.mp4: broken"}]
    assert capsys.readouterr().err == f"veilstream: {task.input_path}: broken\n"


def test_a_fault_nobody_expected_ends_its_file_alone_and_tells_no_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Task(tmp_path / "a.mp4", tmp_path / "out.mp4")
    batch = Batch(make_settings(), [task], None, None, overwrite=False, resume=False, quiet=True)
    assert batch._run_one(_Runner(KeyError(0.123)), task) == FAILED  # type: ignore[arg-type]
    (entry,) = batch._entries
    assert entry["error"].startswith("a.mp4: failed by a fault of veilstream (KeyError at test_cli_batch.py:")
    assert "0.123" not in capsys.readouterr().err


def test_who_stops_the_batch_stops_all_of_it(tmp_path: Path) -> None:
    task = Task(tmp_path / "a.mp4", tmp_path / "out.mp4")
    batch = Batch(make_settings(), [task], None, None, overwrite=False, resume=False, quiet=True)
    with pytest.raises(Cancelled):
        batch._run_one(_Runner(Cancelled()), task)  # type: ignore[arg-type]


@pytest.mark.parametrize(("free_from", "lines"), [(2, 0), (3, 1)])
def test_only_the_last_report_must_be_written(
    free_from: int,
    lines: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tasks = [Task(tmp_path / f"{name}.mp4", tmp_path / f"{name}-out.mp4") for name in "ab"]
    report = tmp_path / "report.json"
    batch = Batch(make_settings(), tasks, report, None, overwrite=False, resume=False, quiet=True)
    runner = _Runner(InputError("broken"))
    runner.ledger_is_free_from = free_from
    monkeypatch.setattr(batch, "_opened", lambda: runner)
    assert batch.run() == FAILED
    assert capsys.readouterr().err.count("no report: the ledger is locked") == lines
    assert report.exists() == (lines == 0)
    assert [entry["input"] for entry in batch._entries] == ["a.mp4", "b.mp4"]


def _outcome(task: Task, **properties: Any) -> Any:
    """A runner for which every job ends like this."""
    result = JobResult(task.input_path, task.output_path, coverage=JobRecorder().coverage(), **properties)
    return SimpleNamespace(run=lambda *_, **__: result), result


@pytest.mark.parametrize("quiet", [True, False])
def test_notices_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    task = Task(tmp_path / "a.mp4", tmp_path / "out.mp4")
    batch = Batch(make_settings(), [task], None, None, overwrite=False, resume=False, quiet=quiet)
    runner, result = _outcome(task, notices=["it was cut off", "the sound is left out"])
    assert batch._run_one(runner, task) == DONE
    printed = capsys.readouterr()
    assert printed.out == f"{result.summary()}\n"
    for notice in result.notices:
        assert f"veilstream: {task.input_path}: {notice}\n" in printed.err


@pytest.mark.parametrize(
    ("reason", "code"),
    [("ledger_failed", DONE_WITH_FAILURES), ("codebook_damaged", DONE_WITH_FAILURES), ("budget_spent", DONE)],
)
def test_a_draw_that_failed_is_no_plain_success(tmp_path: Path, reason: str, code: int) -> None:
    task = Task(tmp_path / "a.mp4", tmp_path / "out.mp4")
    batch = Batch(make_settings(), [task], None, None, overwrite=False, resume=False, quiet=True)
    runner, result = _outcome(task)
    result.coverage["faces_fallback"] = {"too_small": 2, reason: 3}
    assert batch._run_one(runner, task) == code
    assert f"(0 synthetic, 2 too small, 3 {reason.replace('_', ' ')})" in result.summary()


def test_two_files_of_one_name_have_boxes_and_entries_of_their_own(tmp_path: Path) -> None:
    for name in ("c1", "c2"):
        (tmp_path / "cams" / name).mkdir(parents=True)
        (tmp_path / "cams" / name / "clip.mp4").touch()
    tasks = plan_tasks([str(tmp_path / "cams")], tmp_path / "out")
    batch = Batch(make_settings(), tasks, None, tmp_path / "boxes", overwrite=False, resume=False, quiet=True)
    batch.check_files()
    for task in tasks:
        result = JobResult(task.input_path, task.output_path, coverage=JobRecorder().coverage())
        result.mot_lines = [task.input_name]
        runner = SimpleNamespace(run=lambda *_, result=result, **__: result)
        assert batch._run_one(runner, task) == DONE  # type: ignore[arg-type]
    for name in ("c1/clip.mp4", "c2/clip.mp4"):
        assert (tmp_path / "boxes" / f"{name}.txt").read_text() == f"{name}\n"
    assert [entry["input"] for entry in batch._entries] == ["c1/clip.mp4", "c2/clip.mp4"]
    assert [entry["output"] for entry in batch._entries] == ["c1/clip.mp4", "c2/clip.mp4"]
