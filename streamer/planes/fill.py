"""What covers a face that is not rendered: fills that act in the planes and carry no detail of it.

A region is opaque over the whole face box, and its feather lies outside of the box, so no face pixel shines
through.
"""

from __future__ import annotations

from enum import Enum

import av
import cv2
import numpy as np
import numpy.typing as npt

from streamer.frame import Float32Array, StreamGeometry, invert_affine
from streamer.planes.color import codes_from_rgb
from streamer.planes.formats import AnyArray, PixelFormat, is_native, pixel_format, plane_view
from streamer.planes.geometry import display_from_plane, transformed_bounds
from streamer.planes.patch import blend_samples, clip_bounds

# A cell of one sixth of the face leaves an eye, with its brow, a single colour.
_CELLS_ACROSS = 6
# Standard deviation of the blur against the longer side of the face.
_BLUR_SIGMA_SHARE = 0.25
_BLUR_CELLS_PER_SIGMA = 4


class FillMode(str, Enum):
    """What a covered region shows."""

    SOLID = "solid"
    PIXELATE = "pixelate"
    BLUR = "blur"


def cover_face(
    video_frame: av.VideoFrame,
    geometry: StreamGeometry,
    box_xyxy_px: npt.ArrayLike,
    mode: FillMode | str,
    feather_px: float | None = None,
) -> None:
    """Cover a box of the picture in place.

    Args:
        box_xyxy_px: (4,) display px; opaque everywhere in it. May reach beyond the picture.
        mode: SOLID blends the colours found just outside of the region across it, PIXELATE shows at most 6
            cells along the longer side, anchored to the box, BLUR is a Gaussian of a quarter of that side.
        feather_px: width of the soft rim outside of the box, display px; by default a tenth of that side.

    Raises:
        ValueError: the box is empty or not finite, the mode is unknown, or the pixel format has no planes.
    """
    box = np.asarray(box_xyxy_px, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"cannot cover box {box_xyxy_px!r}")
    mode = FillMode(mode)
    feather = 0.1 * float(max(box[2] - box[0], box[3] - box[1])) if feather_px is None else feather_px
    layout = pixel_format(video_frame.format.name)
    video_frame.make_writable()
    for index, spec in enumerate(layout.planes):
        plane = plane_view(video_frame, index, layout)
        plane_from_display = invert_affine(display_from_plane(geometry, layout, spec))
        inner = transformed_bounds(plane_from_display, box)
        outer = transformed_bounds(plane_from_display, box + np.array([-feather, -feather, feather, feather]))
        for channel, component in enumerate(spec.components):
            if component is not None:
                samples = plane if plane.ndim == 2 else plane[:, :, channel]
                _fill_samples(samples, inner, (inner[0] - outer[0], inner[1] - outer[1]), mode, layout)


def mask_whole_frame(video_frame: av.VideoFrame) -> av.VideoFrame:
    """Make the whole picture a flat mid grey: nothing of it remains, and no format can stop it.

    Works in place where it can; a frame whose planes cannot be written is replaced by a new one: use
    what is returned.
    """
    try:
        video_frame.make_writable()
        _paint_grey(video_frame)
        return video_frame
    except Exception:
        # Fail closed: whatever it was, the raw picture must not be what is left.
        return _grey_twin(video_frame)


def copy_of(video_frame: av.VideoFrame) -> av.VideoFrame:
    """A frame with the same picture in planes of its own. Raises ValueError for formats that are not native."""
    layout = pixel_format(video_frame.format.name)
    twin = _twin(video_frame)
    for index in range(len(layout.planes)):
        plane_view(twin, index, layout)[...] = plane_view(video_frame, index, layout)
    return twin


def _twin(video_frame: av.VideoFrame) -> av.VideoFrame:
    """An empty frame with the same size, format, time and colour tags."""
    twin = av.VideoFrame(video_frame.width, video_frame.height, video_frame.format.name)
    twin.pts = video_frame.pts
    if video_frame.time_base:
        twin.time_base = video_frame.time_base
    twin.colorspace, twin.color_range = video_frame.colorspace, video_frame.color_range
    return twin


