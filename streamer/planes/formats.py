"""Which pixel formats are read and written in place, and how their planes hold the colour components.

A format is described once, here; everything else in this package works from the description.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt

# uint8 or uint16, by the format's depth.
AnyArray = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PlaneSpec:
    """One plane.

    Attributes:
        components: for every interleaved sample of a pixel, the colour component it holds (0, 1, 2 = Y, U, V
            or R, G, B), or None for one that is left alone (alpha, padding).
        step_x, step_y: subsampling against luma.
    """

    components: tuple[int | None, ...]
    step_x: int = 1
    step_y: int = 1

    @property
    def has_color(self) -> bool:
        """False for a plane of transparency alone."""
        return any(component is not None for component in self.components)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A pixel format whose planes are written in place.

    Attributes:
        family: "yuv", "gray" or "rgb".
        bits: significant bits of a sample.
        shift: how far the sample is shifted up in its 16-bit word (6 for p010).
        full_range: True where the name itself says so (yuvj, RGB), else the frame's tag decides.
    """

    name: str
    family: str
    planes: tuple[PlaneSpec, ...]
    bits: int = 8
    shift: int = 0
    full_range: bool = False

    @property
    def word(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def code_max(self) -> int:
        return (1 << self.bits) - 1

    @property
    def chroma_is_centred(self) -> bool:
        """JPEG places chroma in the middle of its block, MPEG to the left."""
        return self.name.startswith("yuvj")


_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}


_ALPHA_PLANE = PlaneSpec((None,))


def _planar_yuv(name: str, sampling: str, bits: int = 8, full_range: bool = False) -> PixelFormat:
    step_x, step_y = _SUBSAMPLING[sampling]
    planes: tuple[PlaneSpec, ...] = (
        PlaneSpec((0,)),
        *(PlaneSpec((index,), step_x, step_y) for index in (1, 2)),
    )
    planes += (_ALPHA_PLANE,) * name.startswith("yuva")
    return PixelFormat(name, "yuv", planes, bits=bits, full_range=full_range)


def _semi_planar(
    name: str, sampling: str, order: tuple[int, int], bits: int = 8, shift: int = 0
) -> PixelFormat:
    planes = (PlaneSpec((0,)), PlaneSpec(order, *_SUBSAMPLING[sampling]))
    return PixelFormat(name, "yuv", planes, bits=bits, shift=shift)


def _packed_rgb(name: str, order: str, bits: int = 8) -> PixelFormat:
    components = tuple("rgb".index(letter) if letter in "rgb" else None for letter in order)
    return PixelFormat(name, "rgb", (PlaneSpec(components),), bits=bits, full_range=True)


def _planar_rgb(name: str, bits: int = 8) -> PixelFormat:
    planes = (PlaneSpec((1,)), PlaneSpec((2,)), PlaneSpec((0,))) + (_ALPHA_PLANE,) * name.startswith("gbrap")
    return PixelFormat(name, "rgb", planes, bits=bits, full_range=True)


def _all_formats() -> dict[str, PixelFormat]:
    formats: list[PixelFormat] = []
    for sampling in ("420", "422", "444", "440", "411", "410"):
        formats.append(_planar_yuv(f"yuv{sampling}p", sampling))
    for sampling in ("420", "422", "444", "440", "411"):
        formats.append(_planar_yuv(f"yuvj{sampling}p", sampling, full_range=True))
    for sampling in ("420", "422", "444"):
        formats.append(_planar_yuv(f"yuva{sampling}p", sampling))
        for bits in (9, 10, 12, 14, 16):
            formats.append(_planar_yuv(f"yuv{sampling}p{bits}le", sampling, bits))
        for bits in (9, 10, 16) if sampling == "420" else (9, 10, 12, 16):
            formats.append(_planar_yuv(f"yuva{sampling}p{bits}le", sampling, bits))
    for bits in (10, 12):
        formats.append(_planar_yuv(f"yuv440p{bits}le", "440", bits))
    formats += [
        _semi_planar("nv12", "420", (1, 2)),
        _semi_planar("nv21", "420", (2, 1)),
        _semi_planar("nv16", "422", (1, 2)),
        _semi_planar("nv24", "444", (1, 2)),
        _semi_planar("p010le", "420", (1, 2), bits=10, shift=6),
        _semi_planar("p012le", "420", (1, 2), bits=12, shift=4),
        _semi_planar("p016le", "420", (1, 2), bits=16),
        _semi_planar("p210le", "422", (1, 2), bits=10, shift=6),
    ]
    formats.append(PixelFormat("gray", "gray", (PlaneSpec((0,)),)))
    formats.append(PixelFormat("ya8", "gray", (PlaneSpec((0, None)),)))
    for bits in (9, 10, 12, 14, 16):
        formats.append(PixelFormat(f"gray{bits}le", "gray", (PlaneSpec((0,)),), bits=bits))
    formats += [_planar_rgb("gbrp"), _planar_rgb("gbrap")]
    for bits in (9, 10, 12, 14, 16):
        formats.append(_planar_rgb(f"gbrp{bits}le", bits))
    for bits in (10, 12, 16):
        formats.append(_planar_rgb(f"gbrap{bits}le", bits))
    for order in ("rgb", "bgr"):
        formats.append(_packed_rgb(f"{order}24", order))
        formats.append(_packed_rgb(f"{order}48le", order, bits=16))
        formats.append(_packed_rgb(f"{order}a64le", f"{order}x", bits=16))
        for name, layout in ((f"{order}a", f"{order}x"), (f"a{order}", f"x{order}")):
            formats.append(_packed_rgb(name, layout))
            formats.append(_packed_rgb(name.replace("a", "0"), layout))
    return {entry.name: entry for entry in formats}


