"""Patches go into the planes and come out again, in every pixel format; nothing else of a frame changes."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from streamer.frame import Float64Array, Frame, StreamGeometry, compose_affine, invert_affine
from streamer.planes import (
    FaceRegion,
    analysis_picture,
    is_native,
    planar_equivalent,
    read_patch,
    write_patch,
)
from streamer.planes.formats import _FORMATS, pixel_format, plane_view
from streamer.planes.geometry import display_from_plane

FORMATS = sorted(_FORMATS)
SIZES = [(96, 64), (361, 289), (47, 35)]


def make_frame(width: int, height: int, format_name: str, seed: int = 0) -> av.VideoFrame:
    """A smooth coloured picture, valid in the given format."""
    random = np.random.default_rng(seed)
    small = random.integers(60, 200, (6, 8, 3)).astype(np.uint8)
    rgb = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=format_name)


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    layout = pixel_format(frame.format.name)
    return [plane_view(frame, index, layout).copy() for index in range(len(layout.planes))]


def centred_patch(geometry: StreamGeometry, size: int, scale: float) -> Float64Array:
    """patch_from_display that puts the patch's middle at the picture's middle, turned a little."""
    width, height = geometry.display_size
    cos, sin = scale * np.cos(0.2), scale * np.sin(0.2)
    linear = np.array([[cos, sin], [-sin, cos]])
    centre = np.array([[(width - 1) / 2], [(height - 1) / 2]])
    return np.concatenate([linear, (size - 1) / 2 - linear @ centre], axis=1)


def in_bytes(patch_rgb_f32: np.ndarray) -> np.ndarray:
    return np.round(patch_rgb_f32 * 255.0).astype(np.uint8)


def disc(size: int, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:size, :size] - (size - 1) / 2
    return np.clip(radius - np.hypot(xs, ys), 0.0, 1.0).astype(np.float32)


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_patch_read_and_written_back_changes_nothing_but_rounding(format_name: str, bytewise: bool) -> None:
    frame = make_frame(361, 289, format_name)
    geometry = StreamGeometry(361, 289)
    patch_from_display = centred_patch(geometry, 192, 1.3)
    before = planes_of(frame)
    patch = read_patch(frame, geometry, patch_from_display, 192)
    given = in_bytes(patch) if bytewise else patch
    write_patch(frame, geometry, given, disc(192, 80), patch_from_display)
    layout = pixel_format(format_name)
    allowed = max(3.0, 0.012 * layout.code_max) * 2**layout.shift
    for old, new in zip(before, planes_of(frame), strict=True):
        assert np.abs(old.astype(np.int64) - new.astype(np.int64)).max() <= allowed
    again = read_patch(frame, geometry, patch_from_display, 192)
    inside = disc(192, 70) >= 1
    assert np.abs(again - patch)[inside].mean() < 0.006


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_samples_where_alpha_is_zero_keep_their_bits(
    format_name: str, width: int, height: int, dtype: type[np.float32] | type[np.uint8]
) -> None:
    frame = make_frame(width, height, format_name)
    geometry = StreamGeometry(width, height)
    size = 64
    scale = size / (0.7 * min(width, height))
    patch_from_display = centred_patch(geometry, size, scale)
    before = planes_of(frame)
    radius = 24.0
    white = np.full((size, size, 3), 255 if dtype is np.uint8 else 1, dtype)
    write_patch(frame, geometry, white, disc(size, radius), patch_from_display)
    layout = pixel_format(format_name)
    changed = False
    for spec, old, new in zip(layout.planes, before, planes_of(frame), strict=True):
        patch_from_plane = compose_affine(patch_from_display, display_from_plane(geometry, layout, spec))
        rows, columns = np.mgrid[: old.shape[0], : old.shape[1]]
        at = (
            np.tensordot(patch_from_plane[:, :2], np.stack([columns, rows]), 1)
            + patch_from_plane[:, 2:, None]
        )
        away = np.hypot(*(at - (size - 1) / 2))
        # Interpolation reaches one sample of the patch, or of the plane where that is coarser.
        reach = 2.0 + 1.5 * scale * max(spec.step_x, spec.step_y)
        outside = away > radius + reach
        assert np.array_equal(old[outside], new[outside])
        changed |= not np.array_equal(old, new)
        for channel, component in enumerate(spec.components):
            if component is None:
                assert (
                    np.array_equal(old[..., channel], new[..., channel])
                    if old.ndim == 3
                    else np.array_equal(old, new)
                ), "alpha of the format changed"
    assert changed


def test_low_bits_of_shifted_formats_outside_alpha_are_left_alone() -> None:
    frame = make_frame(64, 64, "p010le")
    layout = pixel_format("p010le")
    plane_view(frame, 0, layout)[...] |= 5
    geometry = StreamGeometry(64, 64)
    write_patch(
        frame, geometry, np.ones((32, 32, 3), np.float32), disc(32, 8), centred_patch(geometry, 32, 1)
    )
    luma = plane_view(frame, 0, layout)
    assert (luma[:8] & 63 == 5).all()
    assert luma[32, 32] & 63 == 0


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 11), Fraction(8, 9)])
@pytest.mark.parametrize("format_name", ["yuv420p", "yuv422p10le", "nv12", "gbrp"])
def test_a_disc_is_seen_where_it_was_drawn(rotation: int, aspect: Fraction, format_name: str) -> None:
    geometry = StreamGeometry(322, 242, rotation, aspect)
    frame = make_frame(322, 242, "rgb24")
    plane_view(frame, 0, pixel_format("rgb24"))[...] = 40
    frame = frame.reformat(format=format_name)
    width, height = geometry.display_size
    centre = np.array([0.7 * width, 0.3 * height])
    patch_from_display = np.array([[1.0, 0.0, 47.5 - centre[0]], [0.0, 1.0, 47.5 - centre[1]]])
    red = np.zeros((96, 96, 3), np.float32)
    red[..., 0] = 1
    write_patch(frame, geometry, red, disc(96, 30), patch_from_display)
    picture, display_from_analysis = analysis_picture(frame, geometry, long_side=400)
    assert picture.flags.c_contiguous
    assert abs(picture.shape[1] / picture.shape[0] - width / height) < 0.02
    redness = np.clip(picture[..., 0].astype(np.float64) - picture[..., 1] - 60, 0, None)
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    seen = np.array([(xs * redness).sum(), (ys * redness).sum()]) / redness.sum()
    seen_display = display_from_analysis[:, :2] @ seen + display_from_analysis[:, 2]
    # The small picture ignores that MPEG chroma lies half a luma px to the left.
    assert np.abs(seen_display - centre).max() < 0.5 + 0.5 * max(aspect, 1 / aspect)
    area = (redness > 60).sum() * abs(np.linalg.det(display_from_analysis[:, :2]))
    assert area == pytest.approx(np.pi * 30**2, rel=0.05)
    # And the patch read from there shows it in its own middle.
    patch = read_patch(frame, geometry, patch_from_display, 96)
    assert patch[40:56, 40:56, 0].min() > 0.8
    assert patch[..., 1][disc(96, 26) > 0].max() < 0.3


@pytest.mark.parametrize("format_name", ["yuv420p", "yuvj420p", "gray", "rgb24", "yuv420p10le", "p010le"])
def test_colours_agree_with_swscale(format_name: str) -> None:
    frame = make_frame(192, 108, format_name)
    geometry = StreamGeometry(192, 108)
    expected = frame.reformat(format="rgb24").to_ndarray()
    picture, _ = analysis_picture(frame, geometry)
    assert np.abs(picture.astype(int) - expected).mean() < 3
    patch = read_patch(frame, geometry, np.array([[1.0, 0.0, -40.0], [0.0, 1.0, -5.0]]), 96)
    assert np.abs(patch * 255 - expected[5:101, 40:136]).mean() < 3


@pytest.mark.parametrize(("tag", "code"), [(1, (63, 102, 240)), (6, (81, 90, 240)), (9, (74, 97, 240))])
def test_the_streams_own_matrix_is_used(tag: int, code: tuple[int, int, int]) -> None:
    """Pure red in limited range, code values of BT.709, BT.601 and BT.2020."""
    frame = make_frame(64, 64, "yuv444p")
    frame.colorspace = tag
    geometry = StreamGeometry(64, 64)
    red = np.zeros((64, 64, 3), np.float32)
    red[..., 0] = 1
    write_patch(frame, geometry, red, np.ones((64, 64), np.float32), np.eye(2, 3))
    layout = pixel_format("yuv444p")
    assert tuple(int(plane_view(frame, index, layout)[32, 32]) for index in range(3)) == code


def test_untagged_streams_follow_their_size() -> None:
    for size, luma in (((640, 480), 81), ((1280, 720), 63)):
        frame = make_frame(*size, "yuv444p")
        frame.colorspace = 2
        red = np.zeros((64, 64, 3), np.float32)
        red[..., 0] = 1
        write_patch(frame, StreamGeometry(*size), red, np.ones((64, 64), np.float32), np.eye(2, 3))
        assert int(plane_view(frame, 0, pixel_format("yuv444p"))[30, 30]) == luma


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = av.VideoFrame.from_ndarray(stripes, format="rgb24").reformat(format="gray")
    geometry = StreamGeometry(256, 256)
    patch = read_patch(frame, geometry, np.array([[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]]), 60)
    assert patch[4:-4, 4:-4].std() < 0.02
    flat = make_frame(256, 256, "gray")
    large = np.zeros((256, 256, 3), np.float32)
    large[:, ::2] = 1
    write_patch(
        flat, geometry, large, np.ones((256, 256), np.float32), np.array([[6.0, 0, -400], [0, 6.0, -400]])
    )
    written = plane_view(flat, 0, pixel_format("gray"))[75:100, 75:100]
    assert written.std() < 12


def test_patches_partly_or_wholly_outside_the_picture() -> None:
    frame = make_frame(64, 48, "yuv420p")
    geometry = StreamGeometry(64, 48)
    half_out = np.array([[1.0, 0.0, 32.0], [0.0, 1.0, 32.0]])
    assert read_patch(frame, geometry, half_out, 64).shape == (64, 64, 3)
    patch, alpha = np.ones((64, 64, 3), np.float32), np.ones((64, 64), np.float32)
    write_patch(frame, geometry, patch, alpha, half_out)
    layout = pixel_format("yuv420p")
    assert plane_view(frame, 0, layout)[0, 0] == 235
    before = planes_of(frame)
    write_patch(frame, geometry, patch, alpha, np.array([[1.0, 0.0, 500.0], [0.0, 1.0, 0.0]]))
    write_patch(frame, geometry, patch, np.zeros_like(alpha), half_out)
    assert all(np.array_equal(a, b) for a, b in zip(before, planes_of(frame), strict=True))


def test_values_that_are_not_finite_never_reach_a_plane() -> None:
    frame = make_frame(64, 48, "yuv420p")
    before = planes_of(frame)
    patch, alpha = np.ones((16, 16, 3), np.float32), np.ones((16, 16), np.float32)
    for broken in ("patch", "alpha"):
        arrays = {"patch": patch.copy(), "alpha": alpha.copy()}
        arrays[broken][3, 3] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            write_patch(frame, StreamGeometry(64, 48), arrays["patch"], arrays["alpha"], np.eye(2, 3))
    assert all(np.array_equal(a, b) for a, b in zip(before, planes_of(frame), strict=True))


def test_a_frame_the_decoder_still_holds_is_copied_before_writing() -> None:
    frame = make_frame(64, 48, "yuv420p")
    codec = av.CodecContext.create("rawvideo", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 48, "yuv420p", Fraction(1, 25)
    packet = codec.encode(frame)[0]
    payload = bytes(packet)
    decoder = av.CodecContext.create("rawvideo", "r")
    decoder.width, decoder.height, decoder.pix_fmt = 64, 48, "yuv420p"
    decoded = decoder.decode(packet)[0]
    write_patch(
        decoded,
        StreamGeometry(64, 48),
        np.ones((32, 32, 3), np.float32),
        np.ones((32, 32), np.float32),
        np.eye(2, 3),
    )
    assert bytes(packet) == payload
    assert plane_view(decoded, 0, pixel_format("yuv420p"))[4, 4] == 235


def test_formats_without_planes_have_an_equivalent_that_has() -> None:
    for name in (
        "pal8",
        "yuyv422",
        "uyvy422",
        "yuv420p10be",
        "gray16be",
        "rgb565le",
        "bgr8",
        "monow",
        "gbrpf32le",
    ):
        assert not is_native(name)
        target = planar_equivalent(name)
        assert target is not None
        assert is_native(target)
    assert planar_equivalent("yuv420p") is None
    with pytest.raises(ValueError, match="pal8"):
        read_patch(av.VideoFrame(16, 16, "pal8"), StreamGeometry(16, 16), np.eye(2, 3), 8)


def test_inverse_affines_agree() -> None:
    geometry = StreamGeometry(320, 240, 270, Fraction(16, 11))
    both = compose_affine(geometry.display_from_native, invert_affine(geometry.display_from_native))
    assert np.allclose(both, np.eye(2, 3))


def test_a_patch_that_is_not_square_lands_where_it_should() -> None:
    geometry = StreamGeometry(64, 48)
    for dtype, white in ((np.float32, 1.0), (np.uint8, 255)):
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        patch = np.full((10, 20, 3), white, dtype)
        write_patch(
            frame, geometry, patch, np.ones((10, 20), np.float32), np.array([[1.0, 0, -30], [0, 1, -5]])
        )
        seen = frame.to_ndarray()[..., 0]
        assert (seen[5:15, 30:50] == 255).all()
        seen[5:15, 30:50] = 0
        assert not seen.any()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("format_name", ["yuv420p", "nv12", "yuv422p10le", "gray", "rgb24"])
@pytest.mark.parametrize("shrink", [0.6, 1.0, 2.3, 5.0])
def test_patches_cut_from_a_region_are_those_of_the_planes(
    rotation: int, format_name: str, shrink: float
) -> None:
    geometry = StreamGeometry(640, 480, rotation)
    video = make_frame(640, 480, format_name)
    frame = Frame(0, 0, Fraction(1, 25), video, geometry)
    size = 64
    patch_from_display = centred_patch(geometry, size, 1.0 / shrink)
    middle = np.array(geometry.display_size) / 2.0
    half = 0.75 * size * shrink
    region = FaceRegion(frame, np.concatenate([middle - half, middle + half]), shrink)
    seen = region.patch(patch_from_display, size)
    expected = read_patch(video, geometry, patch_from_display, size)
    assert np.abs(seen - expected).mean() < 0.006
    # A coarser patch out of the same region: averaged, not skipped.
    coarse = centred_patch(geometry, size // 4, 0.25 / shrink)
    expected = read_patch(video, geometry, coarse, size // 4)
    assert np.abs(region.patch(coarse, size // 4) - expected).mean() < 0.012


def test_a_region_at_the_border_repeats_it_and_one_outside_is_still_a_picture() -> None:
    geometry = StreamGeometry(101, 67)
    frame = Frame(0, 0, Fraction(1, 25), make_frame(101, 67, "yuv420p"), geometry)
    for box in ([-30.0, -30.0, 20.0, 20.0], [80.0, 50.0, 140.0, 99.0], [300.0, 300.0, 340.0, 340.0]):
        patch = FaceRegion(frame, np.array(box), 1.0).patch(
            np.array([[1.0, 0, -box[0]], [0, 1, -box[1]]]), 48
        )
        assert patch.shape == (48, 48, 3)
        assert np.isfinite(patch).all()
    with pytest.raises(ValueError, match="finite"):
        FaceRegion(frame, np.array([0.0, 0.0, np.nan, 5.0]), 1.0)


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e-6])
def test_a_patch_of_absurd_size_is_written_at_once(scale: float) -> None:
    """Padded up to a whole cell of what it shrinks to, it would take minutes, or all memory."""
    frame = make_frame(64, 48, "yuv420p")
    shift = 20.0 - 30.0 * scale
    patch_from_display = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
    alpha = np.ones((40, 40), np.float32)
    write_patch(frame, StreamGeometry(64, 48), np.zeros((40, 40, 3), np.uint8), alpha, patch_from_display)
    # As large as the picture, or less than a pixel of it.
    assert planes_of(frame)[0].max() == 16 if scale < 1.0 else planes_of(frame)[0].max() > 16


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("scale", [0.6, 1.0, 1.1, 2.3, 3.5])
def test_a_patch_of_the_pictures_own_colour_is_not_seen(scale: float, dtype: type) -> None:
    """Also at its very border, where it ends with a sharp edge and is averaged down for a coarser plane."""
    grey = np.full((96, 128, 3), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv420p")
    before = planes_of(frame)
    patch = np.full((61, 47, 3), 128 if dtype is np.uint8 else 128 / 255, dtype)
    patch_from_display = np.array([[scale, 0.0, 20.0 - 60.3 * scale], [0.0, scale, 30.0 - 50.7 * scale]])
    write_patch(frame, StreamGeometry(128, 96), patch, np.ones((61, 47), np.float32), patch_from_display)
    for plane, old in zip(planes_of(frame), before, strict=True):
        assert np.abs(plane.astype(int) - old).max() <= 1
