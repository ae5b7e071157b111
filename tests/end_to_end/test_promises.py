"""What a job promises: hidden faces have no epsilon, gaussian draws a delta, contradictions are refused."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from calibration.claims import HIDDEN
from calibration.keys import new_key_file
from calibration.ledger import verify_ledger
from streamer import JobRunner, make_settings
from streamer.errors import SettingsError


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_hiding_binds_the_person_to_the_key_and_states_no_epsilon(walk_clip: Path, tmp_path: Path) -> None:
    """Mode `hide` through the whole pipeline: the same key gives the same person without a stored draw."""
    keys = {name: tmp_path / f"{name}.key" for name in ("one", "other")}
    for path in keys.values():
        new_key_file(path)
    pictures = []
    for number, key in enumerate(("one", "one", "other")):
        settings = make_settings(
            privacy={"mode": "hide", "key_file": keys[key], "ledger": tmp_path / f"{number}.jsonl"}
        )
        with JobRunner(settings) as runner:
            result = runner.run(walk_clip, tmp_path / f"{number}.mp4")
            described = runner.describe()
        assert result.epsilon_total is None
        assert "no epsilon" in result.summary()
        assert {track["epsilon"] for track in result.tracks} == {None}
        assert result.coverage["faces_synthetic"] > 0
        privacy = described["privacy"]
        assert privacy["claim"] == HIDDEN
        assert privacy["bounds"] is None
        assert privacy["mechanism"]["epsilon"] is None
        assert "epsilon" not in described["settings"]["privacy"]
        assert str(tmp_path) not in json.dumps(described)
        (scope,) = verify_ledger(tmp_path / f"{number}.jsonl").scopes
        assert scope.hidden == scope.draws >= 1
        pictures.append(_frames(tmp_path / f"{number}.mp4")[20].astype(int))
    # The encoder's threads may move a few pixels by a few grey levels; another person moves a face.
    assert np.abs(pictures[0] - pictures[1]).max() <= 10
    assert np.abs(pictures[0] - pictures[2]).max() > 40


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"mode": "hide"}, "needs a key_file"),
        ({"mode": "hide", "key_file": "k", "epsilon": 1.0}, "take out epsilon"),
        ({"mode": "hide", "key_file": "k", "budget": 3}, "take out budget"),
        ({"mechanism": "gaussian", "budget": 3}, "budget and delta_budget"),
        ({"mechanism": "gaussian", "delta": 0}, "delta"),
    ],
)
def test_promises_that_contradict_each_other_are_refused(privacy: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make_settings(privacy=privacy)


def test_a_mechanism_over_vectors_draws_a_person_and_spends_its_delta(
    walk_clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    settings = make_settings(
        privacy={"mechanism": "gaussian", "delta": 1e-5, "ledger": path, "budget": 9, "delta_budget": 1e-5}
    )
    with JobRunner(settings) as runner:
        result = runner.run(walk_clip, tmp_path / "out.mp4")
        privacy = runner.describe()["privacy"]
    assert result.coverage["faces_synthetic"] > 0
    assert "not a pure one" in privacy["claim"]
    assert privacy["delta_spent_in_scope"] == 1e-5
    (scope,) = verify_ledger(path).scopes
    assert (scope.epsilon, scope.delta) == (1, Fraction(1, 10**5))
