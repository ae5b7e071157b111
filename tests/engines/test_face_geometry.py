"""Protects: templates, topology and pose agree with each other and with their stated conventions."""

from __future__ import annotations

import numpy as np
import pytest

from engines.face.pose import Similarity3D, crop_from_mesh, fit_similarity, head_pose
from engines.face.template import (
    CROP_POINTS_PX,
    RECOGNITION_POINTS_PX,
    crop_from_points,
    similarity_from_points,
    transform_points,
)
from engines.face.topology import (
    EYE_LEFT,
    OVAL,
    RIGID,
    canonical_mesh,
    five_points,
    mirror_index,
    mirrored,
    triangles,
)


def turned(yaw_degrees: float, pitch_degrees: float = 0.0, roll_degrees: float = 0.0) -> np.ndarray:
    """The mean face turned, as a mesh (468, 3) in px: 60 px between the eyes, their middle at (200, 150)."""
    yaw, pitch, roll = np.radians([yaw_degrees, pitch_degrees, roll_degrees])
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return Similarity3D(60.0, about_z @ about_y @ about_x, np.array([200.0, 150.0, 0.0])).apply(
        canonical_mesh()
    )


def test_templates_are_the_stated_numbers() -> None:
    np.testing.assert_allclose(RECOGNITION_POINTS_PX[0], [38.2946, 51.6963])
    np.testing.assert_allclose(CROP_POINTS_PX, (RECOGNITION_POINTS_PX - (56, 60)) * 0.86 + (64, 66))


def test_similarity_recovers_a_known_one_and_is_least_squares() -> None:
    angle, scale, shift = 0.4, 2.5, np.array([-30.0, 12.0])
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = CROP_POINTS_PX @ linear.T + shift
    fit = similarity_from_points(points, CROP_POINTS_PX)
    np.testing.assert_allclose(transform_points(fit, points), CROP_POINTS_PX, atol=1e-9)

    noisy = points + np.random.default_rng(0).normal(0, 3, points.shape)
    fit = similarity_from_points(noisy, CROP_POINTS_PX)
    best = ((transform_points(fit, noisy) - CROP_POINTS_PX) ** 2).sum()
    for nudge in np.eye(4) * 1e-3:
        bent = fit + np.array([[nudge[0], -nudge[1], nudge[2]], [nudge[1], nudge[0], nudge[3]]])
        assert ((transform_points(bent, noisy) - CROP_POINTS_PX) ** 2).sum() > best


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))])
def test_similarity_refuses_what_cannot_be_fitted(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="point"):
        similarity_from_points(points, CROP_POINTS_PX)


def test_mirror_index_is_an_involution_that_swaps_the_eyes() -> None:
    mirror = mirror_index()
    np.testing.assert_array_equal(mirror[mirror], np.arange(468))
    assert mirror[33] == 263
    assert mirror[61] == 291
    assert mirror[152] == 152
    mean = canonical_mesh()
    np.testing.assert_allclose(mean[mirror] * (-1, 1, 1), mean, atol=1e-5)
    assert set(mirror[OVAL]) == set(OVAL)
    assert set(mirror[RIGID]) == set(RIGID)


def test_mirrored_mesh_flips_within_the_picture() -> None:
    mesh = turned(20.0)
    twice = mirrored(mirrored(mesh, 400), 400)
    np.testing.assert_allclose(twice, mesh)
    assert head_pose(mirrored(mesh, 400)).yaw_radians == pytest.approx(-np.radians(20.0), abs=1e-3)


def test_triangles_cover_the_face_and_face_the_camera() -> None:
    corners = canonical_mesh()[triangles()][..., :2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    outline = canonical_mesh()[OVAL, :2]
    x, y = outline.T
    oval_area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area[area > 0].sum() == pytest.approx(oval_area, rel=0.05)
    assert (area < -1e-3).sum() <= 10
    assert set(triangles().ravel()) == set(range(468))


def test_five_points_are_ordered_left_first() -> None:
    points = five_points(canonical_mesh())
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[3, 0] < points[4, 0]
    assert points[0, 1] < points[2, 1] < points[3, 1]
    np.testing.assert_allclose(points[0], canonical_mesh()[EYE_LEFT, :2].mean(axis=0))


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (30, 0, 0), (-45, 0, 0), (0, 20, 0), (0, 0, 25)]
)
def test_pose_has_the_stated_signs(yaw: float, pitch: float, roll: float) -> None:
    pose = head_pose(turned(yaw, pitch, roll))
    found = np.degrees([pose.yaw_radians, pose.pitch_radians, pose.roll_radians])
    np.testing.assert_allclose(found, [yaw, pitch, roll], atol=0.5)


def test_pose_ignores_the_mouth() -> None:
    mesh = turned(15.0)
    talking = mesh.copy()
    talking[[13, 14, 17, 0, 152, 61, 291]] += (0.0, 12.0, 0.0)
    assert head_pose(talking).yaw_radians == pytest.approx(head_pose(mesh).yaw_radians, abs=1e-9)


def test_similarity_3d_undoes_itself_and_never_reflects() -> None:
    fit = fit_similarity(canonical_mesh(), turned(40.0, 10.0, 5.0))
    np.testing.assert_allclose(fit.inverse().apply(fit.apply(canonical_mesh())), canonical_mesh(), atol=1e-9)
    flipped = fit_similarity(canonical_mesh(), canonical_mesh() * (1, 1, -1))
    assert np.linalg.det(flipped.rotation) == pytest.approx(1.0)


def test_crop_from_mesh_agrees_with_the_points_on_a_frontal_face() -> None:
    mesh = turned(0.0, 0.0, 12.0)
    by_mesh = transform_points(crop_from_mesh(mesh), five_points(mesh))
    by_points = transform_points(crop_from_points(five_points(mesh)), five_points(mesh))
    np.testing.assert_allclose(by_mesh, by_points, atol=1.0)


@pytest.mark.parametrize("yaw", [-60, -30, 0, 30, 60])
def test_crop_from_mesh_keeps_scale_and_face_inside_when_the_head_turns(yaw: float) -> None:
    matrix = crop_from_mesh(turned(yaw))
    frontal = crop_from_mesh(turned(0.0))
    assert np.linalg.det(matrix[:, :2]) == pytest.approx(np.linalg.det(frontal[:, :2]), rel=1e-6)
    inside = transform_points(matrix, turned(yaw))[:, :2]
    assert inside.min() > 4.0
    assert inside.max() < 124.0
