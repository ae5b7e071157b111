"""Protects: the figures of faces in clips say what they claim, on records whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.temporal import adjacent_and_all, temporal_rows
from benchmarks.utility import correlation, frechet, holds, means, utility_rows
from benchmarks.watch import Seen, TrackRecord
from engines.face.pose import Similarity3D
from engines.face.topology import LIPS_INNER, canonical_mesh


def unit(rng: np.random.Generator, like: np.ndarray | None = None, noise: float = 0.0) -> np.ndarray:
    code = (
        rng.standard_normal(128) if like is None else like + noise * rng.standard_normal(128) / np.sqrt(128)
    )
    return np.asarray(code / np.linalg.norm(code), dtype=np.float32)


def mesh(yaw: float, mouth: float) -> np.ndarray:
    shape = canonical_mesh().copy()
    shape[LIPS_INNER[11:], 1] += mouth
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    return Similarity3D(60.0, turn, np.array([100.0, 100.0, 0.0])).apply(shape).astype(np.float32)


def record(clip: str, seed: int, *, follows: bool = True, towards_original: float = 0.0) -> TrackRecord:
    """A track whose result does what the input does, or nothing; its code leans towards the original's by so much."""
    rng = np.random.default_rng(seed)
    original, asked = unit(rng), unit(rng)
    result = unit(rng, asked + towards_original * original)
    seen = []
    for index in range(40):
        yaw, mouth = 0.3 * np.sin(index / 5), 0.1 * (1 + np.sin(index / 3))
        followed = (yaw, mouth) if follows else (0.0, 0.0)
        eyes = np.full(2, 0.3 + 0.1 * np.sin(index / 2))
        seen.append(
            Seen(
                index=index,
                mesh_in=mesh(yaw, mouth),
                mesh_out=mesh(*followed),
                presence_out=30.0,
                found_again=index % 4 > 0,
                eyes_in=eyes,
                eyes_out=eyes if follows else np.full(2, 0.3),
                gaze_in=np.array([0.1 * np.sin(index), 0.0]),
                gaze_out=np.array([0.1 * np.sin(index) if follows else 0.0, 0.0]),
                codes_in={"sface": unit(rng, original, 0.2)},
                codes_out={"sface": unit(rng, result, 0.05 if follows else 0.6)},
                warp_error_in=0.02 if index else None,
                warp_error_out=0.022 if index else None,
            )
        )
    return TrackRecord(clip, 1, asked, seen, 0)


def test_a_face_that_follows_scores_one_and_a_still_one_nothing() -> None:
    following, still = utility_rows([record("a", 1), record("b", 2, follows=False)])
    for name in ("yaw", "mouth", "eyes", "gaze", "expression"):
        assert following[name] == pytest.approx(1.0, abs=1e-3)
        assert still[name] == pytest.approx(0.0, abs=0.05)
    assert following["landmark_error"] < 1e-4 < still["landmark_error"]
    assert following["found_again"] == 0.75
    assert following["asked_sface"] > 0.95
    assert following["pitch"] is None  # nobody nodded


def test_the_shift_is_what_the_result_leans_towards_the_original() -> None:
    rows = utility_rows([record("a", 1, towards_original=0.5), record("b", 2), record("c", 3)])
    assert rows[0]["shift_sface"] > 0.3
    assert abs(rows[1]["shift_sface"]) < 0.25


def test_persons_of_the_same_clip_are_no_strangers_to_it() -> None:
    alone = utility_rows([record("a", 1), record("a", 2)])
    assert all("shift_sface" not in row for row in alone)


def test_an_unsteady_identity_and_a_steady_one() -> None:
    steady, unsteady = temporal_rows([record("a", 1), record("b", 2, follows=False)])
    assert steady["tl_sface"] > 1.0 > unsteady["tl_sface"]
    assert steady["warp_error"] == pytest.approx(1.1)
    assert steady["switches"] == 0.0


def test_the_nearer_of_two_worn_persons_is_a_switch() -> None:
    first, second = record("a", 1), record("b", 2)
    first.seen[3].codes_out["sface"] = second.asked_code
    assert [row["switches"] for row in temporal_rows([first, second])] == [1.0, 0.0]


def test_short_tracks_are_left_out() -> None:
    short = record("a", 1)
    short.seen = short.seen[:10]
    assert utility_rows([short]) == []
    assert temporal_rows([short]) == []


def test_adjacent_and_all_of_a_slow_turn() -> None:
    angles = np.linspace(0, np.pi / 2, 10)
    adjacent, everywhere = adjacent_and_all(np.column_stack([np.cos(angles), np.sin(angles)]))
    assert adjacent == pytest.approx(np.cos(angles[1]))
    assert everywhere < adjacent


def test_frechet_grows_with_distance_and_spread() -> None:
    rng = np.random.default_rng(0)
    real, same = rng.standard_normal((2, 400, 16))
    moved, narrow = same + 1.0, same * 0.2
    near, far, thin = (frechet(real, other) for other in (same, moved, narrow))
    assert near < 1.0
    assert far == pytest.approx(16.0, rel=0.2)
    assert thin > 5 * near


def test_what_hardly_varies_has_no_correlation() -> None:
    assert correlation([1.0, 1.01, 1.0], [0.0, 1.0, 0.0], 0.1) is None
    assert correlation([0.0, 1.0, 0.0], [2.0, 2.0, 2.0], 0.1) == 0.0


def test_means_are_weighted_and_bars_are_held() -> None:
    rows = [{"frames": 10, "x": 1.0}, {"frames": 30, "x": 0.0}, {"frames": 5, "x": None}]
    assert means(rows, ["x", "y"]) == {"x": 0.25, "y": None}
    assert holds(None, ">=", 1.0)
    assert holds(-0.04, "|<=|", 0.05)
    assert not holds(-0.06, "|<=|", 0.05)
    assert not holds(0.5, ">=", 0.6)
