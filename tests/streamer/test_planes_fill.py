"""What covers a face carries none of its detail, covers all of it, and changes nothing far from it."""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamer.frame import StreamGeometry
from streamer.planes import FillMode, analysis_picture, copy_of, cover_face, fill, mask_whole_frame
from streamer.planes.formats import _FORMATS, pixel_format, plane_view

WIDTH, HEIGHT = 201, 151
BOX = (70.0, 40.0, 130.0, 118.0)


def noisy_frame(format_name: str, face_seed: int) -> av.VideoFrame:
    """A calm background with fine detail in the box that differs from seed to seed."""
    rgb = np.full((HEIGHT, WIDTH, 3), (90, 120, 150), np.uint8)
    detail = np.random.default_rng(face_seed).choice([40, 220], (79, 61, 1)).astype(np.uint8)
    rgb[40:119, 70:131] = cv2.GaussianBlur(detail, (3, 3), 0)[..., None]
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=format_name)


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    layout = pixel_format(frame.format.name)
    return [plane_view(frame, index, layout).copy() for index in range(len(layout.planes))]


@pytest.mark.parametrize("mode", list(FillMode))
@pytest.mark.parametrize("format_name", sorted(_FORMATS))
def test_far_from_the_box_every_bit_stays(mode: FillMode, format_name: str) -> None:
    frame = noisy_frame(format_name, 1)
    before = planes_of(frame)
    cover_face(frame, StreamGeometry(WIDTH, HEIGHT), BOX, mode, feather_px=6)
    layout = pixel_format(format_name)
    for spec, old, new in zip(layout.planes, before, planes_of(frame), strict=True):
        keep = np.ones(old.shape[:2], bool)
        x0, x1 = (BOX[0] - 6) / spec.step_x - 2, (BOX[2] + 6) / spec.step_x + 2
        y0, y1 = (BOX[1] - 6) / spec.step_y - 2, (BOX[3] + 6) / spec.step_y + 2
        keep[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1] = False
        assert np.array_equal(old[keep], new[keep])
        for channel, component in enumerate(spec.components):
            if component is None:
                assert (
                    np.array_equal(old[..., channel], new[..., channel])
                    if old.ndim == 3
                    else np.array_equal(old, new)
                )


@pytest.mark.parametrize("mode", list(FillMode))
@pytest.mark.parametrize("format_name", ["yuv420p", "yuv420p10le", "nv12", "gray", "gbrp", "yuvj422p"])
def test_nothing_of_the_detail_in_the_box_is_left(mode: FillMode, format_name: str) -> None:
    geometry = StreamGeometry(WIDTH, HEIGHT)
    inside = np.s_[41:118, 71:130]
    original, covered = [], []
    for seed in (1, 2):
        frame = noisy_frame(format_name, seed)
        original.append(analysis_picture(frame, geometry)[0][inside].astype(float))
        cover_face(frame, geometry, BOX, mode, feather_px=6)
        covered.append(analysis_picture(frame, geometry)[0][inside].astype(float))
    assert np.abs(original[0] - original[1]).mean() > 30
    # Two different details must end (almost) alike: what differs is what leaks.
    assert np.abs(covered[0] - covered[1]).mean() < 12


def test_pixels_show_at_most_six_cells_across() -> None:
    frame = noisy_frame("gray", 3)
    cover_face(frame, StreamGeometry(WIDTH, HEIGHT), BOX, FillMode.PIXELATE, feather_px=6)
    inside = plane_view(frame, 0, pixel_format("gray"))[41:118, 71:130].astype(int)
    assert (np.abs(np.diff(inside, axis=0)).max(axis=1) > 0).sum() <= 6
    assert (np.abs(np.diff(inside, axis=1)).max(axis=0) > 0).sum() <= 6


@pytest.mark.parametrize("mode", list(FillMode))
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(
    "box",
    [(-20, -20, 15, 15), (180, 130, 260, 190), (-50, -50, 400, 400), (10, 10, 11.5, 12), (99, -9, 104, -2)],
)
def test_boxes_over_the_border_and_tiny_ones(
    mode: FillMode, rotation: int, box: tuple[float, float, float, float]
) -> None:
    frame = noisy_frame("yuv420p", 1)
    geometry = StreamGeometry(WIDTH, HEIGHT, rotation)
    cover_face(frame, geometry, box, mode)
    assert analysis_picture(frame, geometry)[0].std() >= 0


def test_the_box_is_opaque_where_it_is_displayed() -> None:
    """A white box in a rotated picture with a solid fill of the dark surroundings leaves no white."""
    for rotation in (0, 90, 180, 270):
        geometry = StreamGeometry(WIDTH, HEIGHT, rotation)
        width, height = geometry.display_size
        box = np.array([0.2 * width, 0.5 * height, 0.5 * width, 0.9 * height])
        upright = np.full((height, width), 30, np.uint8)
        upright[int(box[1]) : int(box[3]) + 1, int(box[0]) : int(box[2]) + 1] = 250
        stored = np.ascontiguousarray(np.rot90(upright, rotation // 90))
        frame = av.VideoFrame.from_ndarray(stored, format="gray")
        assert analysis_picture(frame, geometry)[0].max() > 200
        cover_face(frame, geometry, box, FillMode.SOLID)
        assert analysis_picture(frame, geometry)[0].max() < 60


@pytest.mark.parametrize("format_name", [*sorted(_FORMATS), "pal8", "yuyv422", "yuv420p10be"])
def test_a_masked_frame_is_flat_in_every_format(format_name: str) -> None:
    frame = av.VideoFrame(64, 48, format_name)
    for plane in frame.planes:
        plane.update(np.random.default_rng(0).integers(0, 255, plane.buffer_size, np.uint8).tobytes())
    frame = mask_whole_frame(frame)
    grey = frame.reformat(format="rgb24").to_ndarray().astype(int)
    assert grey.std() < 1
    if format_name in _FORMATS:
        assert abs(grey.mean() - 128) < 4


def test_an_impossible_box_is_refused() -> None:
    frame = noisy_frame("yuv420p", 1)
    for box in ((5, 5, 5, 9), (0, 0, np.nan, 4), (0, 0, 4)):
        with pytest.raises(ValueError, match="cannot cover"):
            cover_face(frame, StreamGeometry(WIDTH, HEIGHT), box, FillMode.SOLID)


def test_a_frame_that_cannot_be_written_is_replaced_by_a_grey_one(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = noisy_frame("yuv420p", 1)
    frame.pts = 17
    real = fill.plane_view
    broken = [True]

    def fails_once(*args: Any) -> Any:
        if broken.pop() if broken else False:
            raise ValueError("planes out of reach")
        return real(*args)

    monkeypatch.setattr(fill, "plane_view", fails_once)
    masked = mask_whole_frame(frame)
    assert masked is not frame
    assert masked.pts == 17
    assert masked.reformat(format="rgb24").to_ndarray().std() < 1


@pytest.mark.parametrize("format_name", sorted(_FORMATS))
def test_a_copy_has_the_same_samples_in_planes_of_its_own(format_name: str) -> None:
    frame = noisy_frame(format_name, 1)
    before, copy = planes_of(frame), copy_of(frame)
    mask_whole_frame(frame)
    assert all(np.array_equal(*pair) for pair in zip(before, planes_of(copy), strict=True))
