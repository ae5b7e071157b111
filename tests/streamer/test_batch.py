"""Which inputs become which outputs; two inputs never share one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.batch import plan_tasks
from streamer.errors import SettingsError


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_one_file_goes_to_the_named_output(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in.mp4")
    tasks = plan_tasks([str(source)], tmp_path / "out.mp4")
    assert [(t.input_path, t.output_path) for t in tasks] == [(source, tmp_path / "out.mp4")]


def test_one_file_goes_into_an_existing_folder(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in.mp4")
    (tmp_path / "out").mkdir()
    assert plan_tasks([str(source)], tmp_path / "out")[0].output_path == tmp_path / "out" / "in.mp4"


def test_folder_keeps_its_tree_and_leaves_other_files_alone(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    for name in ("a.mp4", "deep/er/b.MKV", "deep/c.jpg", "notes.txt", ".hidden.mp4"):
        _touch(folder / name)
    tasks = plan_tasks([str(folder)], tmp_path / "out")
    assert {t.output_path.relative_to(tmp_path / "out").as_posix() for t in tasks} == {
        "a.mp4",
        "deep/er/b.MKV",
        "deep/c.jpg",
    }
    assert {t.input_path.name: t.is_image for t in tasks} == {"a.mp4": False, "b.MKV": False, "c.jpg": True}


def test_output_folder_inside_the_input_folder_is_no_input(tmp_path: Path) -> None:
    _touch(tmp_path / "a.mp4")
    _touch(tmp_path / "out" / "a.mp4")
    assert len(plan_tasks([str(tmp_path)], tmp_path / "out")) == 1


def test_pattern_expands_in_order(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "c.txt"):
        _touch(tmp_path / name)
    tasks = plan_tasks([str(tmp_path / "*.mp4")], tmp_path / "out")
    assert [t.input_path.name for t in tasks] == ["a.mp4", "b.mp4"]


def test_pattern_without_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing matches"):
        plan_tasks([str(tmp_path / "*.mp4")], tmp_path / "out")


def test_a_name_with_brackets_that_exists_is_a_file_not_a_pattern(tmp_path: Path) -> None:
    source = _touch(tmp_path / "cam[1].mp4")
    assert plan_tasks([str(source)], tmp_path / "out.mp4")[0].input_path == source


def test_two_inputs_for_one_output_are_refused(tmp_path: Path) -> None:
    first, second = _touch(tmp_path / "one" / "x.mp4"), _touch(tmp_path / "two" / "x.mp4")
    with pytest.raises(SettingsError, match="both be written"):
        plan_tasks([str(first), str(second)], tmp_path / "out")


def test_several_inputs_cannot_go_into_a_file(tmp_path: Path) -> None:
    first, second = _touch(tmp_path / "x.mp4"), _touch(tmp_path / "y.mp4")
    with pytest.raises(SettingsError, match="folder is needed"):
        plan_tasks([str(first), str(second)], _touch(tmp_path / "out.mp4"))
    with pytest.raises(SettingsError, match="need a folder"):
        plan_tasks([str(first), str(second)], tmp_path / "new.mp4")


def test_a_slash_at_the_end_means_a_folder(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in.mp4")
    (task,) = plan_tasks([str(source)], f"{tmp_path}/new/")
    assert task.output_path == tmp_path / "new" / "in.mp4"
    assert task.makes_folder
    with pytest.raises(SettingsError, match="is a file"):
        plan_tasks([str(source)], f"{source}/")


@pytest.mark.parametrize("inputs", [[""], [" "], ["in.mp4", ""]])
def test_an_empty_name_does_not_mean_the_folder_one_is_in(
    inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _touch(tmp_path / "in.mp4")
    with pytest.raises(SettingsError, match="INPUT is empty"):
        plan_tasks(inputs, "x.jpg")
    with pytest.raises(SettingsError, match="--output is empty"):
        plan_tasks(["in.mp4"], "")


def test_a_file_meant_twice_is_done_once(tmp_path: Path) -> None:
    source = _touch(tmp_path / "in.mp4")
    assert len(plan_tasks([str(source), str(tmp_path / "*.mp4")], tmp_path / "out")) == 1


def test_missing_file_is_a_task_of_its_own_so_that_others_are_done(tmp_path: Path) -> None:
    source = _touch(tmp_path / "x.mp4")
    tasks = plan_tasks([str(tmp_path / "missing.mp4"), str(source)], tmp_path / "out")
    assert [t.input_path.name for t in tasks] == ["missing.mp4", "x.mp4"]
