"""Tracks follow people through drop-outs and low scores, and never carry an identity from one person to
another.
"""

from __future__ import annotations

import numpy as np
import pytest

from streamer.analysis import Observation, Tracker
from streamer.analysis.observation import without_duplicates

STEP = 0.04
RED, BLUE = 1, 2


def looks(person: int) -> np.ndarray:
    """A thumbnail (8, 8, 3) unlike any other person's."""
    return np.random.default_rng(person).uniform(60, 200, (8, 8, 3)).astype(np.float32)


def face(x: float, y: float = 100.0, *, size: float = 40.0, score: float = 0.9, person: int | None = None):
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    return Observation(box, score, thumbnail=None if person is None else looks(person))


def follow(
    frames: list[list[Observation]], *, step: float = STEP, **settings: float
) -> tuple[list[list[int]], list[int]]:
    """Track ids per frame, in the order of the observations given (0: not tracked), and all ended ids."""
    tracker = Tracker(**settings)
    ids, ended = [], []
    for index, observations in enumerate(frames):
        result = tracker.step(observations, index * step)
        owner = {id(item): track_id for track_id, item in result.assigned.items()}
        ids.append([owner.get(id(item), 0) for item in observations])
        ended += result.ended_track_ids
    return ids, ended


def test_moving_face_keeps_its_id() -> None:
    ids, _ = follow([[face(50 + 6 * t)] for t in range(40)])
    assert ids == [[1]] * 40


def test_face_that_moves_more_than_its_width_from_frame_to_frame_keeps_its_id() -> None:
    ids, _ = follow([[face(70 * t, person=RED), face(70 * t, 300, person=RED)] for t in range(20)], step=0.2)
    assert ids == [[1, 2]] * 20


def test_drop_out_is_bridged_within_patience_and_not_beyond() -> None:
    gone: list[list[Observation]] = [[]]
    short, _ = follow([[face(50)]] * 5 + gone * 10 + [[face(50)]], lost_seconds=0.5)
    long, ended = follow([[face(50)]] * 5 + gone * 20 + [[face(50)]], lost_seconds=0.5)
    assert short[-1] == [1]
    assert long[-1] == [2]
    assert ended == [1]


def test_low_score_continues_a_track_but_starts_none() -> None:
    ids, _ = follow(
        [[face(50)], [face(52, score=0.3)], [face(54, score=0.3), face(400, score=0.3)], [face(56)]]
    )
    assert ids == [[1], [1], [1, 0], [1]]


def test_every_sure_detection_gets_a_track_at_once() -> None:
    ids, _ = follow([[face(100 * n, score=0.5) for n in range(8)]])
    assert sorted(ids[0]) == list(range(1, 9))


def test_appearance_jump_in_place_ends_the_track() -> None:
    ids, ended = follow([[face(50, person=RED)]] * 5 + [[face(50, person=BLUE)]] * 3)
    assert ids == [[1]] * 5 + [[2]] * 3
    assert ended == [1]


def test_brightness_change_does_not_end_a_track() -> None:
    dark = Observation(face(50).box_xyxy_px, 0.9, thumbnail=looks(RED) * np.array([0.6, 1, 1], np.float32))
    ids, _ = follow([[face(50, person=RED)]] * 3 + [[dark]] * 3)
    assert ids == [[1]] * 6


def crossing(people: tuple[int | None, int | None], *, swap_at_middle: bool, hidden: range = range(0)):
    """Two faces walk through one another (or meet and turn round).

    The second is unseen in frames of `hidden`.
    """
    frames = []
    for t in range(60):
        first, second = 50 + 5 * t, 345 - 5 * t
        if swap_at_middle and t >= 30:
            first, second = second, first
        left = face(first, person=people[0])
        right = face(second, person=people[1])
        frames.append([left] if t in hidden else [left, right])
    return frames


