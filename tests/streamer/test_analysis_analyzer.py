"""The whole stage with a scripted detector: coverage, identities, cuts, cadence, and failing closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from streamer.analysis import Analyzer, AnalyzerSettings, DetectionCadence, frames_for
from streamer.frame import AnalyzedFrame, FaceSource, Frame

MakeFrame = Callable[..., Frame]
SIZE = (640, 360)


@dataclass
class Found:
    """What a detector answers; analysis px."""

    box_xyxy_px: np.ndarray
    score: float = 0.9
    points_xy_px: np.ndarray | None = None


def found(x: float, y: float, *, size: float = 40.0, score: float = 0.9) -> Found:
    return Found(np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32), score)


Script = Callable[[int], list[Found]]


class Stage:
    """An analyzer at half the display size, whose detector answers by script of the frame's index."""

    def __init__(
        self,
        script: Script,
        *,
        cadence: DetectionCadence | None = None,
        picture: Callable[[int], np.ndarray] | None = None,
        **settings: float,
    ) -> None:
        self.detected_on: list[int] = []
        self._script = script
        self._index = -1
        # Flickers: a picture that does not change is not looked at again.
        self._picture = picture or (lambda index: np.full((180, 320, 3), 90 + 20 * (index % 2), np.uint8))
        self.analyzer = Analyzer(
            self._detect, self._make_picture, AnalyzerSettings(**settings), cadence=cadence
        )

    def _make_picture(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        self._index = frame.index
        return self._picture(frame.index), np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]])

    def _detect(self, picture_rgb_u8: np.ndarray) -> list[Found]:
        assert picture_rgb_u8.shape[2] == 3
        self.detected_on.append(self._index)
        return self._script(self._index)

    def run(self, frames: list[Frame]) -> list[AnalyzedFrame]:
        out = [item for frame in frames for item in self.analyzer.push(frame)] + self.analyzer.flush()
        assert [item.frame for item in out] == frames
        return out


def textured(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3))
    return np.kron(coarse, np.ones((20, 20, 1))).astype(np.uint8)


def test_detections_arrive_in_display_px(make_frame: MakeFrame) -> None:
    stage = Stage(lambda index: [found(100, 50)], depth_frames=0)
    (out,) = stage.analyzer.push(make_frame(0))
    np.testing.assert_allclose(out.faces[0].box_xyxy_px, [160.5, 60.5, 240.5, 140.5], atol=2.0)
    (latest,) = stage.analyzer.latest_faces
    np.testing.assert_allclose(latest.box_xyxy_px, [160.5, 60.5, 240.5, 140.5])
    assert (latest.track_id, latest.source) == (1, FaceSource.DETECTED)


def test_latest_faces_are_those_of_the_frame_just_pushed(make_frame: MakeFrame) -> None:
    stage = Stage(lambda index: [found(100, 50)] if index == 1 else [], depth_frames=5)
    seen = []
    for index in range(3):
        stage.analyzer.push(make_frame(index))
        seen.append(len(stage.analyzer.latest_faces))
    assert seen == [0, 1, 0]


def test_a_cut_ends_tracks_and_detects_at_once(make_frame: MakeFrame) -> None:
    cadence = DetectionCadence(5)
    stage = Stage(
        lambda index: [found(100, 50)],
        cadence=cadence,
        picture=lambda index: textured(0 if index < 7 else 1),
        depth_frames=6,
    )
    out = stage.run([make_frame(index) for index in range(15)])
    assert stage.detected_on == [0, 5, 7, 12]
    assert [item.frame.index for item in out if item.scene_cut] == [7]
    assert [{face.track_id for face in item.faces} for item in out] == [{1}] * 7 + [{2}] * 8
    assert out[7].ended_track_ids == [1]


def test_a_source_that_reconnects_ends_tracks(make_frame: MakeFrame) -> None:
    stage = Stage(lambda index: [found(100, 50)])
    out = stage.run([make_frame(index, discontinuity=index == 4) for index in range(8)])
    assert [item.faces[0].track_id for item in out] == [1] * 4 + [2] * 4
    assert [item.scene_cut for item in out] == [index == 4 for index in range(8)]


