"""Damage and light for training pictures: what cameras, codecs and lamps do to a scene.

All functions take and give float32 RGB (h, w, 3) in 0..1 and draw from the generator they are given.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Damage = Callable[[Float32Array], Float32Array]


def draw_resolution_loss(rng: np.random.Generator, *, lowest_scale: float = 0.22) -> Damage:
    """A loss of resolution, by distance or by defocus. The same draw can be applied to several pictures."""
    scale = float(rng.uniform(lowest_scale, 1.0))
    sigma = float(rng.uniform(0.3, 1.6)) if rng.random() < 0.4 else 0.0

    def apply(picture: Float32Array) -> Float32Array:
        height, width = picture.shape[:2]
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        back = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return _f32(cv2.GaussianBlur(back, (0, 0), sigma) if sigma else back)

    return apply


def draw_coding(rng: np.random.Generator) -> Damage:
    """Block coding at a drawn quality: JPEG, whose blocks and lost chroma look like a starved H.264 intra
    frame.
    """
    quality = int(rng.integers(18, 92))

    def apply(picture: Float32Array) -> Float32Array:
        bgr = np.ascontiguousarray((np.clip(picture, 0, 1) * 255.0 + 0.5).astype(np.uint8)[..., ::-1])
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
        return _f32(decoded[..., ::-1] / np.float32(255.0))

    return apply


def add_sensor_noise(picture: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Noise that grows with the light (shot) over a floor (read)."""
    shot, read = rng.uniform(0.0, 0.04), rng.uniform(0.0, 0.025)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    level = np.sqrt(shot * shot * np.clip(picture, 0, 1) + read * read).astype(np.float32)
    return _f32(np.clip(picture + noise * level, 0.0, 1.0))


def draw_exposure(rng: np.random.Generator) -> Damage:
    """Exposure, gamma and white balance of another camera in another room, down to low light."""
    gain = float(np.exp(rng.normal(-0.15, 0.3)))
    gamma = float(np.exp(rng.normal(0.0, 0.22)))
    balance = np.exp(rng.normal(0.0, 0.07, 3)).astype(np.float32)
    saturation = float(rng.uniform(0.0 if rng.random() < 0.1 else 0.5, 1.25))

    def apply(picture: Float32Array) -> Float32Array:
        lit = np.clip(picture * gain * balance, 0.0, 1.0) ** gamma
        grey = lit.mean(axis=2, keepdims=True)
        return _f32(np.clip(grey + (lit - grey) * saturation, 0.0, 1.0))

    return apply


def smooth_field(rng: np.random.Generator, size: int, amplitude: float, channels: int = 3) -> Float32Array:
    """(size, size, channels) noise of very low frequency, mean 0, about `amplitude` strong."""
    coarse = rng.normal(0.0, amplitude, (4, 4, channels)).astype(np.float32)
    return _f32(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)).reshape(size, size, channels)


def relight(
    picture: Float32Array, rng: np.random.Generator, mean_from: Float32Array, mean_to: Float32Array
) -> Float32Array:
    """The same face under other light and of another tone; the decoder has to undo this from the colour grid.

    Args:
        mean_from: (3,) mean colour of the face in the picture.
        mean_to: (3,) mean colour it shall get, for instance that of another person.
    """
    ratio = np.clip((mean_to + 0.03) / (mean_from + 0.03), 0.35, 2.8).astype(np.float32)
    light = smooth_field(rng, picture.shape[0], 0.16, 1) + smooth_field(rng, picture.shape[0], 0.04)
    lit = picture * ratio * np.exp(light) + np.float32(rng.normal(0.0, 0.02))
    contrast = np.float32(np.exp(rng.normal(0.0, 0.12)))
    lit = mean_to + (lit - mean_to) * contrast
    grey = lit.mean(axis=2, keepdims=True)
    return _f32(np.clip(grey + (lit - grey) * rng.uniform(0.6, 1.3), 0.0, 1.0))


def occlude(picture: Float32Array, rng: np.random.Generator) -> Float32Array:
    """A blob of one colour somewhere, as a hand or a microphone would stand in the scene."""
    size = picture.shape[0]
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    radius = rng.uniform(0.06, 0.2) * size * rng.uniform(0.6, 1.4, 8)
    centre = rng.uniform(0.05, 0.95, 2) * size
    points = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None]
    mask = np.zeros((size, size), dtype=np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None]
    colour = rng.random(3).astype(np.float32) + smooth_field(rng, size, 0.1)
    return _f32(np.clip(picture * (1 - soft) + colour * soft, 0.0, 1.0))


def _f32(array: npt.NDArray[np.generic] | cv2.Mat) -> Float32Array:
    return np.asarray(array, dtype=np.float32)
