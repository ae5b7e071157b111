"""The rendered face takes on what the camera and the codec did to the picture around it: its blur and its grain.

Both are measured outside the hole, so nothing of the real face decides them, now and then per track, and smoothed. The
grain is drawn from the frame's number alone. Chroma is left alone: codecs keep little noise there.

Blur: from how much sharp edges lose when blurred once more (Zhuo, Sim: Defocus map estimation from a single image,
Pattern Recognition 44(9), 2011, sec. 3), so that a plain wall does not count as blurred. Noise: the response to a
difference of two Laplacians, which leaves structure out (Immerkaer, Fast Noise Variance Estimation, CVIU 64(2), 1996),
its lower part instead of its mean, because hair is structure too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from streamer.frame import Float32Array, Float64Array, UInt8Array

# A track's surroundings are measured at every so manyth frame, and a new measure counts this much.
MEASURE_EVERY_FRAMES = 12
UPDATE_SHARE = 0.4
# Grain below half a step of 8 bits is not seen; above this it is no grain.
NOISE_LEAST, NOISE_MOST = 0.5 / 255.0, 0.06
# Blur is compared in px of the patch; less than the first is not seen, and more than the second would cost the face.
BLUR_LEAST_PX, BLUR_MOST_PX = 0.35, 3.0
# Writing a patch into the planes interpolates between its pixels, which takes this part of white noise away.
_LOST_IN_WRITING = 1.45
# And blurs by this, px of the plane.
_WRITING_BLUR_PX = 0.5
# Hair and cloth have soft edges in a sharp picture too, and a face too soft is worse than one too sharp.
_BENEFIT_OF_DOUBT_PX = 0.4
# The two blurs that edges are compared at; the first also keeps noise from looking sharp.
_FINE_PX, _COARSE_PX = 0.8, 1.6
# How far a pixel's slope at the coarser blur sees.
_REACH_PX = 6
# Of the pixels, those with the steepest slopes are edges, if they are steep at all (in 0..255 per px); of these the
# sharpest tell how sharp the picture can be.
_EDGE_SHARE, _EDGE_SLOPE, _SHARPEST_PERCENTILE = 0.06, 4.0, 88.0
_EDGE_PIXELS_LEAST = 40
_KNOWN_PIXELS_LEAST = 400
# Percentiles over all pixels are taken of every so manyth.
_STRIDE = 5
_NOISE_PERCENTILE = 30.0
# That percentile of the absolute value of a normal variable of deviation 1; and the kernel's gain on white noise.
_NORMAL_AT_PERCENTILE, _KERNEL_GAIN = 0.3853, 6.0
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_GRAIN_PX = 1024


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture was taken.

    Attributes:
        noise: standard deviation of the grain, of the luma in 0..1.
        blur_px: standard deviation of the blur of its sharpest edges, px of the picture; None without clear edges.
    """

    noise: float
    blur_px: float | None


def measure_look(grey_u8: UInt8Array, known: npt.NDArray[np.bool_]) -> Look | None:
    """The look of the known part of a picture (h, w) uint8; None when it is too little to tell."""
    if np.count_nonzero(known) < _KNOWN_PIXELS_LEAST:
        return None
    inner = _drawn_in(known, 1)
    if not inner.any():
        return None
    grey = grey_u8.astype(np.float32)
    response = np.abs(cv2.filter2D(grey, cv2.CV_32F, _NOISE_KERNEL)[inner][::_STRIDE])
    noise = float(np.percentile(response, _NOISE_PERCENTILE)) / _NORMAL_AT_PERCENTILE / _KERNEL_GAIN / 255.0
    return Look(noise, _edge_blur_px(grey, _drawn_in(known, _REACH_PX)))


def _drawn_in(known: npt.NDArray[np.bool_], reach_px: int) -> npt.NDArray[np.bool_]:
    """What is known, without the pixels whose surroundings so far are not."""
    square = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    return np.asarray(cv2.erode(known.astype(np.uint8), square, borderValue=0)) > 0


def _edge_blur_px(grey: Float32Array, known: npt.NDArray[np.bool_]) -> float | None:
    fine, coarse = (
        _slope(np.asarray(cv2.GaussianBlur(grey, (2 * _REACH_PX - 1,) * 2, sigma), dtype=np.float32))
        for sigma in (_FINE_PX, _COARSE_PX)
    )
    if np.count_nonzero(known) < _KNOWN_PIXELS_LEAST:
        return None
    steep = max(float(np.quantile(fine[known][::_STRIDE], 1.0 - _EDGE_SHARE)), _EDGE_SLOPE)
    edge = known & (fine >= steep)
    if np.count_nonzero(edge) < _EDGE_PIXELS_LEAST:
        return None
    ratio = float(np.percentile(fine[edge] / np.maximum(coarse[edge], 1e-3), _SHARPEST_PERCENTILE)) ** 2
    # A step blurred by b has the slope 1 / sqrt(b^2 + fine^2), and likewise coarse.
    if ratio <= 1.01:
        return BLUR_MOST_PX
    squared = (_COARSE_PX**2 - ratio * _FINE_PX**2) / (ratio - 1.0)
    return float(np.sqrt(np.clip(squared, 0.0, BLUR_MOST_PX**2)))


