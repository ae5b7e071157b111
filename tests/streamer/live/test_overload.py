"""With too little time, looking gives way in steps; no face may stay unseen for longer than the look-ahead."""

from __future__ import annotations

import itertools

from streamer.live.overload import LARGEST_INTERVAL_FRAMES, LiveCadence, OverloadControl


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _run(control: OverloadControl, clock: Clock, seconds: float, *, detect: float, behind: bool) -> None:
    for _ in range(round(seconds * 25)):
        clock.now += 0.04
        control.measured(detect_seconds=detect, other_seconds=0.01, frame_seconds=0.04, behind=behind)


def _control(look_ahead_seconds: float = 0.5) -> tuple[OverloadControl, LiveCadence, Clock, list[int]]:
    levels: list[int] = []
    clock, cadence = Clock(), LiveCadence(1, look_ahead_seconds)
    return OverloadControl("door", cadence, 1, 640, levels.append, clock), cadence, clock, levels


def test_cadence_gives_way_first_then_the_size_and_both_come_back() -> None:
    control, cadence, clock, levels = _control()
    _run(control, clock, 2.0, detect=0.02, behind=False)
    assert (control.level, cadence.interval, control.long_side_px) == (0, 1, 640)
    _run(control, clock, 2.0, detect=0.10, behind=False)
    assert control.level == 1
    assert 1 < cadence.interval <= LARGEST_INTERVAL_FRAMES
    assert control.long_side_px == 640
    _run(control, clock, 12.0, detect=0.40, behind=True)
    assert (control.level, control.long_side_px) == (2, 320)
    _run(control, clock, 60.0, detect=0.005, behind=False)
    assert (control.level, cadence.interval, control.long_side_px) == (0, 1, 640)
    assert levels == [1, 2, 1, 0] or levels == [1, 2, 0]


def test_it_is_late_while_frames_have_been_let_go_for_a_second() -> None:
    control, _, clock, _ = _control()
    _run(control, clock, 0.8, detect=0.02, behind=True)
    assert not control.is_late
    _run(control, clock, 0.4, detect=0.02, behind=True)
    assert control.is_late
    _run(control, clock, 0.04, detect=0.02, behind=False)
    assert not control.is_late


def test_a_full_queue_alone_does_not_shrink_the_picture_while_the_cadence_can_still_give() -> None:
    control, cadence, clock, _ = _control()
    _run(control, clock, 10.0, detect=0.02, behind=True)
    assert cadence.interval < cadence.largest_interval
    assert control.long_side_px == 640


def _due(cadence: LiveCadence, times: list[float]) -> list[bool]:
    answers = []
    for at in times:
        cadence.frame_at(at)
        answers.append(cadence.is_due(scene_cut=False))
    return answers


def _slow(cadence: LiveCadence) -> LiveCadence:
    for _ in range(200):
        cadence.measured(detect_seconds=1.0, other_seconds=0.1, frame_seconds=0.04)
    assert cadence.interval == cadence.largest_interval
    return cadence


def test_however_slow_detection_is_it_comes_within_the_look_ahead() -> None:
    cadence = _slow(LiveCadence(1, 0.5))
    full_rate = [index * 0.04 for index in range(100)]
    assert sum(_due(cadence, full_rate)) <= 20
    cadence = _slow(LiveCadence(1, 0.5))
    # Four of five frames are let go: what stood for 0.2 s each is looked at far more often.
    sparse = [index * 0.2 for index in range(50)]
    answers = _due(cadence, sparse)
    looked_at = [at for at, due in zip(sparse, answers, strict=True) if due]
    gaps = [later - earlier for earlier, later in itertools.pairwise(looked_at)]
    assert max(gaps) <= 0.5


def test_without_a_look_ahead_every_frame_is_looked_at() -> None:
    assert all(_due(_slow(LiveCadence(1, 0.0)), [index * 0.04 for index in range(30)]))
