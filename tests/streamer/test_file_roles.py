"""No command writes over what it reads, whatever name or link it is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamer.batch import plan_tasks
from streamer.cli.batch import Batch
from streamer.errors import OutputError, SettingsError, VeilstreamError
from streamer.file_roles import FileRoles
from streamer.job import JobRunner
from streamer.settings import make_settings


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """What a job reads, with links to it."""
    monkeypatch.chdir(tmp_path)
    read = {name: tmp_path / name for name in ("v.mp4", "door.key", "l.jsonl", "l.jsonl.head", "book.npz")}
    for name, path in read.items():
        path.write_text(name)
    (tmp_path / "soft").symlink_to("v.mp4")
    os.link("v.mp4", "hard")
    return read


def _check(*, overwrite: bool = False, resume: bool = False, output: str = "v1.mp4", **side: str) -> None:
    settings = make_settings(
        privacy={"key_file": "door.key", "ledger": "l.jsonl", "codebook": "book.npz"}, replace_with="solid"
    )
    report, boxes = (Path(side[name]) if name in side else None for name in ("report", "boxes"))
    tasks = plan_tasks(["v.mp4"], Path(output))
    Batch(settings, tasks, report, boxes, overwrite=overwrite, resume=resume, quiet=True).check_files()


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("option", ["report", "boxes"])
@pytest.mark.parametrize(
    "name",
    ["v.mp4", "soft", "hard", "../{}/v.mp4", "v1.mp4", "door.key", "l.jsonl", "l.jsonl.head", "book.npz"],
)
def test_a_report_or_boxes_on_a_file_of_the_job_are_refused(
    name: str, option: str, overwrite: bool, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="as well; choose another file") as caught:
        _check(overwrite=overwrite, **{option: name.format(tmp_path.name)})
    assert "\n" not in str(caught.value)
    assert all(path.read_text() == name for name, path in files.items())


def test_an_output_on_an_input_or_on_the_ledger_is_refused(files: dict[str, Path]) -> None:
    for name in ("v.mp4", "l.jsonl", "door.key"):
        with pytest.raises(SettingsError, match="output"):
            _check(overwrite=True, output=name)
    assert all(path.read_text() == name for name, path in files.items())


def test_report_and_boxes_in_one_file_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=r"boxes .* is report as well"):
        _check(report="same.txt", boxes="same.txt")


def test_an_output_on_the_input_of_another_task_is_refused(tmp_path: Path) -> None:
    for name in ("x/c/a.mp4", "y/c/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    tasks = plan_tasks([str(tmp_path / "x"), str(tmp_path / "y" / "c")], tmp_path / "y")
    batch = Batch(make_settings(), tasks, None, None, overwrite=True, resume=False, quiet=True)
    with pytest.raises(SettingsError, match="an input as well"):
        batch.check_files()


@pytest.mark.parametrize("option", ["report", "boxes"])
def test_what_is_there_is_replaced_only_when_asked_for(
    option: str, files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.txt exists; use --overwrite"):
        _check(**{option: "thesis.txt"})
    _check(overwrite=True, **{option: "thesis.txt"})
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_a_device_is_no_place_for_a_report(overwrite: bool, files: dict[str, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "/dev/null"):
        with pytest.raises(OutputError, match="no regular file"):
            _check(overwrite=overwrite, report=name)


@pytest.mark.parametrize("option", ["report", "boxes"])
def test_a_place_that_cannot_be_written_is_known_before_the_work(
    option: str, files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VeilstreamError, match="cannot write into"):
        _check(**{option: "file/report"})


def test_places_that_are_free_are_left_as_they_were(files: dict[str, Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    _check(report="report.json", boxes="boxes.txt")
    assert sorted(tmp_path.iterdir()) == before


def test_two_roles_may_read_one_file(tmp_path: Path) -> None:
    roles = FileRoles()
    roles.read("one", tmp_path / "x")
    roles.read("other", tmp_path / "x")
    with pytest.raises(SettingsError, match="is one as well"):
        roles.write("report", tmp_path / "x")


def test_the_library_writes_no_output_over_the_ledger_either(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_text("a video")
    # A ledger of a name that a video may have.
    settings = make_settings(privacy={"ledger": tmp_path / "l.mp4"}, replace_with="solid")
    with (
        JobRunner(settings) as runner,
        pytest.raises(SettingsError, match=r"output .* is the ledger as well"),
    ):
        runner.run(tmp_path / "v.mp4", tmp_path / "l.mp4", overwrite=True)