_FORMATS = _all_formats()


def pixel_format(name: str) -> PixelFormat:
    """Description of a format that is written in place. Raises ValueError for any other."""
    try:
        return _FORMATS[name]
    except KeyError:
        raise ValueError(f"pixel format {name!r} has no planes to write in place") from None


def is_native(name: str) -> bool:
    """True when frames of this pixel format are read and written without any conversion."""
    return name in _FORMATS


@functools.lru_cache(maxsize=64)
def planar_equivalent(name: str) -> str | None:
    """The format to convert a frame to, once, at no loss that matters; None when it needs no conversion.

    Palettes, packed YUV, big-endian words, floats and Bayer mosaics end here; depth and alpha stay.
    """
    if is_native(name):
        return None
    if name.endswith("be") and is_native(name[:-2] + "le"):
        return name[:-2] + "le"
    fixed = {
        "pal8": "bgra",
        "yuyv422": "yuv422p",
        "uyvy422": "yuv422p",
        "yvyu422": "yuv422p",
        "uyyvyy411": "yuv411p",
        "y210le": "yuv422p10le",
        "y212le": "yuv422p12le",
        "v210": "yuv422p10le",
        "xv30le": "yuv444p10le",
        "xv36le": "yuv444p12le",
        "vuyx": "yuv444p",
        "vuya": "yuva444p",
        "ayuv": "yuva444p",
        "x2rgb10le": "gbrp10le",
        "x2bgr10le": "gbrp10le",
        "monow": "gray",
        "monob": "gray",
    }
    if name in fixed:
        return fixed[name]
    described = av.VideoFormat(name)
    components = described.components
    deep = any(component.bits > 8 for component in components)
    has_alpha = any(component.is_alpha for component in components)
    if described.is_rgb or described.is_bayer or described.has_palette:
        if has_alpha or described.has_palette:
            return "gbrap16le" if deep else "bgra"
        return "gbrp16le" if deep else "rgb24"
    if sum(not component.is_alpha for component in components) < 3:
        return "gray16le" if deep else "gray"
    if has_alpha:
        return "yuva444p16le" if deep else "yuva444p"
    return "yuv444p16le" if deep else "yuv444p"


def plane_view(video_frame: av.VideoFrame, index: int, layout: PixelFormat) -> AnyArray:
    """The decoder's own plane as a numpy view, (h, w) or (h, w, samples), without a copy.

    The view is only valid until the frame is made writable again, and only to be written after it was.
    """
    plane = video_frame.planes[index]
    samples = len(layout.planes[index].components)
    item = 1 if layout.bits == 8 else 2
    if plane.line_size < 0:
        raise ValueError("bottom-up planes must be converted first")
    shape: tuple[int, ...] = (plane.height, plane.width)
    strides: tuple[int, ...] = (plane.line_size, item * samples)
    if samples > 1:
        shape, strides = (*shape, samples), (*strides, item)
    view: AnyArray = np.ndarray(shape, dtype=layout.word, buffer=memoryview(plane), strides=strides)
    return view
