"""The probes read identity out of attributes that carry it, and out of no others."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.audit.attributes import explained_identity, link_tracks, probe_identity

PEOPLE, TRACKS, FRAMES, FEATURES = 30, 4, 5, 12


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    people = np.repeat(np.arange(PEOPLE), TRACKS * FRAMES)
    tracks = np.repeat(np.arange(PEOPLE * TRACKS), FRAMES)
    return people, tracks


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_static_proportions_give_people_away(
    probe: str, generator: np.random.Generator, labels: tuple[np.ndarray, np.ndarray]
) -> None:
    people, tracks = labels
    proportions = generator.normal(size=(PEOPLE, FEATURES))[people]
    result = probe_identity(
        proportions + 0.3 * generator.normal(size=proportions.shape), people, tracks, probe=probe
    )
    assert result.rank1.value > 0.8
    assert result.area > 0.95
    assert result.times_chance > 20


@pytest.mark.parametrize("probe", ["ridge", "logistic"])
def test_what_belongs_to_the_track_says_nothing(
    probe: str, generator: np.random.Generator, labels: tuple[np.ndarray, np.ndarray]
) -> None:
    """Frames of one track are alike, but tracks of one person are not: a probe that saw frames of a track it is
    tried on would look clever."""
    people, tracks = labels
    moods = generator.normal(size=(PEOPLE * TRACKS, FEATURES))[tracks]
    result = probe_identity(moods + 0.05 * generator.normal(size=moods.shape), people, tracks, probe=probe)
    assert result.rank1.value < 0.12
    assert 0.4 < result.area < 0.6


def test_explained_identity(generator: np.random.Generator) -> None:
    people = np.repeat(np.arange(200), 3)
    codes = generator.normal(size=(200, 16))[people]
    mixing = generator.normal(size=(16, FEATURES))
    leaking = codes @ mixing + 0.1 * generator.normal(size=(600, FEATURES))
    assert explained_identity(leaking, codes, people) > 0.4
    assert explained_identity(generator.normal(size=(600, FEATURES)), codes, people) < 0.05


def test_what_cannot_be_probed() -> None:
    values = np.zeros((4, 2))
    with pytest.raises(ValueError, match="one track"):
        probe_identity(values, np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]))
    with pytest.raises(ValueError, match="probe"):
        probe_identity(values, np.array([0, 0, 1, 1]), np.arange(4), probe="magic")
    with pytest.raises(ValueError, match="folds"):
        explained_identity(values, values, np.zeros(4, dtype=int))


def test_links_are_found_in_what_a_person_keeps_even_under_much_that_changes(
    generator: np.random.Generator,
) -> None:
    """The metric is learned on other people: it weighs the few directions that tell people apart."""
    people = np.repeat(np.arange(300), 3)
    kept = generator.normal(size=(300, 3))[people] @ generator.normal(size=(3, FEATURES))
    changing = 4.0 * generator.normal(size=(900, 4)) @ generator.normal(size=(4, FEATURES))
    found = link_tracks(kept + changing + 0.1 * generator.normal(size=(900, FEATURES)), people)
    assert found.tar.value > 0.3
    assert found.rank1.value > 0.3
    nothing = link_tracks(changing + 0.1 * generator.normal(size=(900, FEATURES)), people)
    assert nothing.tar.low < 0.01 < nothing.tar.high
    assert nothing.rank1.low < nothing.chance < nothing.rank1.high
    assert nothing.area == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("metric", "least"), [("cosine", 0.9), ("learned", 0.3)])
def test_codes_are_best_compared_by_their_cosine(
    metric: str, least: float, generator: np.random.Generator
) -> None:
    people = np.repeat(np.arange(60), 2)
    codes = 3.0 + generator.normal(size=(60, 32))[people] + 0.4 * generator.normal(size=(120, 32))
    assert link_tracks(codes, people, metric=metric).tar.value > least
    with pytest.raises(ValueError, match="metric"):
        link_tracks(codes, people, metric="other")
