"""Protects: the warp is the identity on itself, hides what is behind, and stays finite on hopeless meshes."""

from __future__ import annotations

import numpy as np
import pytest

from engines.face.conditioning import hole_mask, outline_mask
from engines.face.pose import Similarity3D, crop_from_mesh
from engines.face.template import transform_points
from engines.face.topology import OVAL, canonical_mesh
from engines.face.warp import OPEN_MOUTH, apply_field, warp_field


def crop_mesh(yaw_degrees: float = 0.0) -> np.ndarray:
    """The mean face, turned, in crop px (468, 3)."""
    yaw = np.radians(yaw_degrees)
    rotation = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    mesh = Similarity3D(1.0, rotation, np.zeros(3)).apply(canonical_mesh())
    return transform_points(crop_from_mesh(mesh), mesh)


def test_same_mesh_gives_the_identity() -> None:
    mesh = crop_mesh()
    field = warp_field(mesh, mesh).source_xy_px
    ys, xs = np.mgrid[0:128, 0:128]
    error = np.abs(field - np.stack([xs, ys], axis=-1))[10:118, 30:98]
    assert np.percentile(error, 99) < 0.3
    assert error.max() < 2.0


def test_appearance_of_another_scale_and_place_is_followed() -> None:
    mesh = crop_mesh()
    field = warp_field(mesh, mesh * 2.0 + (7.0, -3.0, 0.0)).source_xy_px
    np.testing.assert_allclose(field[64, 64], [64 * 2 + 7, 64 * 2 - 3], atol=0.3)
    picture = np.zeros((256, 256, 3), dtype=np.uint8)
    picture[..., 0] = np.arange(256)
    seen = apply_field(field, picture)
    assert seen.shape == (128, 128, 3)
    assert seen.dtype == np.uint8
    assert abs(int(seen[64, 64, 0]) - 135) <= 2


def test_larger_patches_show_the_same_picture() -> None:
    mesh = crop_mesh()
    rng = np.random.default_rng(1)
    picture = np.repeat(np.repeat(rng.random((16, 16, 3), dtype=np.float32), 16, 0), 16, 1)
    field = warp_field(mesh, mesh * 2.0).source_xy_px
    small, large = apply_field(field, picture), apply_field(field, picture, 3)
    assert large.shape == (384, 384, 3)
    reduced = large.reshape(128, 3, 128, 3, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small).mean() < 0.05


def test_near_side_hides_the_far_side() -> None:
    mesh = crop_mesh(50.0)
    source = crop_mesh()
    field = warp_field(mesh, source).source_xy_px
    # At the tip of the nose the nose itself must be seen, not the cheek behind it.
    x, y = np.round(mesh[4, :2]).astype(int)
    np.testing.assert_allclose(field[y, x - 1], source[4, :2], atol=3.0)


@pytest.mark.parametrize("yaw", [0.0, 30.0, -45.0, 60.0])
def test_silhouette_covers_the_seen_face_and_nothing_far_from_it(yaw: float) -> None:
    mesh = crop_mesh(yaw)
    silhouette = warp_field(mesh, crop_mesh()).silhouette
    for x, y in np.round(mesh[:, :2].mean(axis=0, keepdims=True)).astype(int):
        assert silhouette[y, x] == 255
    ys, xs = np.nonzero(silhouette)
    assert xs.min() >= mesh[:, 0].min() - 2
    assert xs.max() <= mesh[:, 0].max() + 2
    height = mesh[:, 1].max() - mesh[:, 1].min()
    assert ys.min() >= mesh[:, 1].min() - 2 - 0.06 * height  # a little of the forehead above the mesh
    assert ys.max() <= mesh[:, 1].max() + 2


def test_map_is_continuous_over_the_oval() -> None:
    mesh = crop_mesh()
    field = warp_field(mesh, mesh).source_xy_px
    low, high = mesh[OVAL, :2].min(axis=0).astype(int) - 3, mesh[OVAL, :2].max(axis=0).astype(int) + 3
    part = field[low[1] : high[1], low[0] : high[0]]
    assert np.abs(np.diff(part, axis=0)).max() < 2.5
    assert np.abs(np.diff(part, axis=1)).max() < 2.5


@pytest.mark.parametrize("ruin", ["collapsed", "far_away", "huge", "mirrored"])
def test_hopeless_meshes_still_give_a_finite_map(ruin: str) -> None:
    mesh = crop_mesh()
    target = {
        "collapsed": mesh * 0.0 + 64.0,
        "far_away": mesh + 5000.0,
        "huge": mesh * 500.0,
        "mirrored": mesh * (-1.0, 1.0, 1.0) + (128.0, 0.0, 0.0),
    }[ruin]
    assert np.isfinite(warp_field(target, mesh).source_xy_px).all()


def test_a_mesh_that_throws_the_map_far_out_does_not_stall_the_sampling() -> None:
    mesh = crop_mesh()
    field = warp_field(mesh, mesh * 1e9).source_xy_px
    assert np.abs(field).max() <= 4096
    assert apply_field(field, np.zeros((256, 256, 3), np.uint8)).shape == (128, 128, 3)


def test_refuses_numbers_that_are_not_finite() -> None:
    mesh = crop_mesh()
    broken = mesh.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        warp_field(broken, mesh)
    with pytest.raises(ValueError, match="468"):
        warp_field(mesh[:5], mesh)


def opened(mesh: np.ndarray, by_px: float) -> np.ndarray:
    """The mesh with its lower lip and chin lowered."""
    lowered = mesh.copy()
    lowered[[14, 87, 178, 88, 95, 317, 402, 318, 324, 17, 84, 181, 314, 405, 152], 1] += by_px
    return lowered


def test_open_mouth_is_left_to_the_decoder_unless_the_appearance_shows_it() -> None:
    closed, wide = crop_mesh(), opened(crop_mesh(), 8.0)
    hole = hole_mask(wide)
    x, y = np.round(wide[[13, 14], :2].mean(axis=0)).astype(int)

    silhouette = warp_field(wide, closed).silhouette
    assert silhouette[y, x] == OPEN_MOUTH
    assert outline_mask(silhouette, hole)[y, x] < 0.3
    # Lips and cheeks stay the appearance's.
    for point in (0, 17, 50, 280):
        px, py = np.round(wide[point, :2]).astype(int)
        assert outline_mask(silhouette, hole)[py, px] > 0.7

    assert (warp_field(closed, closed).silhouette != OPEN_MOUTH).all()
    assert (warp_field(wide, wide * 2.0).silhouette != OPEN_MOUTH).all()
