"""HDR side data (SMPTE ST 2086 mastering display, CTA-861.3 content light) as encoder options.

PyAV cannot hand stream side data to an encoder, but the encoders take the same numbers as text.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from streamer.source.info import StreamInfo

_CHROMATICITY_UNIT = 50000
_LUMINANCE_UNIT = 10000


def hdr_options(encoder: str, info: StreamInfo) -> dict[str, str]:
    """Options that make the encoder write the input's HDR metadata; empty where there is none."""
    mastering = _mastering(info.mastering_display)
    light = _content_light(info.content_light)
    names = {
        "libx264": ("x264-params", "mastering-display", "cll"),
        "libx265": ("x265-params", "master-display", "max-cll"),
        "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
    }
    if encoder not in names or not (mastering or light):
        return {}
    option, mastering_name, light_name = names[encoder]
    parts = []
    if mastering:
        parts.append(f"{mastering_name}={_mastering_text(mastering, fractions=encoder == 'libsvtav1')}")
    if light:
        parts.append(f"{light_name}={light[0]},{light[1]}")
    return {option: ":".join(parts)}


def _mastering(data: bytes | None) -> tuple[Fraction, ...] | None:
    """AVMasteringDisplayMetadata: R, G, B, white (x, y each), least and most luminance."""
    if data is None or len(data) < 88:
        return None
    *numbers, has_primaries, has_luminance = struct.unpack("=22i", data[:88])
    if not (has_primaries and has_luminance) or 0 in numbers[1::2]:
        return None
    return tuple(Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def _mastering_text(values: tuple[Fraction, ...], *, fractions: bool) -> str:
    """In the syntax of x264 and x265 (whole units), or of SVT-AV1 (`fractions`)."""
    xy, nits = (1.0, 1.0) if fractions else (_CHROMATICITY_UNIT, _LUMINANCE_UNIT)
    numbers = [float(value) * (xy if at < 8 else nits) for at, value in enumerate(values)]
    text = [f"{number:.5f}" if fractions else str(round(number)) for number in numbers]
    red, green, blue, white, luminance = (",".join(text[at : at + 2]) for at in range(0, 10, 2))
    darkest, brightest = luminance.split(",")
    return f"G({green})B({blue})R({red})WP({white})L({brightest},{darkest})"


def _content_light(data: bytes | None) -> tuple[int, int] | None:
    """AVContentLightMetadata: MaxCLL and MaxFALL, cd/m2."""
    if data is None or len(data) < 8:
        return None
    brightest, average = struct.unpack("=2I", data[:8])
    return (brightest, average) if brightest or average else None