def _grey_twin(video_frame: av.VideoFrame) -> av.VideoFrame:
    twin = _twin(video_frame)
    _paint_grey(twin)
    return twin


def _paint_grey(video_frame: av.VideoFrame) -> None:
    name = video_frame.format.name
    if not is_native(name):
        for raw in video_frame.planes:
            raw.update(b"\x80" * raw.buffer_size)
        return
    layout = pixel_format(name)
    grey = codes_from_rgb(video_frame, layout) @ np.array([0.5, 0.5, 0.5, 1.0])
    for index, spec in enumerate(layout.planes):
        plane = plane_view(video_frame, index, layout)
        for channel, component in enumerate(spec.components):
            if component is not None:
                samples = plane if plane.ndim == 2 else plane[:, :, channel]
                samples[...] = round(float(grey[component])) << layout.shift


def _fill_samples(
    samples: AnyArray,
    inner: tuple[float, float, float, float],
    feather: tuple[float, float],
    mode: FillMode,
    layout: PixelFormat,
) -> None:
    """Cover `inner` (x0, y0, x1, y1 in this plane's px) and a rim of `feather` (x, y) px around it."""
    height, width = samples.shape
    # Half a sample more: a chroma sample beside the box colours luma that lies in it.
    inner = (inner[0] - 0.5, inner[1] - 0.5, inner[2] + 0.5, inner[3] + 0.5)
    rim = (max(feather[0], 1e-3), max(feather[1], 1e-3))
    bounds = (inner[0] - rim[0], inner[1] - rim[1], inner[2] + rim[0], inner[3] + rim[1])
    if bounds[2] < 0 or bounds[3] < 0 or bounds[0] > width - 1 or bounds[1] > height - 1:
        return
    x0, y0, x1, y1 = clip_bounds(bounds, width, height, margin=1)
    xs, ys = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)
    weight = _rim_weight(xs, ys, inner, rim)
    unit = np.float32(2.0**-layout.shift)
    if mode is FillMode.SOLID:
        value = _surrounding_colours(samples, (x0, y0, x1, y1), layout) * unit
    else:
        cells = _CELLS_ACROSS if mode is FillMode.PIXELATE else _BLUR_CELLS_PER_SIGMA / _BLUR_SIGMA_SHARE
        value = _cells(samples, xs, ys, inner, cells, blur=mode is FillMode.BLUR) * unit
    blend_samples(samples[y0:y1, x0:x1], value, weight, layout)


def _rim_weight(
    xs: Float32Array, ys: Float32Array, inner: tuple[float, float, float, float], rim: tuple[float, float]
) -> Float32Array:
    """(h, w) float32: 1 in the box, falling smoothly to 0 at the rim's end."""
    away_x = np.maximum(np.maximum(inner[0] - xs, xs - inner[2]), 0.0) / rim[0]
    away_y = np.maximum(np.maximum(inner[1] - ys, ys - inner[3]), 0.0) / rim[1]
    fade = np.clip(1.0 - np.hypot(away_x[None, :], away_y[:, None]), 0.0, 1.0)
    weight: Float32Array = (fade * fade * (3.0 - 2.0 * fade)).astype(np.float32)
    return weight


