"""Protects: what of the real face can reach the decoder, and that all of it is covered in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engines.face import conditioning
from engines.face.compose import blend_alpha, compose, resized
from engines.face.pose import Similarity3D, crop_from_mesh, head_pose
from engines.face.template import transform_points
from engines.face.topology import EYE_LEFT, LIPS_OUTER, OVAL, canonical_mesh


def crop_mesh(yaw_degrees: float = 0.0) -> np.ndarray:
    """The mean face, turned, in crop px (468, 3)."""
    yaw = np.radians(yaw_degrees)
    rotation = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    mesh = Similarity3D(1.0, rotation, np.zeros(3)).apply(canonical_mesh())
    return transform_points(crop_from_mesh(mesh), mesh)


def filled(points_xy: np.ndarray) -> np.ndarray:
    """(128, 128) bool: the polygon through the points."""
    mask = np.zeros((128, 128), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(points_xy * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask > 0


def packed(crop: np.ndarray, grid: np.ndarray) -> np.ndarray:
    mesh = crop_mesh()
    hole = conditioning.hole_mask(mesh)
    outline = conditioning.outline_mask(filled(mesh[OVAL, :2]).astype(np.uint8) * 255, hole)
    warped = np.full((128, 128, 3), 0.5, dtype=np.float32)
    return conditioning.pack(warped, crop, hole, outline, grid, conditioning.drawing(mesh))


@pytest.mark.parametrize("yaw", [-60.0, -30.0, 0.0, 30.0, 60.0])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.2])
def test_hole_and_alpha_cover_the_whole_real_face(yaw: float, scale: float) -> None:
    mesh = (crop_mesh(yaw) - (64.0, 66.0, 0.0)) * scale + (64.0, 66.0, 0.0)
    hole = conditioning.hole_mask(mesh)
    hull = cv2.convexHull(mesh[:, :2].astype(np.float32))[:, 0]
    face = filled(hull)
    assert set(np.unique(hole)) <= {0, 1}
    assert hole[face].all()
    alpha = blend_alpha(hole)
    assert (alpha[face] == 1.0).all()
    assert (alpha[hole == 0] == 0.0).all()
    large = resized(alpha, (384, 384))
    assert (large[np.kron(face, np.ones((3, 3), dtype=bool))] == 1.0).all()


def test_hole_reaches_above_the_mesh_more_than_below() -> None:
    mesh = crop_mesh()
    rows = np.nonzero(conditioning.hole_mask(mesh).any(axis=1))[0]
    above, below = mesh[:, 1].min() - rows[0], rows[-1] - mesh[:, 1].max()
    assert above > below + 4


def reach_above(pitch_degrees: float) -> float:
    """How far the hole reaches above the mesh, in heights of the mesh; positive pitch: the chin is up."""
    pitch = np.radians(pitch_degrees)
    rotation = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    mesh = Similarity3D(1.0, rotation, np.zeros(3)).apply(canonical_mesh())
    assert head_pose(mesh).pitch_radians == pytest.approx(np.radians(pitch_degrees), abs=0.01)
    crop = transform_points(crop_from_mesh(mesh), mesh)
    top = np.nonzero(conditioning.hole_mask(crop).any(axis=1))[0][0]
    return float((crop[:, 1].min() - top) / np.ptp(crop[:, 1]))


def test_hole_reaches_less_far_up_on_a_head_seen_from_below() -> None:
    below, level, above = (reach_above(pitch) for pitch in (25.0, 0.0, -25.0))
    assert below + 0.03 < level < above


def test_alpha_falls_softly_and_treats_the_border_of_the_crop_as_covered() -> None:
    alpha = blend_alpha(conditioning.hole_mask(crop_mesh()))
    assert ((alpha > 0.05) & (alpha < 0.95)).sum() > 150
    full = np.ones((128, 128), dtype=np.uint8)
    assert (blend_alpha(full) == 1.0).all()


def test_nothing_inside_the_hole_reaches_the_context() -> None:
    rng = np.random.default_rng(0)
    crop = rng.random((128, 128, 3), dtype=np.float32)
    grid = np.full((8, 8, 3), 0.5, dtype=np.float32)
    before = packed(crop, grid)
    hole = before[6] > 0
    assert (before[3:6, hole] == 0.0).all()
    other = crop.copy()
    other[hole] = rng.random((int(hole.sum()), 3), dtype=np.float32)
    np.testing.assert_array_equal(packed(other, grid), before)


@pytest.mark.parametrize("yaw", [-60.0, 0.0, 60.0])
def test_colours_are_read_from_skin_alone(yaw: float) -> None:
    mesh = crop_mesh(yaw)
    skin, hole = conditioning.skin_mask(mesh), conditioning.hole_mask(mesh)
    well_inside = cv2.erode(hole, np.ones((9, 9), np.uint8))
    assert skin.any()
    assert not (skin > well_inside).any()


def test_the_line_of_the_hair_leaves_the_grid_alone() -> None:
    mesh = crop_mesh()
    crop = np.full((128, 128, 3), 0.7, dtype=np.float32)
    before = conditioning.colour_grid(crop, conditioning.skin_mask(mesh))
    crop[: int(mesh[:, 1].min())] = 0.05
    np.testing.assert_array_equal(conditioning.colour_grid(crop, conditioning.skin_mask(mesh)), before)


def test_grid_of_a_face_outside_the_crop_is_finite() -> None:
    mesh = crop_mesh() + np.array([400.0, 0.0, 0.0])
    assert not conditioning.skin_mask(mesh).any()
    grid = conditioning.colour_grid(np.full((128, 128, 3), 0.25, np.float32), conditioning.skin_mask(mesh))
    np.testing.assert_allclose(grid, 0.25, atol=1 / 31)


def test_grid_is_blind_to_texture() -> None:
    skin = conditioning.skin_mask(crop_mesh())
    flat = np.full((128, 128, 3), 0.5, dtype=np.float32)
    checker = ((np.indices((128, 128)).sum(axis=0) % 2) * 2 - 1).astype(np.float32)
    textured = flat + 0.3 * checker[..., None]
    change = conditioning.colour_grid(flat, skin) - conditioning.colour_grid(textured, skin)
    assert np.abs(change).max() < 1.5 / 31  # one level of rounding


def test_grid_does_not_show_eyes_and_mouth() -> None:
    mesh = crop_mesh()
    skin = conditioning.skin_mask(mesh)
    flat = np.full((128, 128, 3), 0.6, dtype=np.float32)
    face = flat.copy()
    face[filled(mesh[EYE_LEFT, :2])] = 0.05
    face[filled(mesh[LIPS_OUTER, :2])] = (0.5, 0.2, 0.2)
    change = np.abs(conditioning.colour_grid(face, skin) - conditioning.colour_grid(flat, skin))
    assert change.max() < 0.08


def test_grid_is_small_coarse_and_ignores_what_lies_outside() -> None:
    skin = conditioning.skin_mask(crop_mesh())
    crop = np.random.default_rng(2).random((128, 128, 3), dtype=np.float32)
    grid = conditioning.colour_grid(crop, skin)
    assert grid.shape == (8, 8, 3)
    levels = grid * 31
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    other = crop.copy()
    other[skin == 0] = 0.0
    np.testing.assert_array_equal(conditioning.colour_grid(other, skin), grid)


def test_grid_follows_the_light() -> None:
    skin = conditioning.skin_mask(crop_mesh())
    ramp = np.repeat(np.linspace(0.2, 0.8, 128, dtype=np.float32)[None, :, None], 128, 0).repeat(3, 2)
    grid = conditioning.colour_grid(ramp, skin)
    assert grid[4, 5, 0] - grid[4, 2, 0] > 0.1
    assert np.isfinite(conditioning.colour_grid(ramp, np.zeros_like(skin))).all()


def test_outline_stays_inside_silhouette_and_hole() -> None:
    hole = np.zeros((128, 128), dtype=np.uint8)
    hole[20:100, 20:80] = 1
    silhouette = np.zeros((128, 128), dtype=np.uint8)
    silhouette[10:90, 40:120] = 255
    outline = conditioning.outline_mask(silhouette, hole)
    assert (outline[(hole == 0) | (silhouette == 0)] == 0).all()
    assert outline[55, 60] == pytest.approx(1.0)
    assert outline.max() <= 1.0


def test_drawing_depends_on_lids_and_lips_only() -> None:
    mesh = crop_mesh()
    lines = conditioning.drawing(mesh)
    assert lines.shape == (128, 128)
    assert lines.max() > 0.9
    moved = mesh.copy()
    moved[OVAL] += 5.0
    np.testing.assert_array_equal(conditioning.drawing(moved), lines)
    assert np.isfinite(conditioning.drawing(mesh * 1e4)).all()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_compose_is_the_stated_formula(k: int) -> None:
    n = 128 * k
    warp = np.full((n, n, 3), 0.4, dtype=np.float32)
    fields = np.zeros((6, 16, 16), dtype=np.float32)
    fields[0] = np.log(1.5)
    fields[4] = 0.1
    mask = np.full((1, 128, 128), 0.75, dtype=np.float32)
    fill = np.full((3, 128, 128), 0.2, dtype=np.float32)
    face = compose(warp, fields, mask, fill)
    assert face.shape == (n, n, 3)
    assert face.dtype == np.float32
    expected = 0.75 * np.array([0.6, 0.5, 0.4]) + 0.25 * 0.2
    np.testing.assert_allclose(face[n // 2, n // 2], expected, atol=1e-5)


def test_compose_stays_in_range_whatever_the_network_says() -> None:
    rng = np.random.default_rng(3)
    wild = rng.normal(0, 50, (6, 16, 16)).astype(np.float32)
    face = compose(
        np.ones((128, 128, 3), dtype=np.float32),
        wild,
        np.ones((128, 128), dtype=np.float32),
        np.zeros((3, 128, 128), dtype=np.float32),
    )
    assert face.min() >= 0.0
    assert face.max() <= 1.0
