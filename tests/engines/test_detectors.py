"""Detectors find the faces that are there, place eyes and boxes right, and never pass on rubbish."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from engines.detectors import DETECTORS, create_detector, detect_tiled
from engines.detectors.base import Detection, FaceDetector, InputBuffer, finish, suppress
from engines.detectors.centerface import CenterFaceDetector
from engines.detectors.retinaface import RetinaFaceDetector, anchors_px
from engines.detectors.tiling import tile_starts
from engines.detectors.yunet import YuNetDetector
from engines.errors import EngineError

OWN = ("retinaface", "yunet", "centerface")


@pytest.fixture(scope="module", params=OWN)
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    return create_detector(request.param, score_threshold=0.5)


def nearest(faces: list[Detection], eyes: Any) -> Detection:
    """The detection whose eyes lie nearest to those given."""
    return min(faces, key=lambda face: float(np.abs(face.points_xy_px[:2] - eyes).sum()))


@pytest.mark.parametrize(("size", "side_px"), [((640, 360), 240), ((641, 363), 240), ((640, 360), 120)])
def test_every_face_is_found_where_it_is(
    detector: FaceDetector, people: Any, scene_of: Any, size: tuple[int, int], side_px: int
) -> None:
    scene = scene_of(people[:2], size=size, side_px=side_px)
    faces = detector.detect(scene.picture_rgb_u8)
    assert len(faces) == 2
    assert all(faces[i].score >= faces[i + 1].score for i in range(len(faces) - 1))
    for index in range(2):
        eyes = scene.eyes(index)
        face = nearest(faces, eyes)
        between = np.hypot(*(eyes[1] - eyes[0]))
        assert np.hypot(*(face.points_xy_px[:2] - eyes).T).max() < 0.15 * between
        mesh = scene.meshes_xy_px[index]
        oval = np.array([*mesh.min(axis=0), *mesh.max(axis=0)])
        assert np.abs(face.box_xyxy_px - oval).max() < 0.5 * between


def test_points_are_image_left_first(detector: FaceDetector, people: Any, scene_of: Any) -> None:
    points = detector.detect(scene_of(people[:1]).picture_rgb_u8)[0].points_xy_px
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[3, 0] < points[4, 0]
    assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()


def test_an_empty_scene_has_no_faces(detector: FaceDetector) -> None:
    assert detector.detect(np.full((180, 320, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("shape", [(0, 20, 3), (1, 1, 3), (7, 300, 3), (33, 31, 3)])
def test_any_picture_size_is_taken(detector: FaceDetector, shape: tuple[int, int, int]) -> None:
    detector.detect(np.zeros(shape, np.uint8))


def test_boxes_stay_inside_the_picture(detector: FaceDetector, people: Any, scene_of: Any) -> None:
    picture = scene_of(people[:1], side_px=300).picture_rgb_u8
    left = int(scene_of(people[:1], side_px=300).eyes(0)[0, 0]) - 20
    cut = np.ascontiguousarray(picture[:, left:])
    faces = detector.detect(cut)
    assert faces
    for face in faces:
        x1, y1, x2, y2 = face.box_xyxy_px
        assert 0 <= x1 < x2 <= cut.shape[1]
        assert 0 <= y1 < y2 <= cut.shape[0]


def test_an_earlier_larger_picture_leaves_no_trace(
    detector: FaceDetector, people: Any, scene_of: Any
) -> None:
    """The input buffer is kept: what lies beyond a smaller picture must not be seen."""
    scene = scene_of(people[:1], size=(320, 320), side_px=300)
    detector.detect(scene.picture_rgb_u8)
    assert detector.detect(np.full((300, 300, 3), 128, np.uint8)) == []
    again = detector.detect(scene.picture_rgb_u8)
    fresh = create_detector(_name(detector), score_threshold=0.5).detect(scene.picture_rgb_u8)
    assert np.allclose(again[0].box_xyxy_px, fresh[0].box_xyxy_px)


def _name(detector: FaceDetector) -> Any:
    return type(detector).__name__.removesuffix("Detector").lower()


def test_a_low_threshold_gives_more(people: Any, scene_of: Any) -> None:
    picture = cv2.GaussianBlur(scene_of(people, side_px=60).picture_rgb_u8, (0, 0), 2.0)
    counts = [
        len(create_detector("retinaface", score_threshold=limit).detect(picture)) for limit in (0.05, 0.9)
    ]
    assert counts[0] >= counts[1]
    scores = [f.score for f in create_detector("retinaface", score_threshold=0.05).detect(picture)]
    assert all(score >= 0.05 for score in scores)


def test_the_buffer_is_clean_around_a_smaller_picture() -> None:
    buffer = InputBuffer(32, (1.0, 2.0, 3.0), bgr=True)
    first = buffer.fill(np.full((32, 64, 3), 200, np.uint8))
    second = buffer.fill(np.full((20, 40, 3), 7, np.uint8))
    assert second is first
    assert np.array_equal(second[0, :, 0, 0], [6.0, 5.0, 4.0])
    assert not second[..., 20:, :].any()
    assert not second[..., 40:].any()


@pytest.mark.parametrize(
    ("detector_class", "pixel"),
    [
        (RetinaFaceDetector, [30 - 104, 20 - 117, 10 - 123]),
        (YuNetDetector, [30, 20, 10]),
        (CenterFaceDetector, [10, 20, 30]),
    ],
)
def test_each_model_sees_the_channels_it_was_trained_on(
    detector_class: Any, pixel: list[int], stub_engine: Any
) -> None:
    seen: list[Any] = []

    def look(inputs: Any) -> dict[str, Any]:
        seen.extend(inputs.values())
        return {}

    picture = np.full((32, 32, 3), (10, 20, 30), np.uint8)
    with pytest.raises(EngineError, match="no output"):
        detector_class(stub_engine(look)).detect(picture)
    assert seen[0][0, :, 5, 5].tolist() == pixel


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)]
)
def test_other_pictures_are_refused(picture: Any) -> None:
    with pytest.raises(EngineError, match="uint8 picture"):
        create_detector("yunet").detect(picture)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(EngineError, match="threshold"):
        create_detector("yunet", score_threshold=threshold)


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(EngineError, match="retinaface, yunet, centerface"):
        create_detector("haar")
    assert set(OWN) < set(DETECTORS)


def test_nan_from_the_engine_is_an_error_and_not_a_face(stub_engine: Any) -> None:
    count = len(anchors_px(64, 64))

    def nan(inputs: Any) -> dict[str, Any]:
        return {
            "loc": np.full((1, count, 4), np.nan, np.float32),
            "conf": np.ones((1, count, 2), np.float32),
            "landmarks": np.zeros((1, count, 10), np.float32),
        }

    with pytest.raises(EngineError, match="not finite"):
        RetinaFaceDetector(stub_engine(nan)).detect(np.zeros((64, 64, 3), np.uint8))


def test_an_exception_in_the_engine_is_an_engine_error(stub_engine: Any) -> None:
    def fail(inputs: Any) -> dict[str, Any]:
        raise MemoryError

    with pytest.raises(EngineError, match="MemoryError"):
        RetinaFaceDetector(stub_engine(fail)).detect(np.zeros((64, 64, 3), np.uint8))


def test_a_detector_can_be_given_a_deadline() -> None:
    detector = create_detector("retinaface", timeout_seconds=1e-4)
    with pytest.raises(EngineError, match="given up"):
        detector.detect(np.zeros((480, 640, 3), np.uint8))
    with create_guarded() as (patient, reference):
        picture = np.zeros((96, 96, 3), np.uint8)
        assert patient.detect(picture) == reference.detect(picture)
        assert patient.describe() == reference.describe()


@contextlib.contextmanager
def create_guarded() -> Iterator[tuple[FaceDetector, FaceDetector]]:
    patient, reference = create_detector("yunet", timeout_seconds=30.0), create_detector("yunet")
    yield patient, reference
    patient.close()


def test_suppression_keeps_the_best_of_each_group() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 0, 9, 10]], np.float32)
    scores = np.array([0.6, 0.9, 0.5, 0.7], np.float32)
    assert suppress(boxes, scores).tolist() == [1, 2]


def test_boxes_outside_the_picture_are_dropped() -> None:
    boxes = np.array([[-20, 0, -1, 10], [-5, 2, 5, 12]], np.float32)
    faces = finish(boxes, np.array([0.9, 0.8], np.float32), np.zeros((2, 5, 2), np.float32), 100, 100)
    assert [face.box_xyxy_px.tolist() for face in faces] == [[0, 2, 5, 12]]


@pytest.mark.parametrize("length", [100, 480, 481, 640, 1080, 1920, 3840])
def test_tiles_cover_everything_with_the_overlap(length: int) -> None:
    starts = tile_starts(length, 480, 128)
    assert starts[0] == 0
    assert starts[-1] + 480 >= length
    for a, b in itertools.pairwise(starts):
        assert a + 480 - b >= 128


def test_tiles_find_faces_that_the_whole_picture_loses(people: Any, scene_of: Any) -> None:
    scene = scene_of(people, size=(1920, 1080), side_px=56)
    whole = cv2.resize(scene.picture_rgb_u8, (640, 360), interpolation=cv2.INTER_AREA)
    detector = create_detector("retinaface", score_threshold=0.5)
    tiled = detect_tiled(detector, scene.picture_rgb_u8, whole)
    assert len(detector.detect(whole)) < len(tiled) == len(people)
    for index in range(len(people)):
        eyes = scene.eyes(index)
        assert np.abs(nearest(tiled, eyes).points_xy_px[:2] - eyes).max() < 4


@pytest.mark.parametrize("side_px", [90, 140, 220, 340])
def test_a_face_across_a_seam_is_given_once(people: Any, scene_of: Any, side_px: int) -> None:
    """Also one too large for any tile's overlap: the look at the whole picture has it."""
    detector = create_detector("yunet", score_threshold=0.5)
    for person in people[:2]:
        scene = scene_of([person], size=(960, 480), side_px=side_px)
        assert len(detect_tiled(detector, scene.picture_rgb_u8)) == 1


class _TileOnly(FaceDetector):
    """Sees the left part of one face at the right border of the first tile, and nothing anywhere else."""

    def _detect(self, picture_rgb_u8: Any) -> Any:
        if picture_rgb_u8.shape[1] != 480 or picture_rgb_u8[0, 0, 0] != 1:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        box = np.array([[400, 10, 480, 100]], np.float32)
        return box, np.array([0.8], np.float32), np.zeros((1, 5, 2), np.float32)


def test_part_of_a_face_that_nothing_shows_whole_is_kept(stub_engine: Any) -> None:
    picture = np.zeros((480, 960, 3), np.uint8)
    picture[0, 0, 0] = 1
    faces = detect_tiled(_TileOnly(stub_engine(None), 0.5), picture)
    assert [face.box_xyxy_px.tolist() for face in faces] == [[400, 10, 480, 100]]
