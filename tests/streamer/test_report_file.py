"""Reports appear whole, for those whom the umask lets read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.errors import OutputError
from streamer.report import write_text


@pytest.fixture(params=[0o022, 0o077], ids=["others may read", "nobody else"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_report_is_no_more_readable_than_other_new_files(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*report\.json"):
        write_text(tmp_path / "report.json", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
