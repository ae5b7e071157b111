"""Coarse colour of a face's surroundings: enough to notice that a box suddenly shows somebody else.

A thumbnail is 8x8 pixels of a box and a margin of hair and collar. It is far too coarse to recognise a person
by and lives only as long as the track; it is never written anywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from streamer.analysis.boxes import BoxArray, centre, sides
from streamer.frame import UInt8Array

Float32Array = npt.NDArray[np.float32]

SIDE_PX = 8
_REACH = 1.4
_CHROMA_SCALE = 16.0
_LUMA_NOISE = 32.0


def thumbnail(picture_rgb_u8: UInt8Array, box_xyxy_px: BoxArray) -> Float32Array:
    """(8, 8, 3) float32 Y, Cr, Cb of the box and its margin.

    What lies outside the picture repeats its border.
    """
    side_px = np.maximum(sides(box_xyxy_px) * _REACH, 1.0)
    low = centre(box_xyxy_px) - side_px / 2.0
    # Four samples to a cell each way, then a mean: a plain resize of a small warp would alias.
    count = 4 * SIDE_PX
    scale = side_px / count
    to_picture = np.array(
        [[scale[0], 0.0, low[0] + scale[0] / 2.0], [0.0, scale[1], low[1] + scale[1] / 2.0]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(
        picture_rgb_u8, to_picture, (count, count), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    small = cv2.resize(patch, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb), dtype=np.float32)


def distance(first: Float32Array, second: Float32Array) -> float:
    """How different two thumbnails look, in 0..2, blind to overall brightness.

    Luma is compared by the contrast-structure term of SSIM (Wang et al., 2004), which its mean does not enter
    (one person in changing light stays one person), and chroma as it is.
    """
    luma = first[..., 0].ravel() - np.float32(first[..., 0].sum() / SIDE_PX**2)
    other = second[..., 0].ravel() - np.float32(second[..., 0].sum() / SIDE_PX**2)
    noise = _LUMA_NOISE * SIDE_PX**2
    structure = (2.0 * float(luma @ other) + noise) / (float(luma @ luma) + float(other @ other) + noise)
    chroma = float(np.abs(first[..., 1:] - second[..., 1:]).sum()) / (2 * SIDE_PX**2 * _CHROMA_SCALE)
    return 0.5 * (1.0 - structure) + 0.5 * min(chroma, 2.0)