def test_a_change_of_size_ends_tracks(make_frame: MakeFrame) -> None:
    stage = Stage(lambda index: [found(100, 50)])
    frames = [make_frame(index, size=SIZE if index < 4 else (1280, 720)) for index in range(8)]
    assert [item.faces[0].track_id for item in stage.run(frames)] == [1] * 4 + [2] * 4


def test_frames_between_detections_are_interpolated(make_frame: MakeFrame) -> None:
    stage = Stage(lambda index: [found(100 + 2 * index, 50)], cadence=DetectionCadence(3), depth_frames=6)
    out = stage.run([make_frame(index) for index in range(13)])
    for item in out:
        centre = item.faces[0].box_xyxy_px[[0, 2]].mean()
        assert abs(centre - (200.5 + 4 * item.frame.index)) < 2.0
    assert [item.faces[0].source for item in out[:4]] == [
        FaceSource.DETECTED,
        FaceSource.INTERPOLATED,
        FaceSource.INTERPOLATED,
        FaceSource.DETECTED,
    ]


def failing(on: range, answer: Callable[[], list[Found]]) -> Script:
    return lambda index: answer() if index in on else [found(100, 50)]


def raises() -> list[Found]:
    raise RuntimeError("engine is gone")


def answers_nan() -> list[Found]:
    return [found(100, 50), Found(np.array([0, np.nan, 4, 5], np.float32))]


def answers_nan_score() -> list[Found]:
    return [found(100, 50, score=float("nan"))]


def answers_nonsense() -> list[Found]:
    return [Found(np.zeros(3, np.float32))]


@pytest.mark.parametrize("answer", [raises, answers_nan, answers_nan_score, answers_nonsense])
def test_frames_with_a_failed_detection_are_flagged_and_no_others(
    make_frame: MakeFrame, answer: Callable[[], list[Found]]
) -> None:
    stage = Stage(failing(range(4, 7), answer), depth_frames=3)
    out = stage.run([make_frame(index) for index in range(12)])
    assert [item.frame.index for item in out if item.detector_failed] == [4, 5, 6]
    assert stage.analyzer.failures == 3


def test_after_a_failure_the_detector_is_asked_on_every_frame_until_it_answers(make_frame: MakeFrame) -> None:
    stage = Stage(failing(range(4, 6), raises), cadence=DetectionCadence(4), depth_frames=3)
    out = stage.run([make_frame(index) for index in range(12)])
    assert stage.detected_on == [0, 4, 5, 6, 10]
    assert [item.frame.index for item in out if item.detector_failed] == [4, 5]


def test_a_picture_that_cannot_be_made_is_a_failure(make_frame: MakeFrame) -> None:
    def picture(index: int) -> np.ndarray:
        if index == 2:
            raise ValueError("no such pixel format")
        return np.full((180, 320, 3), 90, np.uint8)

    out = Stage(lambda index: [], picture=picture).run([make_frame(index) for index in range(5)])
    assert [item.detector_failed for item in out] == [False, False, True, False, False]


def test_a_stale_detector_is_flagged(make_frame: MakeFrame) -> None:
    stage = Stage(lambda index: [], cadence=DetectionCadence(10), stale_after_frames=6, depth_frames=0)
    out = stage.run([make_frame(index) for index in range(12)])
    assert [item.frame.index for item in out if item.detector_failed] == [7, 8, 9]


