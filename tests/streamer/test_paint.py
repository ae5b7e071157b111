"""What is painted covers the whole real face, also where that leaves the crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engines.appearance.picture import finer_px
from engines.face.conditioning import hole_mask
from engines.face.pose import crop_from_mesh
from engines.face.template import transform_points
from engines.face.topology import CHIN, LIPS_INNER, canonical_mesh
from streamer.render.paint import Paintable, cover_of, painted

FIELDS = np.zeros((6, 16, 16), np.float32)
KEPT = np.ones((1, 128, 128), np.float32)
FILL = np.zeros((3, 128, 128), np.float32)


def _mesh(*, jaw_drop: float) -> np.ndarray:
    """(468, 3) display px, eye distance 60 px; `jaw_drop` in eye distances."""
    mesh = canonical_mesh().copy()
    below = mesh[:, 1] > mesh[LIPS_INNER, 1].mean()
    mesh[below, 1] += jaw_drop
    return mesh * 60.0 + 300.0


def _alpha_at(mesh: np.ndarray, point_xy_px: np.ndarray, *, fine: bool) -> float:
    crop_from_display = crop_from_mesh(mesh)
    real = transform_points(crop_from_display, mesh)
    hole = hole_mask(real)
    face = Paintable(
        np.full((256, 256, 3), 128, np.uint8),
        np.full((128, 128, 2), 128.0, np.float32),
        hole,
        cover_of(real, hole),
        crop_from_display,
        fine=fine,
        without_colour=False,
    )
    made = painted(face, FIELDS, KEPT, FILL)
    assert np.abs(made.patch_rgb.astype(float) / (1.0 if fine else 255.0) - 128 / 255).max() < 1e-2
    x, y = np.rint(made.patch_from_display @ [*point_xy_px, 1.0]).astype(int)
    height, width = made.alpha_f32.shape
    return float(made.alpha_f32[y, x]) if 0 <= x < width and 0 <= y < height else 0.0


@pytest.mark.parametrize("fine", [False, True], ids=["bytes", "float"])
@pytest.mark.parametrize("jaw_drop", [0.0, 0.4, 0.8], ids=["closed", "talks", "yawns"])
def test_the_chin_of_an_open_mouth_is_covered(jaw_drop: float, fine: bool) -> None:
    mesh = _mesh(jaw_drop=jaw_drop)
    assert _alpha_at(mesh, mesh[CHIN, :2], fine=fine) > 0.99


def test_a_face_inside_the_crop_has_the_hole_for_cover() -> None:
    mesh = _mesh(jaw_drop=0.0)
    real = transform_points(crop_from_mesh(mesh), mesh)
    hole = hole_mask(real)
    assert cover_of(real, hole) is hole


def test_a_finer_appearance_comes_to_the_same_place() -> None:
    """Colours that rise over the picture: half a px beside would be seen as another level."""
    mesh = _mesh(jaw_drop=0.0) * 1.6
    crop_from_display = crop_from_mesh(mesh)
    hole = hole_mask(transform_points(crop_from_display, mesh))
    ramp = np.linspace(20.0, 220.0, 256, dtype=np.float32)
    coarse = np.repeat((ramp[None, :] / 2 + ramp[:, None] / 2)[..., None], 3, axis=2)
    grid = np.stack(np.meshgrid(*(np.arange(128, dtype=np.float32),) * 2), axis=2) * 1.5 + 30.0
    made = []
    for fineness in (1, 2):
        side = 256 * fineness
        picture = np.asarray(
            cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR).round(), np.uint8
        )
        face = Paintable(
            picture, finer_px(grid, fineness), hole, hole, crop_from_display, fine=True, without_colour=False
        )
        made.append(painted(face, FIELDS, KEPT, FILL).patch_rgb * 255)
    assert np.abs(made[0] - made[1]).mean() < 0.4
    assert abs(float((made[0] - made[1]).mean())) < 0.1
