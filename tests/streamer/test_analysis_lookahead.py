"""Every frame comes out once and in order, and every face is covered before, between and after its
detections.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from streamer.analysis import LookAhead, Observation
from streamer.analysis.lookahead import LEAST_HELD_FRAMES
from streamer.frame import AnalyzedFrame, FaceSource, Frame

MakeFrame = Callable[..., Frame]


def face(x: float, y: float = 100.0, *, size: float = 40.0, points: bool = False) -> Observation:
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    five = np.array([[x - 8, y], [x + 8, y], [x, y + 5], [x - 6, y + 12], [x + 6, y + 12]], np.float32)
    return Observation(box, 0.9, points_xy_px=five if points else None)


def run(
    make_frame: MakeFrame,
    script: dict[int, dict[int, Observation]],
    *,
    count: int = 30,
    depth: int = 8,
    backfill: int = 8,
    hold: int = 5,
    cuts: tuple[int, ...] = (),
    ended: dict[int, list[int]] | None = None,
) -> list[AnalyzedFrame]:
    """Push `count` frames.

    `script` gives track observations per frame. Returns all frames, checked for order.
    """
    ahead = LookAhead(depth_frames=depth, backfill_frames=backfill, hold_frames=hold)
    out: list[AnalyzedFrame] = []
    for index in range(count):
        out += ahead.push(
            make_frame(index),
            script.get(index, {}),
            scene_cut=index in cuts,
            ended_track_ids=(ended or {}).get(index, []),
        )
        assert len(out) == max(0, index + 1 - depth)
    out += ahead.flush()
    assert [item.frame.index for item in out] == list(range(count))
    return out


def sources(frames: list[AnalyzedFrame], track_id: int = 1) -> dict[int, FaceSource]:
    return {
        item.frame.index: found.source
        for item in frames
        for found in item.faces
        if found.track_id == track_id
    }


def box_at(frames: list[AnalyzedFrame], index: int) -> np.ndarray:
    (found,) = frames[index].faces
    return found.box_xyxy_px


def test_late_detection_is_covered_back_and_forth(make_frame: MakeFrame) -> None:
    found = sources(run(make_frame, {12: {1: face(100)}, 13: {1: face(102)}}))
    assert [index for index, source in found.items() if source is FaceSource.BACKFILLED] == list(range(4, 12))
    assert [index for index, source in found.items() if source is FaceSource.HELD] == list(range(14, 19))
    assert sorted(found) == list(range(4, 19))


def test_backfill_follows_the_motion_backwards_and_grows(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {t: {1: face(200 + 4 * (t - 12))} for t in range(12, 25)}, depth=12)
    widths = [float(box_at(frames, t)[2] - box_at(frames, t)[0]) for t in range(4, 13)]
    assert (np.diff(widths) < 0).all()
    for t in range(7, 12):
        true = face(200 + 4 * (t - 12)).box_xyxy_px
        assert box_at(frames, t)[0] <= true[0] + 1
        assert box_at(frames, t)[2] >= true[2] - 1


def test_gap_is_interpolated_with_points(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {10: {1: face(100, points=True)}, 16: {1: face(160, points=True)}})
    assert [sources(frames)[t] for t in range(11, 16)] == [FaceSource.INTERPOLATED] * 5
    middle = frames[13].faces[0]
    assert middle.points_xy_px is not None
    np.testing.assert_allclose(middle.points_xy_px, face(130, points=True).points_xy_px, atol=1e-3)
    assert middle.box_xyxy_px[0] < 110
    assert middle.box_xyxy_px[2] > 150


def test_a_gap_as_long_as_the_depth_has_no_hole(make_frame: MakeFrame) -> None:
    found = sources(run(make_frame, {5: {1: face(100)}, 14: {1: face(100)}}, depth=8, hold=0))
    assert [found[t] for t in range(6, 14)] == [FaceSource.INTERPOLATED] * 8


def test_longer_gap_is_held_then_interpolated(make_frame: MakeFrame) -> None:
    found = sources(run(make_frame, {2: {1: face(100)}, 16: {1: face(100)}}, depth=4, hold=3))
    assert [found.get(t) for t in range(3, 16)] == [FaceSource.HELD] * 3 + [None] * 6 + [
        FaceSource.INTERPOLATED
    ] * 4


def test_no_guess_crosses_a_cut(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {9: {1: face(100)}, 12: {2: face(300)}}, cuts=(11,), ended={11: [1]})
    assert max(sources(frames, 1)) == 10
    assert min(sources(frames, 2)) == 11
    assert [item.frame.index for item in frames if item.scene_cut] == [11]
    assert frames[11].ended_track_ids == [1]


def test_an_ended_track_is_told_once_after_its_last_frame(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {9: {1: face(100)}}, hold=5, ended={13: [1]})
    told = [(item.frame.index, item.ended_track_ids) for item in frames if item.ended_track_ids]
    assert told == [(15, [1])]
    assert max(sources(frames)) == 14


def test_without_depth_frames_come_at_once_and_faces_are_held(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {3: {1: face(100)}, 6: {1: face(100)}}, depth=0, hold=4)
    expected = {3: FaceSource.DETECTED, 6: FaceSource.DETECTED}
    expected |= dict.fromkeys((4, 5, 7, 8, 9, 10), FaceSource.HELD)
    assert sources(frames) == expected


def test_boxes_are_clipped_and_dropped_outside(make_frame: MakeFrame) -> None:
    walk_out = {t: {1: face(600 + 12 * t)} for t in range(4)}
    frames = run(make_frame, walk_out, count=12, hold=8)
    for item in frames:
        for found in item.faces:
            assert found.box_xyxy_px[0] >= -0.5
            assert found.box_xyxy_px[2] <= 639.5
    gone = run(make_frame, {0: {1: face(700)}}, count=3)
    assert [item.faces for item in gone] == [[], [], []]


def test_a_box_that_ends_just_short_of_the_border_reaches_it(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {0: {1: face(23, 337)}, 1: {1: face(40, 320)}}, count=2)
    assert box_at(frames, 0)[[0, 3]].tolist() == [-0.5, 359.5]
    assert 15 < box_at(frames, 1)[0] < 20


def test_held_face_under_another_track_is_not_painted_twice(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {5: {1: face(100)}, **{t: {2: face(102)} for t in range(6, 12)}}, hold=5)
    assert [[found.track_id for found in frames[t].faces] for t in range(6, 11)] == [[2]] * 5
    assert [[found.track_id for found in frames[t].faces] for t in (4, 5, 12)] == [[1, 2], [1], [2]]


def test_held_face_in_the_corner_of_another_ones_box_is_still_covered(make_frame: MakeFrame) -> None:
    """Only an oval is painted of the box in front."""
    front = {t: {2: face(200, 180, size=160)} for t in range(6, 12)}
    frames = run(make_frame, {5: {1: face(138, 118, size=30)}, **front}, hold=5)
    behind, before = frames[7].faces
    assert (behind.track_id, behind.plain) == (1, True)
    np.testing.assert_allclose(behind.box_xyxy_px, face(138, 118, size=30).box_xyxy_px, atol=0.5)
    assert (before.track_id, before.plain) == (2, False)
    middle = run(make_frame, {5: {1: face(190, 170, size=30)}, **front}, hold=5)
    assert [found.track_id for found in middle[7].faces] == [2]


def test_two_ovals_may_cover_a_guessed_one_together(make_frame: MakeFrame) -> None:
    pair = {t: {2: face(93, size=40), 3: face(107, size=40)} for t in range(6, 12)}
    frames = run(make_frame, {5: {1: face(100, size=40)}, **pair}, hold=5)
    assert [found.track_id for found in frames[7].faces] == [2, 3]
    alone = {t: {2: face(93, size=40)} for t in range(6, 12)}
    frames = run(make_frame, {5: {1: face(100, size=40)}, **alone}, hold=5)
    assert [(found.track_id, found.plain) for found in frames[7].faces] == [(1, True), (2, False)]


def test_smoothing_calms_jitter_and_never_uncovers(make_frame: MakeFrame) -> None:
    jitter = np.random.default_rng(1).normal(0, 1.0, 60)
    frames = run(make_frame, {t: {1: face(100 + jitter[t])} for t in range(60)}, count=60)
    centres = np.array([box_at(frames, t)[[0, 2]].mean() for t in range(60)])
    assert np.abs(np.diff(centres)).mean() < 0.7 * np.abs(np.diff(jitter)).mean()
    for t in range(60):
        assert share_covered(face(100 + jitter[t]).box_xyxy_px, [box_at(frames, t)]) >= 0.95


def test_smoothing_does_not_lag_behind_motion(make_frame: MakeFrame) -> None:
    frames = run(make_frame, {t: {1: face(100 + 5 * t)} for t in range(30)})
    centres = np.array([box_at(frames, t)[[0, 2]].mean() for t in range(30)])
    np.testing.assert_allclose(centres, 100 + 5 * np.arange(30), atol=0.6)


def test_failure_flag_travels_with_its_frame(make_frame: MakeFrame) -> None:
    ahead = LookAhead(depth_frames=2, backfill_frames=2, hold_frames=2)
    out = [
        item for t in range(6) for item in ahead.push(make_frame(t), {}, detector_failed=t == 3)
    ] + ahead.flush()
    assert [item.frame.index for item in out if item.detector_failed] == [3]


def share_covered(box: np.ndarray, covers: list[np.ndarray]) -> float:
    """Share of a box's visible part under the best single cover."""
    low, high = np.array([-0.5, -0.5]), np.array([639.5, 359.5])
    box = np.concatenate([np.clip(box[:2], low, high), np.clip(box[2:], low, high)])
    whole = np.prod(box[2:] - box[:2])
    if whole <= 0:
        return 1.0
    best = 0.0
    for cover in covers:
        sides = np.minimum(box[2:], cover[2:]) - np.maximum(box[:2], cover[:2])
        best = max(best, float(np.prod(np.maximum(sides, 0.0)) / whole))
    return best


