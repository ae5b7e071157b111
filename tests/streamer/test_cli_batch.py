"""One file that fails leaves the others of a batch alone, whatever failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from calibration.errors import LedgerError
from engines.errors import EngineError
from streamer.batch import Task
from streamer.cli.anonymize import _Batch
from streamer.cli.exit_codes import FAILED
from streamer.errors import InputError
from streamer.settings import make_settings


class _Runner:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, *arguments: Any, **keywords: Any) -> NoReturn:
        raise self.error


@pytest.mark.parametrize("kind", [InputError, EngineError, LedgerError])
def test_an_error_of_one_file_is_an_entry_of_the_report(
    kind: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Task(tmp_path / "anna" / "a.mp4", tmp_path / "out.mp4")
    batch = _Batch(make_settings(), [task], None, None, overwrite=False, resume=False, quiet=True)
    assert batch._run_one(_Runner(kind(f"{task.input_path}: broken")), task) == FAILED  # type: ignore[arg-type]
    assert batch._entries == [{"input": "a.mp4", "status": "failed", "error": "a.mp4: broken"}]
    assert capsys.readouterr().err == f"veilstream: {task.input_path}: broken\n"
