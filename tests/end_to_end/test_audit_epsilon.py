"""`veilstream audit epsilon` and `veilstream calibrate epsilon`: what they print, write, and exit with."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from calibration.exact import EpsilonLike
from calibration.mechanisms import CodebookMechanism, LaplaceMechanism, Mechanism, create_mechanism
from streamer.cli.app import app
from streamer.errors import SettingsError
from streamer.identity import IdentityKeeper


def _run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(argument) for argument in arguments])


def test_every_mechanism_is_audited_and_written_down(tmp_path: Path) -> None:
    done = _run("audit", "epsilon", "--epsilon", 1, "--trials", 15_000, "--pixels", 0, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    findings = json.loads((tmp_path / "epsilon.json").read_text())["findings"]
    assert [item["label"] for item in findings] == [
        "uniform, 1024 people", "uniform, assigned",
        "codebook, 1024 people", "codebook, assigned",
        "privunit, d=128", "privunit, assigned",
        "laplace, d=2", "laplace, d=128", "laplace, d=128, noise", "laplace, assigned",
        "gaussian, d=128, delta=0.3", "gaussian, d=128, delta=1e-06", "gaussian, d=128, delta=1e-06, noise",
        "gaussian, assigned",
        "vmf, d=2", "vmf, d=128", "vmf, d=128, noise", "vmf, assigned",
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

    # Not by attribute: the package's `epsilon` is the command of that name.
    module = importlib.import_module("streamer.cli.audit.epsilon")
    monkeypatch.setattr(module, "create_mechanism", create)
    arguments = ("audit", "epsilon", "--epsilon", 1, "--trials", 4000, "--pixels", 0)
    done = _run(*arguments, "--mechanism", "codebook")
    assert done.exit_code == 1
    assert "spends more" in done.output
    assert _run(*arguments, "--mechanism", "uniform").exit_code == 0


def test_the_object_that_is_used_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, epsilon: EpsilonLike, *, dimension: int) -> Mechanism:
        mechanism = LaplaceMechanism(epsilon, dimension)
        mechanism.scale *= 0.1
        return mechanism

    monkeypatch.setattr(importlib.import_module("streamer.cli.audit.epsilon"), "create_mechanism", create)
    arguments = ("--epsilon", 1, "--trials", 4000, "--mechanism", "laplace", "--pixels", 0)
    done = _run("audit", "epsilon", *arguments)
    assert done.exit_code == 1
    assert "spends more" in done.output


def test_too_few_trials_to_say_are_not_a_pass() -> None:
    done = _run("audit", "epsilon", "--epsilon", 4, "--trials", 100, "--mechanism", "codebook", "--pixels", 0)
    assert done.exit_code == 4, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("too few trials")]
    needed = int(line.split("--trials")[1])
    assert 100 < needed < 2000
    arguments = ("--epsilon", 4, "--trials", needed, "--mechanism", "codebook", "--pixels", 0)
    assert _run("audit", "epsilon", *arguments).exit_code == 0


def test_the_index_drawn_is_read_back_from_the_pixels(tmp_path: Path) -> None:
    done = _run(
        "audit", "epsilon", "--epsilon", 2.3, "--mechanism", "codebook", "--trials", 4000, "--pixels", 2,
        "--out", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 4, done.output
    assert "give --pixels" in done.output
    (pixels,) = json.loads((tmp_path / "epsilon.json").read_text())["pixels"]
    assert pixels["trials"] == 2
    assert pixels["recovery"] == 1
    assert pixels["changed_tracks"] == 0
    assert not pixels["failed"]


@pytest.mark.parametrize("is_written_down", [True, False])
def test_somebody_else_on_the_next_frame_is_caught(
    monkeypatch: pytest.MonkeyPatch, is_written_down: bool
) -> None:
    kept = IdentityKeeper.person_for

    def redraw(self, track_id, frame, points_xy_px):  # type: ignore[no-untyped-def]
        self._people.pop(track_id, None)
        self._assigner.release(track_id)
        before = self.assignments.get(track_id)
        person = kept(self, track_id, frame, points_xy_px)
        if before is not None and not is_written_down:
            self.assignments[track_id] = before
        return person

    monkeypatch.setattr(IdentityKeeper, "person_for", redraw)
    done = _run(
        "audit", "epsilon", "--epsilon", 1, "--mechanism", "codebook", "--trials", 1000, "--pixels", 2
    )
    assert done.exit_code == 1, done.output
    assert ("changed their person" if is_written_down else "people read back") in done.output


@pytest.mark.parametrize("name", ["wrong-p", "half-sensitivity", "per-frame", "too-noisy"])
def test_what_is_broken_on_purpose_fails(name: str) -> None:
    done = _run("audit", "epsilon", "--epsilon", 1, "--trials", 20_000, "--broken", name)
    assert done.exit_code == 1
    assert "FAIL" in done.output
    assert f"{name}: caught" in done.output


@pytest.mark.parametrize(("epsilon", "trials"), [(1, 300), (0.5, 600)])
def test_one_that_is_caught_does_not_hide_one_that_is_not(
    tmp_path: Path, epsilon: float, trials: int
) -> None:
    both = ("--broken", "too-noisy", "--broken", "wrong-p")
    done = _run("audit", "epsilon", "--epsilon", epsilon, "--trials", trials, *both, "--out", tmp_path)
    assert done.exit_code == 4, done.output
    assert f"too-noisy: NOT caught at epsilon {epsilon:g}" in done.output
    assert "--trials" in done.output
    assert json.loads((tmp_path / "epsilon.json").read_text())["broken"][0] == {
        "broken": "too-noisy", "caught": False, "epsilon": epsilon,
    }  # fmt: skip


def test_a_wished_bound_becomes_an_epsilon_that_keeps_it(tmp_path: Path) -> None:
    done = _run("calibrate", "epsilon", "--tpr", 0.005, "--far", 0.001, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "calibrate.json").read_text())
    assert written["chosen"]["epsilon"] == pytest.approx(1.6094, abs=1e-9)
    assert written["chosen"]["verification"] <= 0.005
    assert (tmp_path / "calibrate.svg").read_text().startswith("<svg")
    assert "epsilon 3.4965" in _run("calibrate", "epsilon", "--rank1", 0.25, "--people", 100).output


def test_an_epsilon_is_told_what_it_bounds_beside_what_was_measured(tmp_path: Path) -> None:
    rate = {"tar": {"value": 0.004}}
    results = [
        {"row": "epsilon 1", "attack": "naive", "tar_far_1e3": rate},
        {"row": "epsilon inf", "attack": "naive", "tar_far_1e3": rate},
        {"row": "blur", "attack": "naive", "tar_far_1e3": rate},
    ]
    (tmp_path / "reid.json").write_text(json.dumps({"results": results}))
    done = _run("calibrate", "epsilon", "--epsilon", 1, "--reid", tmp_path / "reid.json", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "0.272 %" in done.output
    assert json.loads((tmp_path / "calibrate.json").read_text())["measured"] == [[1.0, 0.004]]


@pytest.mark.parametrize("wish", [(), ("--tpr", 0.005, "--epsilon", 1)])
def test_a_plan_needs_one_wish(wish: tuple[str | float, ...]) -> None:
    assert isinstance(_run("calibrate", "epsilon", *map(str, wish)).exception, SettingsError)


def test_a_mechanism_that_does_not_exist_is_refused() -> None:
    done = _run("audit", "epsilon", "--mechanism", "magic")
    assert isinstance(done.exception, SettingsError)
    assert "privunit" in str(done.exception)
