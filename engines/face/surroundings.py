"""What the decoder is told of the picture around the hole.

A decoder that sees the surroundings as sharply as they are continues their line of hair, temple and jaw into the strip
between the hole and the synthetic face, and with it what a recogniser knows a person by. Softened by much, they no
longer say where hair ends and wall begins, and the strip takes on the colour of the wall. A decoder with a price on
likeness to the person of the scene needs little softening: from 1.5 to 8 px it comes equally near to that person.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

# Standard deviation of the blur, crop px, and the reduction at which it is done: blurred, nothing is lost by it.
BLUR_PX = 2.0
_REDUCTION = 2


def softened(crop_rgb_f32: Float32Array, hole: UInt8Array, blur_px: float = BLUR_PX) -> Float32Array:
    """The crop blurred outside the hole, of what lies outside the hole alone.

    Args:
        crop_rgb_f32: (n, n, 3) float32 RGB.
        hole: (n, n) uint8, 1 in the hole.
        blur_px: standard deviation of the blur.

    Returns:
        (n, n, 3) float32; inside the hole, what its surroundings spread to, or zero where they are far.
    """
    height, width = hole.shape
    known = np.asarray(hole == 0, dtype=np.float32)
    small = (max(1, width // _REDUCTION), max(1, height // _REDUCTION))
    sums = cv2.resize(crop_rgb_f32 * known[..., None], small, interpolation=cv2.INTER_AREA)
    share = cv2.resize(known, small, interpolation=cv2.INTER_AREA)
    sigma = blur_px / _REDUCTION
    sums, share = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (sums, share))
    spread = np.asarray(sums / np.maximum(share, 1e-3)[..., None], dtype=np.float32)
    return np.asarray(cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
