"""Results of audits and plans replace earlier ones, and nothing that only bears their name."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.cli.results import write_results
from streamer.errors import OutputError


def test_results_are_written_and_replaced(tmp_path: Path) -> None:
    for value in (1, 2):
        write_results(tmp_path / "out", "plan", {"chart": "<svg/>"}, value=value)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["chart.svg", "plan.json"]
    assert '"value": 2' in (tmp_path / "out" / "plan.json").read_text()


@pytest.mark.parametrize("name", ["plan.json", "chart.svg"])
def test_what_a_link_leads_to_is_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / name).symlink_to("thesis")
    with pytest.raises(OutputError, match="no regular file"):
        write_results(tmp_path, "plan", {"chart": "<svg/>"}, value=1)
    assert (tmp_path / "thesis").read_text() == "years of work"
    assert len(list(tmp_path.iterdir())) == 2