def random_walks(seed: int, people: int, count: int) -> list[list[Found]]:
    """Faces that come, wander, drop out and go, in analysis px, with random scores.

    Some leave the picture.
    """
    random = np.random.default_rng(seed)
    frames: list[list[Found]] = [[] for _ in range(count)]
    for _ in range(people):
        first = int(random.integers(0, count))
        last = first + int(random.integers(1, 40))
        place, velocity = random.uniform((0, 0), (320, 180)), random.normal(0, 2.5, 2)
        size = float(np.exp(random.uniform(np.log(8), np.log(90))))
        for index in range(first, min(last, count)):
            velocity += random.normal(0, 0.4, 2)
            place = place + velocity
            if random.random() < 0.8:
                score = float(random.uniform(0.1, 1.0))
                frames[index].append(
                    found(*(place + random.normal(0, 0.02 * size, 2)), size=size, score=score)
                )
    return frames


@pytest.mark.parametrize("seed", range(5))
def test_every_sure_detection_of_1000_random_tracks_is_covered(make_frame: MakeFrame, seed: int) -> None:
    count = 300
    script = random_walks(seed, 200, count)
    depth = [0, 3, 12, 12, 25][seed]
    stage = Stage(lambda index: script[index], depth_frames=depth, hold_frames=6)
    alive_after: dict[int, int] = {}
    ended: list[int] = []
    ids: list[int] = []
    for item in stage.run([make_frame(index) for index in range(count)]):
        for face in item.faces:
            assert face.track_id not in ended
            if face.track_id not in alive_after:
                ids.append(face.track_id)
            alive_after[face.track_id] = item.frame.index
        assert len({face.track_id for face in item.faces}) == len(item.faces)
        ended += item.ended_track_ids
        for one in script[item.frame.index]:
            if one.score >= 0.5:
                assert covered(one.box_xyxy_px * 2.0 + 0.5, item) >= 0.95
    assert len(ended) == len(set(ended))
    assert min(ids) > 0


def covered(box: np.ndarray, item: AnalyzedFrame) -> float:
    """Share of a box's visible part inside the best single face."""
    low, high = np.array([-0.5, -0.5]), np.array(SIZE) - 0.5
    box = np.concatenate([np.clip(box[:2], low, high), np.clip(box[2:], low, high)])
    sides = box[2:] - box[:2]
    if min(sides) <= 0.6:
        return 1.0
    best = 0.0
    for face in item.faces:
        other = face.box_xyxy_px
        common = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        best = max(best, float(np.prod(np.maximum(common, 0.0)) / np.prod(sides)))
    return best


def still(index: int) -> np.ndarray:
    """A room and the noise of a camera."""
    noise = np.random.default_rng(index).normal(0.0, 1.5, (180, 320, 3))
    room = np.linspace(40, 200, 320)[None, :, None]
    return np.clip(room + noise, 0, 255).astype(np.uint8)


def entered(index: int) -> np.ndarray:
    """The same, with something of 8 px in it from frame 6 on."""
    picture = still(index)
    if index >= 6:
        picture[100:108, 50:58] += 15
    return picture


def test_an_unchanged_room_is_looked_at_again_within_the_look_ahead_only(make_frame: MakeFrame) -> None:
    stage = Stage(lambda _: [], picture=still, depth_frames=5)
    for index in range(14):
        stage.analyzer.push(make_frame(index, size=SIZE))
    assert stage.detected_on == [0, 6, 12]


def test_whatever_changes_in_the_room_is_looked_at_at_once(make_frame: MakeFrame) -> None:
    stage = Stage(lambda _: [], picture=entered, depth_frames=30)
    for index in range(9):
        stage.analyzer.push(make_frame(index, size=SIZE))
    assert stage.detected_on == [0, 6]


def test_a_room_with_a_face_or_without_look_ahead_is_looked_at_in_every_frame(make_frame: MakeFrame) -> None:
    with_face = Stage(lambda _: [found(100, 80)], picture=still, depth_frames=5)
    without_look_ahead = Stage(lambda _: [], picture=still, depth_frames=0)
    for stage in (with_face, without_look_ahead):
        for index in range(6):
            stage.analyzer.push(make_frame(index, size=SIZE))
        assert stage.detected_on == [0, 1, 2, 3, 4, 5]


