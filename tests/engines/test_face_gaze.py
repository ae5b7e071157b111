"""Protects: irises move within the lids by what was asked, and nothing else of the face does."""

from __future__ import annotations

import numpy as np
import pytest

from engines.face.gaze import LARGEST_SHIFT, turn_eyes
from engines.face.pose import crop_from_mesh
from engines.face.template import transform_points
from engines.face.topology import EYE_LEFT, EYE_RIGHT, canonical_mesh
from engines.face.warp import apply_field, warp_field


def crop_mesh() -> np.ndarray:
    mesh = canonical_mesh()
    return np.asarray(transform_points(crop_from_mesh(mesh), mesh))


def appearance_with_irises(mesh: np.ndarray) -> np.ndarray:
    """(256, 256, 3): white, with a black disc in the middle of each eye."""
    picture = np.full((256, 256, 3), 255, np.uint8)
    ys, xs = np.mgrid[0:256, 0:256]
    for eye in (EYE_LEFT, EYE_RIGHT):
        x, y = mesh[eye, :2].mean(axis=0) * 2
        picture[(xs - x) ** 2 + (ys - y) ** 2 < 36] = 0
    return picture


def iris_places(picture: np.ndarray, mesh: np.ndarray) -> list[float]:
    places = []
    for eye in (EYE_LEFT, EYE_RIGHT):
        low, high = mesh[eye, :2].min(axis=0).astype(int) - 2, mesh[eye, :2].max(axis=0).astype(int) + 3
        dark = 255.0 - picture[low[1] : high[1], low[0] : high[0], 0].astype(float)
        places.append(float((dark.sum(axis=0) * np.arange(low[0], high[0])).sum() / dark.sum()))
    return places


@pytest.mark.parametrize("shift", [-0.12, 0.06, 0.12])
def test_both_irises_move_by_the_shift(shift: float) -> None:
    mesh = crop_mesh()
    appearance, source = appearance_with_irises(mesh), mesh * 2
    field = warp_field(mesh, source).source_xy_px.copy()
    before = iris_places(apply_field(field, appearance), mesh)
    turn_eyes(field, mesh, source, shift)
    after = iris_places(apply_field(field, appearance), mesh)
    width = float(np.linalg.norm(mesh[33, :2] - mesh[133, :2]))
    for old, new in zip(before, after, strict=True):
        assert new - old == pytest.approx(shift * width, abs=0.25 * abs(shift) * width + 0.3)


def test_nothing_moves_outside_the_lids_and_no_shift_changes_nothing() -> None:
    mesh = crop_mesh()
    field = warp_field(mesh, mesh * 2).source_xy_px
    turned, same = field.copy(), field.copy()
    turn_eyes(turned, mesh, mesh * 2, 0.15)
    turn_eyes(same, mesh, mesh * 2, 0.0)
    np.testing.assert_array_equal(same, field)
    moved = np.abs(turned - field).max(axis=2) > 0.3
    ys, xs = np.nonzero(moved)
    eyes = mesh[np.concatenate([EYE_LEFT, EYE_RIGHT]), :2]
    assert moved.any()
    assert ys.min() >= eyes[:, 1].min() - 2
    assert ys.max() <= eyes[:, 1].max() + 2
    assert xs.min() >= eyes[:, 0].min() - 2
    assert xs.max() <= eyes[:, 0].max() + 2


def test_the_map_never_folds_and_eyes_outside_the_crop_are_left_alone() -> None:
    mesh = crop_mesh()
    field = warp_field(mesh, mesh * 2).source_xy_px.copy()
    turn_eyes(field, mesh, mesh * 2, 10 * LARGEST_SHIFT)
    x, y = mesh[EYE_LEFT, :2].mean(axis=0).astype(int)
    assert (np.diff(field[y, x - 10 : x + 10, 0]) > 0).all()
    away = field.copy()
    turn_eyes(away, mesh + 500.0, mesh * 2, 0.1)
    np.testing.assert_array_equal(away, field)
