"""Dense landmarks lie on the face they were asked for, and a wall is no face."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from engines.detectors import create_detector
from engines.errors import EngineError
from engines.landmarks import (
    MESH_PATCH_PX,
    PATCH_BOX_SCALE,
    FaceMesh,
    IrisLandmarks,
    patch_from_box_and_points,
)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh.open()


def cut(picture_rgb_u8: Any, affine: Any) -> Any:
    """(1, 192, 192, 3) float32 patch in 0..1."""
    size = (MESH_PATCH_PX, MESH_PATCH_PX)
    return cv2.warpAffine(picture_rgb_u8, affine, size).astype(np.float32)[None] / 255


def to_display(affine: Any, points: Any) -> Any:
    back = cv2.invertAffineTransform(affine)
    return points[:, :2] @ back[:, :2].T + back[:, 2]


@pytest.mark.parametrize("turn_degrees", [0.0, 25.0])
def test_landmarks_lie_on_the_face(mesh: FaceMesh, people: Any, scene_of: Any, turn_degrees: float) -> None:
    scene = scene_of(people[:2], turn_degrees=turn_degrees)
    faces = create_detector("retinaface").detect(scene.picture_rgb_u8)
    assert len(faces) == 2
    faces.sort(key=lambda face: float(face.box_xyxy_px[0]))
    affines = [patch_from_box_and_points(face.box_xyxy_px, face.points_xy_px) for face in faces]
    patches = np.concatenate([cut(scene.picture_rgb_u8, affine) for affine in affines])
    points, presence = mesh.run(patches)
    assert points.shape == (2, 468, 3)
    assert points.dtype == presence.dtype == np.float32
    assert presence.min() > 20
    for index, affine in enumerate(affines):
        between = np.hypot(*np.diff(scene.eyes(index), axis=0)[0])
        error = np.hypot(*(to_display(affine, points[index]) - scene.meshes_xy_px[index]).T) / between
        assert np.median(error) < 0.06
        assert error.max() < 0.35


def test_a_batch_gives_what_single_calls_give(mesh: FaceMesh) -> None:
    patches = np.random.default_rng(0).uniform(0, 1, (3, 192, 192, 3)).astype(np.float32)
    points, presence = mesh.run(patches)
    for index in range(3):
        one, score = mesh.run(patches[index : index + 1])
        assert np.abs(one[0] - points[index]).max() < 1e-3
        assert abs(score[0] - presence[index]) < 1e-3


def test_presence_tells_a_face_from_a_wall(mesh: FaceMesh) -> None:
    """The renderer draws no person where this score is low."""
    noise = np.random.default_rng(1).uniform(0.2, 0.8, (192, 192, 3))
    stripes = np.tile((np.arange(192) // 12 % 2).astype(float)[:, None, None], (1, 192, 3))
    patches = np.stack([np.full((192, 192, 3), 0.5), noise, stripes]).astype(np.float32)
    assert mesh.run(patches)[1].max() < 5


def test_no_faces_are_no_work(mesh: FaceMesh) -> None:
    points, presence = mesh.run(np.empty((0, 192, 192, 3), np.float32))
    assert points.shape == (0, 468, 3)
    assert presence.shape == (0,)


@pytest.mark.parametrize(
    "patches", [np.zeros((1, 128, 128, 3), np.float32), np.zeros((192, 192, 3), np.float32)]
)
def test_patches_of_another_kind_are_refused(mesh: FaceMesh, patches: Any) -> None:
    with pytest.raises(EngineError, match=r"expected \(N, 192, 192, 3\) float32"):
        mesh.run(patches)
    with pytest.raises(EngineError, match="float32"):
        mesh.run(np.zeros((1, 192, 192, 3), np.uint8))


def test_landmarks_that_are_not_finite_are_an_error(stub_engine: Any) -> None:
    points = np.zeros((1, 1, 1, 1404), np.float32)
    points[0, 0, 0, 700] = np.inf
    engine = stub_engine(lambda inputs: {"conv2d_20": points, "conv2d_30": np.zeros((1, 1, 1, 1))})
    with pytest.raises(EngineError, match="not finite"):
        FaceMesh(engine).run(np.zeros((1, 192, 192, 3), np.float32))


def test_the_patch_holds_the_box_upright() -> None:
    box = np.array([100, 50, 180, 150], np.float32)
    points = np.array([[120, 80], [160, 100], [0, 0], [0, 0], [0, 0]], np.float32)
    affine = patch_from_box_and_points(box, points)
    assert affine.shape == (2, 3)
    centre = affine[:, :2] @ [140, 100] + affine[:, 2]
    assert np.allclose(centre, (MESH_PATCH_PX - 1) / 2)
    eyes = points[:2] @ affine[:, :2].T + affine[:, 2]
    assert eyes[0, 1] == pytest.approx(eyes[1, 1])
    assert eyes[0, 0] < eyes[1, 0]
    assert np.sqrt(np.linalg.det(affine[:, :2])) == pytest.approx(MESH_PATCH_PX / (PATCH_BOX_SCALE * 100))


@pytest.mark.parametrize("points", [None, np.full((5, 2), 140, np.float32)])
def test_without_an_eye_line_the_patch_is_upright(points: Any) -> None:
    affine = patch_from_box_and_points(np.array([100, 50, 180, 150]), points, size=96)
    assert affine[0, 1] == affine[1, 0] == 0
    assert affine[0, 0] == affine[1, 1] == pytest.approx(96 / (PATCH_BOX_SCALE * 100))


def test_irises_lie_in_the_eyes(mesh: FaceMesh, people: Any, scene_of: Any) -> None:
    scene = scene_of(people[:1], size=(480, 480), side_px=440)
    corners = scene.meshes_xy_px[0][[33, 133]]
    centre, width = corners.mean(axis=0), np.hypot(*(corners[1] - corners[0]))
    scale = 64 / (2.3 * width)
    affine = np.array([[scale, 0, 31.5 - scale * centre[0]], [0, scale, 31.5 - scale * centre[1]]])
    eye = cv2.warpAffine(scene.picture_rgb_u8, affine, (64, 64)).astype(np.float32)[None] / 255
    contour, iris = IrisLandmarks.open().run(np.concatenate([eye, eye]))
    assert contour.shape == (2, 71, 3)
    assert iris.shape == (2, 5, 3)
    assert np.abs(iris[0] - iris[1]).max() < 1e-3
    assert np.abs(iris[0, 0, :2] - 31.5).max() < 10
    radius = np.hypot(*(iris[0, 1:, :2] - iris[0, 0, :2]).T)
    assert (radius > 2).all()
    assert (radius < 14).all()