def test_a_face_that_was_overlooked_in_a_still_room_is_covered_back_to_the_last_look(
    make_frame: MakeFrame,
) -> None:
    stage = Stage(lambda index: [found(100, 80)] if index >= 6 else [], picture=still, depth_frames=5)
    ready = []
    for index in range(9):
        ready += stage.analyzer.push(make_frame(index, size=SIZE))
    ready += stage.analyzer.flush()
    assert stage.detected_on == [0, 6, 7, 8]
    assert [bool(item.faces) for item in ready] == [False, *[True] * 8]


def test_a_still_room_is_looked_at_within_the_seconds_that_frames_wait(make_frame: MakeFrame) -> None:
    """A live source waits for seconds, not frames: at a low rate few frames wait."""
    stage = Stage(lambda _: [], picture=still, depth_frames=24, depth_seconds=0.4)
    for index in range(13):
        stage.analyzer.push(make_frame(index, size=SIZE, frames_per_second=10))
    assert stage.detected_on == [0, 4, 8, 12]


def test_between_looks_at_a_still_room_no_more_frames_pass_than_the_look_ahead_covers(
    make_frame: MakeFrame,
) -> None:
    stage = Stage(
        lambda index: [found(100, 80)] if index >= 1 else [],
        picture=still,
        depth_frames=5,
        cadence=DetectionCadence(4),
    )
    ready = []
    for index in range(12):
        ready += stage.analyzer.push(make_frame(index, size=SIZE))
    ready += stage.analyzer.flush()
    assert all(item.faces for item in ready)


def test_a_look_at_a_still_room_is_left_out_only_where_the_cadence_may_rise_after_it(
    make_frame: MakeFrame,
) -> None:
    """Overload makes a look every frame one in six: with five frames that wait, none may be left out before that."""
    cadence = DetectionCadence(1, largest_interval=6)
    stage = Stage(
        lambda index: [found(100, 80)] if index >= 1 else [], picture=still, depth_frames=5, cadence=cadence
    )
    ready = []
    for index in range(12):
        if index == 4:
            cadence.measured(detect_seconds=1.0, other_seconds=0.0, frame_seconds=0.04)
        ready += stage.analyzer.push(make_frame(index, size=SIZE))
    ready += stage.analyzer.flush()
    assert cadence.interval == 6
    assert all(item.faces for item in ready)


def test_a_still_room_is_not_taken_for_a_silent_detector(make_frame: MakeFrame) -> None:
    stage = Stage(lambda _: [], picture=still, depth_frames=50, stale_after_frames=6)
    for index in range(20):
        stage.analyzer.push(make_frame(index, size=SIZE))
    assert not any(item.detector_failed for item in stage.analyzer.flush())


def test_cadence_rises_under_load_and_falls_when_there_is_room() -> None:
    cadence = DetectionCadence(1, largest_interval=6)
    for _ in range(100):
        cadence.measured(detect_seconds=0.06, other_seconds=0.02, frame_seconds=0.04)
    assert cadence.interval == 3
    for _ in range(200):
        cadence.measured(detect_seconds=0.01, other_seconds=0.02, frame_seconds=0.04)
    assert cadence.interval == 1


def test_cadence_stays_within_its_limit_when_nothing_fits() -> None:
    cadence = DetectionCadence(1, largest_interval=4)
    for _ in range(100):
        cadence.measured(detect_seconds=0.5, other_seconds=0.5, frame_seconds=0.04)
    assert cadence.interval == 4


def test_fixed_cadence_ignores_load() -> None:
    cadence = DetectionCadence(2)
    for _ in range(100):
        cadence.measured(detect_seconds=0.5, other_seconds=0.5, frame_seconds=0.04)
    assert [cadence.is_due(scene_cut=False) for _ in range(5)] == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("seconds", "rate", "frames"),
    [(0.4, 25.0, 10), (0.0, 30.0, 0), (0.4, 12.5, 5), (0.41, 25.0, 11), (5, 60, 120)],
)
def test_seconds_become_frames_that_span_them(seconds: float, rate: float, frames: int) -> None:
    assert frames_for(seconds, rate) == frames
