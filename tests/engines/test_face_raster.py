"""Triangles become pixels: none inside is left out, the nearest wins, and what leaves the picture is cut off."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.raster import owners

SIDE = 128


def _inside(triangle: npt.NDArray[np.float64], margin_px: float) -> npt.NDArray[np.bool_]:
    """Pixels whose centre is at least so far inside a triangle of positive area."""
    ys, xs = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    within = np.ones((SIDE, SIDE), dtype=bool)
    for number in range(3):
        (x0, y0), (x1, y1) = triangle[number], triangle[(number + 1) % 3]
        away = ((x1 - x0) * (ys - y0) - (y1 - y0) * (xs - x0)) / np.hypot(x1 - x0, y1 - y0)
        within &= away >= margin_px
    return within


def _random_triangles(count: int, seed: int = 3) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    made = rng.uniform(0, SIDE, (count, 1, 2)) + rng.normal(0, 14, (count, 3, 2))
    a, b = made[:, 1] - made[:, 0], made[:, 2] - made[:, 0]
    turned = a[:, 0] * b[:, 1] < a[:, 1] * b[:, 0]
    made[turned] = made[turned][:, ::-1]
    return made


def test_a_triangle_owns_what_lies_in_it_and_little_beside() -> None:
    for triangle in _random_triangles(60):
        drawn = owners(triangle[None], np.array([7]), SIDE) == 7
        assert drawn[_inside(triangle, 0.0)].all()
        assert not drawn[~_inside(triangle, -1.0)].any()


def test_it_agrees_with_opencv_but_at_the_rim() -> None:
    for triangle in _random_triangles(30, seed=4):
        theirs = np.zeros((SIDE, SIDE), dtype=np.uint8)
        cv2.fillConvexPoly(theirs, np.round(triangle * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        ours = owners(triangle[None], np.array([1]), SIDE) == 1
        differ = ours != (theirs > 0)
        assert not differ[_inside(triangle, 0.0)].any()
        assert not differ[~_inside(triangle, -1.5)].any()


def test_later_triangles_cover_earlier_ones() -> None:
    many = _random_triangles(80, seed=5)
    drawn = owners(many, np.arange(80), SIDE)
    for number in (79, 60, 20):
        hidden = np.any(
            [_inside(later, -1.0) for later in many[number + 1 :]] or [np.zeros((SIDE, SIDE), bool)], axis=0
        )
        assert (drawn[_inside(many[number], 0.0) & ~hidden] == number).all()


def test_neighbours_leave_no_pixel_between_them() -> None:
    """A square cut along its diagonals at odd places."""
    corners = np.array([[10.3, 9.7], [100.1, 12.2], [97.5, 103.9], [8.8, 99.4]])
    middle = np.array([51.234, 49.876])
    fan = np.stack([[middle, corners[number], corners[(number + 1) % 4]] for number in range(4)])
    drawn = owners(fan, np.arange(4), SIDE) >= 0
    outline = _inside(np.stack([corners[0], corners[1], corners[2]]), 0.0) | _inside(
        np.stack([corners[0], corners[2], corners[3]]), 0.0
    )
    assert drawn[outline].all()


def test_what_leaves_the_picture_is_cut_off() -> None:
    far = np.array([[[-500.0, -500.0], [-400.0, -480.0], [-450.0, -300.0]]])
    assert (owners(far, np.array([1]), SIDE) == -1).all()
    all_over = np.array([[[-600.0, -600.0], [900.0, -600.0], [0.0, 900.0]]])
    assert (owners(all_over, np.array([1]), SIDE) == 1).all()
    assert (owners(np.zeros((0, 3, 2)), np.zeros(0, dtype=int), SIDE) == -1).all()
