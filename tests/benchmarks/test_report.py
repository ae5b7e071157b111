"""What a benchmark found arrives in all three forms, and a page needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.profile import Profiler, flame_graph
from benchmarks.report import Part, Table, write_report


def a_part() -> Part:
    table = Table("Frames <per> second", ("way", "value"), [("ours", "12.0"), ("a|b", "1.0 !")])
    return Part(
        "speed", "Speed", [table], {"rows": [1, 2]}, ["<svg></svg>"], [("a face", b"\xff\xd8")], ["a & b"]
    )


def test_the_three_forms_of_a_report(tmp_path: Path) -> None:
    write_report(tmp_path, "machine & day", [a_part()])
    assert json.loads((tmp_path / "speed.json").read_text()) == {
        "head": "machine & day",
        "figures": {"rows": [1, 2]},
    }
    markdown = (tmp_path / "report.md").read_text()
    assert "| ours | 12.0 |" in markdown
    assert r"| a\|b | **1.0** |" in markdown
    page = (tmp_path / "report.html").read_text()
    assert '<td class="miss">1.0</td>' in page
    assert "Frames &lt;per&gt; second" in page
    assert "data:image/jpeg;base64,/9g=" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page), "something is loaded from elsewhere"


def test_a_profile_finds_the_function_that_works_and_the_thread_that_paid() -> None:
    def busy_work() -> int:
        total = 0
        for number in range(12_000_000):
            total += number
        return total

    with Profiler() as profiler:
        busy_work()
    # Other threads of the test run may stand in a native read meanwhile, which looks like work.
    shares = {name.split()[0]: share for name, share in profiler.profile.own_time(10)}
    assert shares["busy_work"] > 0.2
    assert sum(profiler.profile.cpu_seconds["render"]) > 0.1


def test_a_flame_graph_shows_callers_below_and_shares() -> None:
    stacks = Counter({("render", "compose", "warp"): 30, ("render", "compose"): 10, ("encode",): 60})
    chart = flame_graph(stacks, "a run")
    assert "render: 40.0 %" in chart
    assert "warp: 30.0 %" in chart
    with pytest.raises(ValueError, match="no samples"):
        flame_graph(Counter(), "nothing")