def _slope(grey: Float32Array) -> Float32Array:
    along, down = (cv2.Sobel(grey, cv2.CV_32F, x, 1 - x, ksize=3, scale=0.125) for x in (1, 0))
    return np.asarray(cv2.magnitude(along, down), dtype=np.float32)


def outside_hole(
    region_shape: tuple[int, int], region_from_crop: Float64Array, hole: UInt8Array
) -> npt.NDArray[np.bool_]:
    """(h, w), True where a region shows nothing of the hole (128, 128) of a crop."""
    height, width = region_shape
    inside = cv2.warpAffine(hole, region_from_crop, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(np.asarray(inside) == 0, dtype=np.bool_)


class TrackFinish:
    """Brings the patches of one track to the look of what surrounds them."""

    def __init__(self) -> None:
        self._noise: float | None = None
        self._blur_px: float | None = None
        self._own_blur_px: float | None = None
        self._measured_index: int | None = None

    def is_due(self, frame_index: int) -> bool:
        """True when the surroundings should be measured in this frame."""
        return self._measured_index is None or frame_index - self._measured_index >= MEASURE_EVERY_FRAMES

    def measure(
        self,
        frame_index: int,
        surroundings_u8: UInt8Array,
        known: npt.NDArray[np.bool_],
        patch_rgb: Float32Array | UInt8Array,
        patch_px_per_px: float,
    ) -> None:
        """Look at the surroundings of the hole, and at how sharp the patch is by itself.

        Args:
            surroundings_u8: (h, w) luma of the frame about the face.
            known: (h, w), True outside the hole.
            patch_rgb: the patch as rendered.
            patch_px_per_px: how many px of the patch a px of the surroundings is wide.
        """
        self._measured_index = frame_index
        look = measure_look(surroundings_u8, known)
        if look is None:
            return
        # A patch coarser than the surroundings averages its grain away.
        self._noise = _smoothed(self._noise, look.noise * min(patch_px_per_px, 1.0))
        if look.blur_px is None:
            return
        grey = cv2.cvtColor(_bytes(patch_rgb), cv2.COLOR_RGB2GRAY)
        own = measure_look(np.asarray(grey, dtype=np.uint8), np.ones(grey.shape, dtype=np.bool_))
        if own is not None and own.blur_px is not None:
            around = max(look.blur_px - _BENEFIT_OF_DOUBT_PX, 0.0) * patch_px_per_px
            self._blur_px = _smoothed(self._blur_px, around)
            written = float(np.hypot(own.blur_px, _WRITING_BLUR_PX * max(patch_px_per_px, 1.0)))
            self._own_blur_px = _smoothed(self._own_blur_px, written)

    def apply(self, patch_rgb: Float32Array | UInt8Array, frame_index: int) -> Float32Array | UInt8Array:
        """The patch as this camera would have taken it: same shape and dtype."""
        finished = patch_rgb
        blur_px = self._missing_blur_px()
        if blur_px >= BLUR_LEAST_PX:
            finished = cv2.GaussianBlur(finished, (0, 0), blur_px)  # type: ignore[assignment]
        noise = 0.0 if self._noise is None else min(self._noise, NOISE_MOST)
        if noise >= NOISE_LEAST:
            finished = _with_grain(finished, noise * _LOST_IN_WRITING, frame_index)
        return finished

    def _missing_blur_px(self) -> float:
        if self._blur_px is None or self._own_blur_px is None:
            return 0.0
        return float(np.sqrt(np.clip(self._blur_px**2 - self._own_blur_px**2, 0.0, BLUR_MOST_PX**2)))


def _smoothed(before: float | None, now: float) -> float:
    return now if before is None else before + UPDATE_SHARE * (now - before)


def _bytes(patch_rgb: Float32Array | UInt8Array) -> UInt8Array:
    if patch_rgb.dtype == np.uint8:
        return np.asarray(patch_rgb, dtype=np.uint8)
    return np.asarray(np.clip(patch_rgb, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5), dtype=np.uint8)


@cache
def _grain() -> npt.NDArray[np.int8]:
    """Normal grain of deviation 32, to be cut from: drawing it anew for every frame would cost more than all else."""
    drawn = np.random.default_rng(0).standard_normal((_GRAIN_PX, _GRAIN_PX), dtype=np.float32)
    return np.clip(np.round(drawn * 32.0), -127, 127).astype(np.int8)


def _with_grain(
    patch_rgb: Float32Array | UInt8Array, deviation: float, frame_index: int
) -> Float32Array | UInt8Array:
    height, width = patch_rgb.shape[:2]
    place = np.random.default_rng(frame_index)
    top, left = place.integers(_GRAIN_PX - height), place.integers(_GRAIN_PX - width)
    grain = _grain()[top : top + height, left : left + width].astype(np.float32)
    if patch_rgb.dtype == np.uint8:
        grey = cv2.cvtColor(grain * np.float32(deviation * 255.0 / 32.0), cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.add(patch_rgb, grey, dtype=cv2.CV_8U), dtype=np.uint8)
    finished = patch_rgb + grain[..., None] * np.float32(deviation / 32.0)
    return np.asarray(np.clip(finished, 0.0, 1.0), dtype=np.float32)
