"""`--resume` goes on with the report that is there, and loses nothing an auditor needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.batch import plan_tasks
from streamer.cli.batch import Batch
from streamer.cli.exit_codes import DONE, FAILED
from streamer.cli.report_file import ReportFile
from streamer.errors import OutputError
from streamer.job import JobResult
from streamer.report import JobRecorder, sha256_of_file
from streamer.resume import NotedHashes
from streamer.settings import make_settings

HEAD: dict[str, Any] = {
    "format": 1,
    "tool": "veilstream 1",
    "settings": {"privacy": {"epsilon": 1.0}},
    "privacy": {"ledger_head": "a", "epsilon_spent_in_scope": 1.0, "claim": "words"},
}


class _Runner:
    """Writes outputs, and skips those that are there."""

    warnings: tuple[str, ...] = ()
    engine_line = ""

    def __init__(self, head: dict[str, Any] = HEAD) -> None:
        self.head = head
        self.noted: list[NotedHashes | None] = []

    def __enter__(self) -> _Runner:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return self.head

    def run(self, source: Path, output: Path, *, noted: NotedHashes | None, **_: Any) -> JobResult:
        self.noted.append(noted)
        if source.read_bytes() == b"bad":
            raise OutputError("bad")
        if output.exists():
            return JobResult(source, output, skipped=True)
        output.write_bytes(b"anonymized " + source.read_bytes())
        return JobResult(
            source,
            output,
            coverage=JobRecorder().coverage(),
            tracks=[{"track": 1}],
            mot_lines=["1,1,0.0,0.0,1.0,1.0,0.900,-1,-1,-1"],
            input_sha256=sha256_of_file(source),
            output_sha256=sha256_of_file(output),
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "deep/a.mp4", "deep/b.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    return tmp_path


def _run(folder: Path, runner: _Runner, monkeypatch: pytest.MonkeyPatch) -> tuple[int, dict[str, Any]]:
    tasks = plan_tasks([str(folder / "in")], folder / "out")
    report = folder / "report.json"
    batch = Batch(make_settings(), tasks, report, folder / "boxes", overwrite=False, resume=True, quiet=True)
    monkeypatch.setattr(batch, "_opened", lambda: runner)
    batch.check_files()
    code = batch.run()
    return code, json.loads(report.read_text())


def test_entries_of_what_is_skipped_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first = _run(folder, _Runner(), monkeypatch)
    assert [entry["status"] for entry in first["files"]] == ["done"] * 3
    runner = _Runner()
    code, second = _run(folder, runner, monkeypatch)
    assert code == DONE
    assert second == first
    assert [noted and noted.input_sha256 for noted in runner.noted] == [
        sha256_of_file(folder / "in" / name) for name in ("a.mp4", "deep/a.mp4", "deep/b.mp4")
    ]


def test_what_is_made_anew_and_what_failed_is_noted_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = folder / "in" / "deep" / "b.mp4"
    bad.write_bytes(b"bad")
    code, first = _run(folder, _Runner(), monkeypatch)
    assert code == FAILED
    bad.write_bytes(b"good")
    (folder / "out" / "a.mp4").unlink()
    (folder / "in" / "a.mp4").write_bytes(b"grown")
    code, second = _run(folder, _Runner(), monkeypatch)
    assert code == DONE
    entries = {entry["input"]: entry for entry in second["files"]}
    assert len(second["files"]) == 3
    assert entries["deep/a.mp4"] in first["files"]
    assert entries["deep/b.mp4"]["status"] == "done"
    assert entries["a.mp4"]["input_sha256"] == sha256_of_file(folder / "in" / "a.mp4")


def test_an_entry_made_with_other_settings_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(folder, _Runner(), monkeypatch)
    (folder / "out" / "a.mp4").unlink()
    head = {
        **HEAD,
        "settings": {"privacy": {"epsilon": 2.0}},
        "privacy": {**HEAD["privacy"], "ledger_head": "b"},
    }
    for _ in range(2):
        _, report = _run(folder, _Runner(head), monkeypatch)
        assert report["settings"] == head["settings"]
        made_with = {entry["input"]: entry.get("made_with") for entry in report["files"]}
        earlier = {"settings": HEAD["settings"]}
        assert made_with == {"a.mp4": None, "deep/a.mp4": earlier, "deep/b.mp4": earlier}


def test_a_run_that_is_stopped_early_leaves_all_earlier_entries(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    entries = [{"input": f"{name}.mp4", "output": f"{name}.mp4", "status": "done"} for name in "ab"]
    ReportFile(path).write(HEAD, entries)
    file = ReportFile(path)
    file.load()
    file.write(HEAD, [{**entries[1], "status": "skipped"}])
    assert json.loads(path.read_text())["files"] == entries


@pytest.mark.parametrize(
    "content", ["years of work", "[]", "{}", '{"format": 1, "tool": "other", "files": []}', '{"format": 1}']
)
@pytest.mark.parametrize("name", ["report.json", "boxes/deep/a.mp4.txt"])
def test_other_files_are_not_gone_on_with(
    name: str, content: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    with pytest.raises(OutputError, match=r"none of veilstream's|holds no boxes"):
        _run(folder, _Runner(), monkeypatch)
    assert (folder / name).read_text() == content
