"""What a source knows about its stream before the first frame leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class ColorTags:
    """H.273 code points, 2 for "unspecified"; `range` is 0 unspecified, 1 limited, 2 full."""

    range: int = 0
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A video stream and what accompanies it.

    Attributes:
        container: FFmpeg's name of the container format ("mov,mp4,m4a,3gp,3g2,mj2").
        codec: codec family, not the decoder's name ("h264", "av1").
        pixel_format: of the frames the source delivers; `coded_pixel_format` is the decoder's.
        rotation_degrees: clockwise turn for display.
        display_matrix: the nine integers of the container's display matrix, or None.
        frame_rate: average, or None when unknown; VFR files have one too.
        time_base: unit of every pts of the stream, seconds.
        start_pts: of the first frame, in units of `time_base`.
        duration_seconds, frame_count: estimates, None when unknown.
        bit_depth: of luma.
        mastering_display, content_light: HDR side data as FFmpeg stores it, or None.
        audio, subtitles: codec of each such stream, in the container's order.
        sound_time_bases: of each sound track.
        other_videos: further video tracks (cover pictures excluded).
    """

    container: str
    codec: str
    pixel_format: str
    coded_pixel_format: str
    width: int
    height: int
    rotation_degrees: int
    display_matrix: tuple[int, ...] | None
    sample_aspect: Fraction
    frame_rate: Fraction | None
    time_base: Fraction
    start_pts: int
    duration_seconds: float | None
    frame_count: int | None
    color: ColorTags
    bit_depth: int
    interlaced: bool
    mastering_display: bytes | None = None
    content_light: bytes | None = None
    bit_rate: int | None = None
    audio: tuple[str, ...] = ()
    sound_time_bases: tuple[Fraction, ...] = ()
    subtitles: tuple[str, ...] = ()
    chapters: int = 0
    other_videos: int = 0
    has_cover_picture: bool = False
    is_image: bool = False
