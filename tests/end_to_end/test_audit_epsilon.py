"""`veilstream audit epsilon` and `veilstream calibrate epsilon`: what they print, write, and exit with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import streamer.cli.audit
from calibration.exact import EpsilonLike
from calibration.mechanisms import CodebookMechanism, Mechanism, create_mechanism
from streamer.cli.app import app


def _run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(argument) for argument in arguments])


def test_every_mechanism_is_audited_and_written_down(tmp_path: Path) -> None:
    done = _run("audit", "epsilon", "--epsilon", 1, "--trials", 4000, "--pixels", 0, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    findings = json.loads((tmp_path / "epsilon.json").read_text())["findings"]
    assert [item["label"].split(",")[0] for item in findings] == [
        "uniform", "codebook", "privunit", "laplace", "gaussian", "vmf",
    ]  # fmt: skip
    assert all(item["passed"] for item in findings)
    assert (tmp_path / "epsilon.svg").read_text().startswith("<svg")


def test_a_mechanism_that_spends_more_than_it_states_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Understated(CodebookMechanism):
        def __init__(self, epsilon: EpsilonLike) -> None:
            super().__init__(3)
            self._honest = CodebookMechanism(3)
            self.epsilon = CodebookMechanism(epsilon).epsilon

        def draw(self, ranked, random):  # type: ignore[no-untyped-def]
            return self._honest.draw(ranked, random)

    def create(name: str, epsilon: EpsilonLike, *, dimension: int) -> Mechanism:
        return (
            Understated(epsilon)
            if name == "codebook"
            else create_mechanism(name, epsilon, dimension=dimension)
        )

    monkeypatch.setattr(streamer.cli.audit, "create_mechanism", create)
    arguments = ("audit", "epsilon", "--epsilon", 1, "--trials", 4000, "--pixels", 0)
    done = _run(*arguments, "--mechanism", "codebook")
    assert done.exit_code == 1
    assert "spends more" in done.output
    assert _run(*arguments, "--mechanism", "uniform").exit_code == 0


def test_the_index_drawn_is_read_back_from_the_pixels(tmp_path: Path) -> None:
    done = _run(
        "audit", "epsilon", "--epsilon", 2.3, "--mechanism", "codebook", "--trials", 4000, "--pixels", 2,
        "--out", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    pixels = json.loads((tmp_path / "epsilon.json").read_text())["pixels"]
    assert pixels["runs"] == 4
    # Not every one: but far more than the one in K that guessing would get.
    assert pixels["recovered"] >= 2
