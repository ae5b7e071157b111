"""A head cut out of its picture, ready to be put elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

# How much wider and higher than the face the head with its hair is, and how far up it sits, in face sizes.
_HEAD_WIDTH, _HEAD_HEIGHT, _HEAD_RISE = 1.4, 1.5, 0.1
_FEATHER = 0.06


@dataclass(frozen=True)
class Cutout:
    """A head with a soft edge.

    Attributes:
        rgba_f32: (H, W, 4) float32, RGB 0..255 already multiplied by alpha, and alpha 0..1.
        outline_xy_px: (N, 2) float64, convex outline of the face itself, from forehead to chin, in px of the
            picture.
    """

    rgba_f32: Float32Array
    outline_xy_px: Float64Array

    def __post_init__(self) -> None:
        if self.rgba_f32.ndim != 3 or self.rgba_f32.shape[2] != 4 or self.outline_xy_px.shape[1:] != (2,):
            raise ValueError(f"{self.rgba_f32.shape = }, {self.outline_xy_px.shape = }")

    @classmethod
    def from_person(cls, appearance_rgb_u8: UInt8Array, mesh_px: npt.NDArray[np.floating]) -> Cutout:
        """Cut a head out of (H, W, 3) RGB by its dense landmarks (N, 2 or 3), as a codebook person has
        them.
        """
        points = np.ascontiguousarray(mesh_px[:, :2], dtype=np.float32)
        outline = cv2.convexHull(points)[:, 0].astype(np.float64)
        return cls(_with_soft_edge(appearance_rgb_u8, outline), outline)

    @property
    def face_width_px(self) -> float:
        return float(np.ptp(self.outline_xy_px[:, 0]))

    @property
    def middle_xy_px(self) -> Float64Array:
        """Middle of the face's upright box, (2,)."""
        return np.asarray((self.outline_xy_px.min(axis=0) + self.outline_xy_px.max(axis=0)) / 2.0)


def _with_soft_edge(picture_rgb_u8: UInt8Array, outline_xy_px: Float64Array) -> Float32Array:
    height, width = picture_rgb_u8.shape[:2]
    low, high = outline_xy_px.min(axis=0), outline_xy_px.max(axis=0)
    face_width, face_height = high - low
    middle = ((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0 - _HEAD_RISE * face_height)
    axes = (_HEAD_WIDTH * face_width / 2.0, _HEAD_HEIGHT * face_height / 2.0)
    alpha: Float32Array = np.zeros((height, width), np.float32)
    cv2.ellipse(alpha, (tuple(middle), (2 * axes[0], 2 * axes[1]), 0.0), 1.0, -1, cv2.LINE_AA)
    # The head may be cut by its own picture's border: let it fade there too, but never inside the face.
    border = max(2, round(_FEATHER * face_width))
    alpha[:border], alpha[-border:], alpha[:, :border], alpha[:, -border:] = 0.0, 0.0, 0.0, 0.0
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), _FEATHER * face_width), dtype=np.float32)
    cv2.fillConvexPoly(alpha, np.round(outline_xy_px).astype(np.int32), 1.0)
    return np.dstack([picture_rgb_u8.astype(np.float32) * alpha[:, :, None], alpha])


def drawn_cutout(seed: int, size_px: int = 128) -> Cutout:
    """A face drawn with a few shapes, for tests that need no detector and no codebook."""
    random = np.random.default_rng(seed)
    skin, hair, shirt = random.uniform(60, 230, 3), random.uniform(10, 120, 3), random.uniform(0, 255, 3)
    picture = np.empty((size_px, size_px, 3), np.uint8)
    picture[:] = shirt.astype(np.uint8)
    middle = (size_px // 2, round(0.55 * size_px))
    axes = (round(0.25 * size_px), round(0.33 * size_px))
    top = (middle[0], middle[1] - size_px // 8)
    cv2.ellipse(picture, top, (round(1.3 * axes[0]), axes[1]), 0, 0, 360, hair.tolist(), -1)
    cv2.ellipse(picture, middle, axes, 0, 0, 360, skin.tolist(), -1)
    for side in (-1, 1):
        eye = (middle[0] + side * round(0.11 * size_px), middle[1] - round(0.07 * size_px))
        cv2.circle(picture, eye, max(1, size_px // 32), (20, 20, 20), -1)
    mouth = (middle[0], middle[1] + round(0.15 * size_px))
    cv2.ellipse(picture, mouth, (size_px // 10, size_px // 32), 0, 0, 360, (150, 40, 50), -1)
    angles = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Cutout.from_person(picture, circle * axes + middle)
