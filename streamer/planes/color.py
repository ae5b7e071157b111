"""Between the planes' code values and RGB in 0..1.

The matrices follow ITU-T H.273 (MatrixCoefficients, VideoFullRangeFlag); transfer curves are left alone, so
"RGB" is the stream's own non-linear signal, also for HDR.
"""

from __future__ import annotations

import functools

import av
import numpy as np

from streamer.frame import Float64Array
from streamer.planes.formats import PixelFormat

# H.273 MatrixCoefficients -> (K_R, K_B).
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
# H.273 range tags (0 untagged, 1 limited, 2 full) that mean full range; FFmpeg takes untagged grey as full.
_FULL_RANGE_TAGS = {"yuv": (2,), "gray": (0, 2), "rgb": (0, 1, 2)}
_HIGH_DEFINITION_LINES = 720


def codes_from_rgb(video_frame: av.VideoFrame, layout: PixelFormat, bits: int | None = None) -> Float64Array:
    """Affine (components, 4) from RGB in 0..1 to the frame's code values (not yet rounded or shifted).

    Args:
        bits: depth of the code values; the layout's own when None.
    """
    full = layout.full_range or int(video_frame.color_range) in _FULL_RANGE_TAGS[layout.family]
    matrix = int(video_frame.colorspace)
    if matrix not in _LUMA_WEIGHTS:
        # Untagged streams follow the practice of players: SD is BT.601, HD is BT.709.
        matrix = 6 if min(video_frame.width, video_frame.height) < _HIGH_DEFINITION_LINES else 1
    return _codes_from_rgb(layout.family, matrix, full, bits or layout.bits)


@functools.lru_cache(maxsize=64)
def _codes_from_rgb(family: str, matrix: int, full: bool, bits: int) -> Float64Array:
    code_max = float((1 << bits) - 1)
    if family == "rgb":
        return np.concatenate([np.eye(3) * code_max, np.zeros((3, 1))], axis=1)
    red, blue = _LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1.0 - red - blue, blue])
    rows = np.stack(
        [
            luma,
            (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - blue)),
            (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - red)),
        ]
    )
    unit = float(1 << (bits - 8))
    scales = np.array([code_max] * 3) if full else np.array([219.0, 224.0, 224.0]) * unit
    offsets = np.array([0.0 if full else 16.0 * unit, 128.0 * unit, 128.0 * unit])
    affine = np.concatenate([rows * scales[:, None], offsets[:, None]], axis=1)
    return affine[:1] if family == "gray" else affine


@functools.lru_cache(maxsize=64)
def _inverse(family: str, key: bytes) -> Float64Array:
    forward = np.frombuffer(key, np.float64).reshape(-1, 4)
    if family == "gray":
        scale = forward[0, :3].sum()
        return np.array([[1.0 / scale, -forward[0, 3] / scale]] * 3)
    linear = np.linalg.inv(forward[:, :3])
    return np.concatenate([linear, -(linear @ forward[:, 3:])], axis=1)


def rgb_from_codes(video_frame: av.VideoFrame, layout: PixelFormat, bits: int | None = None) -> Float64Array:
    """Inverse of `codes_from_rgb`: (3, components + 1)."""
    return _inverse(layout.family, codes_from_rgb(video_frame, layout, bits).tobytes())
