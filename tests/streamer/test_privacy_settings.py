"""What a privacy setting promises is weighed before anything is drawn, and names carry no secrets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from calibration.errors import EpsilonError
from streamer.errors import SettingsError
from streamer.job import JobRunner
from streamer.settings import PrivacySettings, make_settings
from streamer.toolkit import Toolkit


def warnings_of(**privacy: object) -> list[str]:
    toolkit: Any = SimpleNamespace(warnings=[])
    Toolkit._open_mechanism(toolkit, PrivacySettings.model_validate(privacy), 16)
    warnings: list[str] = toolkit.warnings
    return warnings


def test_a_delta_that_leaves_little_is_warned_of_or_refused() -> None:
    (claim,) = warnings_of(mechanism="gaussian", epsilon=1)
    assert "(epsilon, delta)" in claim
    assert "below 90.3 % at FAR 0.1 %" in warnings_of(mechanism="gaussian", epsilon=1, delta=0.9)[0]
    with pytest.raises(EpsilonError, match="explicitly"):
        warnings_of(mechanism="gaussian", epsilon=1, delta=0.9999)
    assert warnings_of(mechanism="codebook", epsilon=1) == []


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"delta": 0.1}, "codebook has no delta"),
        ({"mechanism": "laplace", "delta": 1e-6}, "laplace has no delta"),
        ({"mechanism": "uniform", "epsilon": 0.5}, "uniform has no epsilon"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(privacy: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=f"{words}: take it out"):
        make_settings(privacy=privacy)


@pytest.mark.parametrize(
    ("mechanism", "stated"),
    [("uniform", set()), ("codebook", {"epsilon"}), ("gaussian", {"epsilon", "delta"})],
)
def test_a_report_states_no_epsilon_that_the_mechanism_does_not_have(
    mechanism: str, stated: set[str]
) -> None:
    settings = make_settings(privacy={"mechanism": mechanism}, replace_with="solid")
    with JobRunner(settings) as runner:
        told = runner.describe()["settings"]["privacy"]
    assert told["mechanism"] == mechanism
    assert told.keys() & {"epsilon", "delta"} == stated


def test_a_scope_with_a_password_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(
        SettingsError, match=r"privacy\.scope: the scope's name carries credentials"
    ) as caught:
        make_settings(privacy={"scope": "rtsp://user:hunter2@door/1"})
    assert "hunter2" not in str(caught.value)
    assert make_settings(privacy={"scope": "lobby, 12:30@north"}).privacy.scope == "lobby, 12:30@north"