def _surrounding_colours(
    samples: AnyArray, bounds: tuple[int, int, int, int], layout: PixelFormat
) -> Float32Array:
    """(h, w) float32 gradient between the median values of the four strips around the bounds."""
    height, width = samples.shape
    x0, y0, x1, y1 = bounds
    strip = max(2, max(x1 - x0, y1 - y0) // 12)
    strips = {
        "left": samples[y0:y1, max(0, x0 - strip) : x0],
        "right": samples[y0:y1, x1 : min(width, x1 + strip)],
        "top": samples[max(0, y0 - strip) : y0, x0:x1],
        "bottom": samples[y1 : min(height, y1 + strip), x0:x1],
    }
    medians = {side: float(np.median(part)) for side, part in strips.items() if part.size}
    # A face that fills the picture has no surroundings: mid grey, or neutral chroma.
    neutral = float(1 << (layout.bits - 1 + layout.shift))
    mean = sum(medians.values()) / len(medians) if medians else neutral
    across = np.linspace(medians.get("left", mean), medians.get("right", mean), x1 - x0, dtype=np.float32)
    down = np.linspace(medians.get("top", mean), medians.get("bottom", mean), y1 - y0, dtype=np.float32)
    gradient: Float32Array = (across[None, :] + down[:, None]) * np.float32(0.5)
    return gradient


def _cells(
    samples: AnyArray,
    xs: Float32Array,
    ys: Float32Array,
    inner: tuple[float, float, float, float],
    cells_across: float,
    *,
    blur: bool,
) -> Float32Array:
    """(h, w) float32: means over cells of the longer side / `cells_across`, anchored to the box.

    The means are taken on a grid that also covers the rim; beyond the picture its border is repeated.
    """
    # At least a whole sample: chroma of a tiny face has none to lose.
    cell_x = max((inner[2] - inner[0]), 1.0)
    cell_y = max((inner[3] - inner[1]), 1.0)
    side = max(cell_x, cell_y)
    count_x = max(1, int(cells_across * cell_x / side))
    count_y = max(1, int(cells_across * cell_y / side))
    cell_x, cell_y = cell_x / count_x, cell_y / count_y
    margin = 2 * _BLUR_CELLS_PER_SIGMA if blur else 0
    before_x = int(np.ceil((inner[0] - xs[0]) / cell_x)) + margin
    before_y = int(np.ceil((inner[1] - ys[0]) / cell_y)) + margin
    after_x = int(np.ceil((xs[-1] - inner[2]) / cell_x)) + margin
    after_y = int(np.ceil((ys[-1] - inner[3]) / cell_y)) + margin
    grid_w, grid_h = max(1, before_x + count_x + after_x), max(1, before_y + count_y + after_y)
    left, top = inner[0] - before_x * cell_x, inner[1] - before_y * cell_y
    means = _area_means(samples, left, top, cell_x, cell_y, grid_w, grid_h)
    map_x = (xs - np.float32(left)) / np.float32(cell_x) - np.float32(0.5)
    map_y = (ys - np.float32(top)) / np.float32(cell_y) - np.float32(0.5)
    if blur:
        sigma = float(_BLUR_CELLS_PER_SIGMA)
        blurred = cv2.GaussianBlur(means, (0, 0), sigma, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)
        means = np.asarray(blurred, dtype=np.float32)
    else:
        map_x, map_y = np.rint(map_x), np.rint(map_y)
    grid_x, grid_y = np.meshgrid(map_x, map_y)
    return np.asarray(
        cv2.remap(means, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32
    )


def _area_means(
    samples: AnyArray, left: float, top: float, cell_x: float, cell_y: float, grid_w: int, grid_h: int
) -> Float32Array:
    """(grid_h, grid_w) float32 means over cells, by sums; beyond the picture its border counts."""
    height, width = samples.shape
    edges_x = np.clip(np.rint(left + cell_x * np.arange(grid_w + 1)).astype(np.int64), 0, width)
    edges_y = np.clip(np.rint(top + cell_y * np.arange(grid_h + 1)).astype(np.int64), 0, height)
    # Every cell keeps a sample, also those beyond the border or thinner than one.
    x0, y0 = np.minimum(edges_x[:-1], width - 1), np.minimum(edges_y[:-1], height - 1)
    x1, y1 = np.maximum(edges_x[1:], x0 + 1), np.maximum(edges_y[1:], y0 + 1)
    origin_x, origin_y = int(x0.min()), int(y0.min())
    region = samples[origin_y : int(y1.max()), origin_x : int(x1.max())]
    sums = np.zeros((region.shape[0] + 1, region.shape[1] + 1), np.float64)
    np.cumsum(np.cumsum(region, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    x0, x1, y0, y1 = x0 - origin_x, x1 - origin_x, y0 - origin_y, y1 - origin_y
    totals = sums[np.ix_(y1, x1)] - sums[np.ix_(y0, x1)] - sums[np.ix_(y1, x0)] + sums[np.ix_(y0, x0)]
    areas = (y1 - y0)[:, None] * (x1 - x0)[None, :]
    means: Float32Array = (totals / areas).astype(np.float32)
    return means