def test_broken_time_stamps_do_no_harm(make_frame: MakeFrame) -> None:
    ahead = LookAhead(depth_frames=3, backfill_frames=3, hold_frames=3)
    out = []
    for position, index in enumerate([0, 1, 1, 0, 5, 4, 6, 7]):
        observed = {1: face(100 + position)} if position % 2 else {}
        out += ahead.push(make_frame(index), observed)
    out += ahead.flush()
    assert len(out) == 8
    assert all(np.isfinite(found.box_xyxy_px).all() for item in out for found in item.faces)


def test_a_live_source_that_lets_frames_go_holds_by_time_and_for_a_few_frames_at_least(
    make_frame: MakeFrame,
) -> None:
    """`hold_frames` are meant at the source's rate; of every tenth frame they would last ten times as long."""
    held = {}
    for step in (1, 5, 20):
        ahead = LookAhead(depth_frames=2, backfill_frames=2, hold_frames=12, hold_seconds=1.0)
        out: list[AnalyzedFrame] = []
        for index in range(30):
            # 25 frames a second, of which one in `step` comes.
            out += ahead.push(make_frame(index * step), {1: face(100)} if index == 3 else {})
        held[step] = sum(found is FaceSource.HELD for found in sources(out).values())
    assert held == {1: 12, 5: 5, 20: LEAST_HELD_FRAMES}


@pytest.mark.parametrize("name", ["depth_frames", "backfill_frames", "hold_frames"])
def test_negative_settings_are_refused(name: str) -> None:
    settings = {"depth_frames": 1, "backfill_frames": 1, "hold_frames": 1, name: -1}
    with pytest.raises(ValueError, match=name):
        LookAhead(**settings)