def ids_of_people(ids: list[list[int]], frames: list[list[Observation]]) -> tuple[set[int], set[int]]:
    """Ids that the first and the second person ever had."""
    first = {row[0] for row in ids if row[0]}
    second = {row[1] for row, items in zip(ids, frames, strict=True) if len(items) > 1 and row[1]}
    return first, second


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("hidden", [range(0), range(26, 35)])
def test_people_who_look_different_never_share_an_id_after_crossing(swap: bool, hidden: range) -> None:
    frames = crossing((RED, BLUE), swap_at_middle=swap, hidden=hidden)
    first, second = ids_of_people(follow(frames)[0], frames)
    assert not first & second


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("hidden", [range(0), range(26, 35)])
def test_people_who_look_the_same_get_new_ids_after_crossing(swap: bool, hidden: range) -> None:
    frames = crossing((RED, RED), swap_at_middle=swap, hidden=hidden)
    ids, ended = follow(frames)
    assert {1, 2} <= set(ended)
    assert not {1, 2} & set(ids[-1])


def test_people_who_pass_at_a_distance_keep_their_ids() -> None:
    frames = [[face(50 + 6 * t, 80, person=RED), face(350 - 6 * t, 180, person=RED)] for t in range(50)]
    ids, ended = follow(frames)
    assert ids == [[1, 2]] * 50
    assert ended == []


def test_people_side_by_side_keep_their_ids() -> None:
    jitter = np.random.default_rng(0).normal(0, 1.5, (60, 2))
    frames = [[face(100 + a, person=RED), face(150 + b, person=BLUE)] for a, b in jitter.tolist()]
    assert follow(frames)[0] == [[1, 2]] * 60


def test_people_side_by_side_without_thumbnails_keep_their_ids() -> None:
    frames = [[face(100 + t % 3), face(150 - t % 2)] for t in range(40)]
    assert follow(frames)[0] == [[1, 2]] * 40


def test_somebody_who_takes_the_place_of_one_who_left_is_a_new_person() -> None:
    frames = [[face(50, person=RED)]] * 5 + [[]] * 3 + [[face(60, person=BLUE)]] * 40
    ids, _ = follow(frames)
    assert [row[0] for row in ids if row] == [1] * 5 + [2] * 40


def test_a_cut_ends_all_tracks_and_ids_are_not_used_again() -> None:
    tracker = Tracker()
    assert sorted(tracker.step([face(50), face(200)], 0.0).assigned) == [1, 2]
    assert sorted(tracker.end_all()) == [1, 2]
    assert sorted(tracker.step([face(50), face(200)], 0.04).assigned) == [3, 4]


def test_uneven_and_broken_time_stamps_do_no_harm() -> None:
    tracker = Tracker()
    for time_seconds in (0.0, 0.04, 0.04, 0.02, 0.2, 0.21):
        assert list(tracker.step([face(50)], time_seconds).assigned) == [1]


def test_half_face_and_nested_box_join_the_surest_one() -> None:
    whole = Observation(np.array([100, 100, 140, 150], np.float32), 0.95)
    half = Observation(np.array([98, 98, 122, 150], np.float32), 0.6)
    kept = without_duplicates([half, whole], 0.5)
    assert len(kept) == 1
    assert kept[0].box_xyxy_px.tolist() == [100, 100, 140, 150]
    assert kept[0].cover.tolist() == [98, 98, 140, 150]


def test_unsure_duplicate_is_dropped_without_growing_the_cover() -> None:
    whole = Observation(np.array([100, 100, 140, 150], np.float32), 0.95)
    half = Observation(np.array([98, 98, 122, 150], np.float32), 0.3)
    (kept,) = without_duplicates([half, whole], 0.5)
    assert kept.cover.tolist() == [100, 100, 140, 150]


def test_small_face_inside_a_large_box_is_another_face() -> None:
    large = Observation(np.array([0, 0, 200, 200], np.float32), 0.6)
    small = Observation(np.array([80, 80, 120, 120], np.float32), 0.9)
    assert len(without_duplicates([large, small], 0.5)) == 2


@pytest.mark.parametrize("settings", [{"continue_threshold": 0.6}, {"lost_seconds": -1.0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)).split("_")[0]):
        Tracker(**settings)
