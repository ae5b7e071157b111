"""Damage and light for training pictures: what cameras, codecs and lamps do to a scene.

All functions take and give float32 RGB (h, w, 3) in 0..1 and draw from the generator they are given.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.topology import NOSE_TIP, OVAL

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
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


def occlude(picture: Float32Array, mesh_xy_px: Float64Array, rng: np.random.Generator) -> Float32Array:
    """A hand, a microphone, a mask or something else before the face, drawn roughly.

    Args:
        mesh_xy_px: (468, 2 or 3), the face's mesh in px of the picture.
    """
    size, face = picture.shape[0], np.clip(mesh_xy_px[:, :2], -2.0 * picture.shape[0], 3.0 * picture.shape[0])
    mask = np.zeros((size, size), dtype=np.float32)
    colour = rng.random(3).astype(np.float32)
    kind = rng.choice(("hand", "rod", "mask", "thing"), p=(0.45, 0.2, 0.15, 0.2))
    if kind == "hand":
        # Skin: that of the face itself, lighter or darker.
        x, y = np.clip(face[NOSE_TIP].mean(axis=0).astype(int), 0, size - 1)
        colour = _f32(
            picture[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7].mean(axis=(0, 1)) * rng.uniform(0.6, 1.3)
        )
        _draw_hand(mask, face, rng)
    elif kind == "rod":
        colour = _f32(colour * 0.35)
        start, end = face[rng.integers(len(face))], rng.uniform(-0.2, 1.2, 2) * size
        thick = int(rng.integers(3, 9))
        cv2.line(mask, _pixel(start), _pixel(end), 1.0, thick, cv2.LINE_AA)
        cv2.circle(mask, _pixel(start), int(thick * rng.uniform(0.8, 2.0)), 1.0, -1, cv2.LINE_AA)
    elif kind == "mask":
        lower = face[OVAL][np.argsort(face[OVAL, 1])[len(OVAL) // 2 :]]
        bridge = face[NOSE_TIP].mean(axis=0) - (0.0, rng.uniform(4.0, 14.0))
        hull = cv2.convexHull(np.concatenate([lower, bridge[None]]).astype(np.float32))
        cv2.fillPoly(mask, [np.round(hull).astype(np.int32)], 1.0, cv2.LINE_AA)
    else:
        _draw_blob(mask, rng.uniform(0.05, 0.95, 2) * size, rng.uniform(0.06, 0.22) * size, rng)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.6, 1.5))[..., None]
    grain = smooth_field(rng, size, 0.06) + smooth_field(rng, size, 0.06, 1)
    # A darker rim gives it a body.
    rim = cv2.GaussianBlur(mask, (0, 0), 4.0)[..., None] * 0.5 + 0.5
    return _f32(np.clip(picture * (1 - soft) + (colour + grain) * rim * soft, 0.0, 1.0))


def recolour_surroundings(
    picture: Float32Array, mesh_xy_px: Float64Array, rng: np.random.Generator
) -> Float32Array:
    """Another, often strong colour beside the face: all around it, or on one side.

    Portraits stand before calm backgrounds, and hair or neck lies between these and the face; a camera sees walls
    of every colour right beside a cheek.

    Args:
        mesh_xy_px: (468, 2 or 3), the face's mesh in px of the picture.
    """
    size, face = picture.shape[0], np.clip(mesh_xy_px[:, :2], -2.0 * picture.shape[0], 3.0 * picture.shape[0])
    outside = np.ones((size, size), dtype=np.float32)
    cv2.fillPoly(
        outside, [np.round(cv2.convexHull(face.astype(np.float32))).astype(np.int32)], 0.0, cv2.LINE_AA
    )
    outside = _f32(cv2.GaussianBlur(outside, (0, 0), 0.7))
    if rng.random() < 0.6:
        turn, along = rng.uniform(0.0, 2.0 * np.pi), np.arange(size, dtype=np.float32)
        centre = face.mean(axis=0)
        side = (along - centre[0]) * np.cos(turn) + ((along - centre[1]) * np.sin(turn))[:, None]
        outside = _f32(outside / (1.0 + np.exp(-np.clip(side / rng.uniform(1.0, 6.0), -30.0, 30.0))))
    amount = _f32(outside * rng.uniform(0.4, 1.0))[..., None]
    return _f32(picture * (1.0 - amount) + rng.random(3).astype(np.float32) * amount)


def _draw_hand(mask: Float32Array, face: Float64Array, rng: np.random.Generator) -> None:
    """A palm with two to four fingers side by side, reaching for a point of the face from outside."""
    size = mask.shape[0]
    tip, angle = face[rng.integers(len(face))], rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    thick = rng.uniform(0.05, 0.085) * size
    count, length = int(rng.integers(2, 5)), rng.uniform(0.25, 0.5) * size
    for finger in range(count):
        side = (finger - (count - 1) / 2) * thick * 1.05
        end = tip + across * side + along * thick * rng.uniform(0.0, 1.2)
        root = tip + across * side * 0.9 + along * length
        cv2.line(mask, _pixel(end), _pixel(root), 1.0, max(int(thick), 2), cv2.LINE_AA)
    _draw_blob(mask, tip + along * (length + thick), thick * count * 0.7, rng)


def _draw_blob(mask: Float32Array, centre: Float64Array, radius: float, rng: np.random.Generator) -> None:
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    reach = radius * rng.uniform(0.7, 1.3, 8)
    points = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None]
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1.0, cv2.LINE_AA)


def _pixel(point: Float64Array) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _f32(array: npt.NDArray[np.generic] | cv2.Mat) -> Float32Array:
    return np.asarray(array, dtype=np.float32)
