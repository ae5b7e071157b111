"""Backgrounds made from nothing but a seed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

_BLOBS = 14


def background(seed: int, size: tuple[int, int]) -> UInt8Array:
    """A room-like picture: a gradient, soft blobs, some straight edges, and fine texture.

    Args:
        seed: decides everything.
        size: (width, height).

    Returns:
        (height, width, 3) uint8 RGB.
    """
    random = np.random.default_rng(seed)
    width, height = size
    down = np.linspace(0.0, 1.0, height)[:, None, None]
    across = np.linspace(0.0, 1.0, width)[None, :, None]
    corners = random.uniform(40, 190, (4, 3))
    picture = (corners[0] * (1 - across) + corners[1] * across) * (1 - down)
    picture = picture + (corners[2] * (1 - across) + corners[3] * across) * down
    canvas = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(_BLOBS):
        middle = (int(random.integers(0, width)), int(random.integers(0, height)))
        axes = (int(width * random.uniform(0.02, 0.15)) + 1, int(height * random.uniform(0.03, 0.25)) + 1)
        colour = tuple(float(value) for value in random.uniform(20, 220, 3))
        if random.random() < 0.5:
            corner = (middle[0] + axes[0], middle[1] + axes[1])
            cv2.rectangle(canvas, middle, corner, colour, -1)
        else:
            cv2.ellipse(canvas, middle, axes, float(random.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(0.5, width / 400))
    grain = random.normal(0, 4, (max(1, height // 2), max(1, width // 2), 1)).astype(np.float32)
    texture = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    textured = np.asarray(soft, dtype=np.float32) + texture
    return np.asarray(np.clip(textured, 0, 255), dtype=np.uint8)
