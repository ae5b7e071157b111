"""The small upright RGB picture that detectors look at."""

from __future__ import annotations

import av
import cv2
import numpy as np

from streamer.frame import Float64Array, StreamGeometry, UInt8Array, compose_affine
from streamer.planes.color import rgb_from_codes
from streamer.planes.formats import AnyArray, pixel_format, plane_view
from streamer.planes.geometry import resize_affine

# Bilinear reads 2 px, so up to a shrink of 2 it skips none.
_AREA_FROM_SCALE = 2.0
_ROTATE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def analysis_picture(
    video_frame: av.VideoFrame, geometry: StreamGeometry, long_side: int = 640
) -> tuple[UInt8Array, Float64Array]:
    """Scale the planes down and convert only the small picture.

    Each plane is scaled to the small size, then one matrix gives RGB. A picture that is small already is not
    scaled up.

    Returns:
        (h, w, 3) uint8 RGB, contiguous, upright with square pixels, max(h, w) <= long_side; and
        display_from_analysis, affine (2, 3).
    """
    display_w, display_h = geometry.display_size
    scale = min(1.0, long_side / max(display_w, display_h))
    upright_w, upright_h = max(1, round(display_w * scale)), max(1, round(display_h * scale))
    quarter_turn = geometry.rotation_degrees in (90, 270)
    width, height = (upright_h, upright_w) if quarter_turn else (upright_w, upright_h)
    picture: AnyArray = rgb_of_planes(video_frame, width, height)
    native_from_small = resize_affine(geometry.native_width / width, geometry.native_height / height)
    small_from_upright = {
        0: np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        90: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, height - 1.0]]),
        180: np.array([[-1.0, 0.0, width - 1.0], [0.0, -1.0, height - 1.0]]),
        270: np.array([[0.0, -1.0, width - 1.0], [1.0, 0.0, 0.0]]),
    }[geometry.rotation_degrees]
    if geometry.rotation_degrees:
        picture = cv2.rotate(picture, _ROTATE[geometry.rotation_degrees])
    display_from_small = compose_affine(geometry.display_from_native, native_from_small)
    return np.ascontiguousarray(picture, dtype=np.uint8), compose_affine(
        display_from_small, small_from_upright
    )


def rgb_of_planes(
    video_frame: av.VideoFrame, width: int, height: int, window_xywh: tuple[int, int, int, int] | None = None
) -> UInt8Array:
    """Part of the native picture, scaled and then converted.

    Args:
        width, height: size of the result.
        window_xywh: left, top, width and height in luma px, left and top multiples of the subsampling; the whole
            picture when None. Chroma is taken as centred in its block: a quarter of a chroma px off in MPEG streams.

    Returns:
        (height, width, 3) uint8 RGB in the native orientation.
    """
    layout = pixel_format(video_frame.format.name)
    components: list[AnyArray | None] = [None, None, None]
    for index, spec in enumerate(layout.planes):
        if not spec.has_color:
            continue
        plane = plane_view(video_frame, index, layout)
        if window_xywh is not None:
            left, top, window_w, window_h = window_xywh
            plane = plane[
                top // spec.step_y : -(-(top + window_h) // spec.step_y),
                left // spec.step_x : -(-(left + window_w) // spec.step_x),
            ]
        small: AnyArray = _resize(plane, width, height)
        if layout.bits > 8:
            # Nobody who looks at this picture sees more than 8 bits; the small plane is the cheap place to get there.
            small = cv2.convertScaleAbs(small, alpha=2.0 ** (8 - layout.bits - layout.shift))
        for channel, component in enumerate(spec.components):
            if component is not None:
                components[component] = small if small.ndim == 2 else small[:, :, channel]
    present = [component for component in components if component is not None]
    stacked = present[0] if len(present) == 1 else cv2.merge(present)
    # OpenCV rounds and saturates in the 8-bit case: no float picture is made.
    rgb = cv2.transform(stacked, rgb_from_codes(video_frame, layout, bits=8) * 255.0)
    return np.asarray(rgb, dtype=np.uint8)


def _resize(plane: AnyArray, width: int, height: int) -> AnyArray:
    """Averaged where it shrinks much, bilinear (five times as fast, and no worse) where it does not."""
    plane_h, plane_w = plane.shape[:2]
    if (plane_h, plane_w) == (height, width):
        return plane
    much = max(plane_w / width, plane_h / height) > _AREA_FROM_SCALE
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA if much else cv2.INTER_LINEAR)
