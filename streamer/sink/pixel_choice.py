"""Which of an encoder's pixel formats loses least."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import av


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """What a change of pixel format costs, worst first; compares like a tuple."""

    depth_bits: int = 0
    chroma: int = 0
    alpha: int = 0
    color_model: int = 0
    waste: int = 0

    @property
    def is_lossless(self) -> bool:
        """True when every sample value survives."""
        return (self.depth_bits, self.chroma, self.alpha, self.color_model) == (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Shape:
    bits: int
    chroma_x: int
    chroma_y: int
    has_chroma: bool
    has_alpha: bool
    is_rgb: bool
    full_range: bool


@functools.lru_cache(maxsize=512)
def _shape(name: str) -> _Shape:
    described = av.VideoFormat(name, 64, 64)
    components = described.components
    # PyAV calls a component chroma only where it is subsampled.
    colors = [component for component in components if not component.is_alpha]
    chroma = colors[1:] if len(colors) >= 3 else []
    rgb = described.is_rgb or described.has_palette
    return _Shape(
        bits=max(component.bits for component in components),
        chroma_x=64 // chroma[0].width if chroma else 1,
        chroma_y=64 // chroma[0].height if chroma else 1,
        has_chroma=bool(chroma) or rgb,
        has_alpha=any(component.is_alpha for component in components),
        is_rgb=rgb,
        full_range=name.startswith("yuvj"),
    )


def loss(source: str, target: str) -> Loss:
    """What is lost when frames of format `source` are encoded as `target`."""
    if source == target:
        return Loss()
    a, b = _shape(source), _shape(target)
    chroma = max(0, b.chroma_x - a.chroma_x) + max(0, b.chroma_y - a.chroma_y)
    if a.has_chroma and not b.has_chroma:
        chroma += 64
    if a.is_rgb and not b.is_rgb:
        # RGB into a YUV codec: 4:2:0 is what players can show, so nothing finer counts as better.
        chroma = 0
        a = replace(a, chroma_x=2, chroma_y=2)
    elif b.is_rgb and not a.is_rgb:
        # Every sample would be another, and few players show it.
        chroma += 8
    model = int(a.is_rgb != b.is_rgb) + int(a.full_range != b.full_range and not a.is_rgb)
    waste = max(0, b.bits - a.bits) * 4 + abs(b.chroma_x - a.chroma_x) + abs(b.chroma_y - a.chroma_y)
    waste += 8 * int(b.has_alpha and not a.has_alpha) + 2 * int(b.has_chroma and not a.has_chroma)
    return Loss(max(0, a.bits - b.bits), chroma, int(a.has_alpha and not b.has_alpha), model, waste)


def is_subsampled(name: str) -> bool:
    """True when chroma is coarser than luma."""
    shape = _shape(name)
    return shape.chroma_x > 1 or shape.chroma_y > 1


def is_plain_yuv(name: str) -> bool:
    """True for YUV or grey without transparency."""
    shape = _shape(name)
    return not shape.is_rgb and not shape.has_alpha


def nearest(source: str, supported: tuple[str, ...]) -> str:
    """The supported format that loses least. `supported` must not be empty."""
    return min(supported, key=lambda name: loss(source, name))
