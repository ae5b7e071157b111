"""What the container formats of the outputs can hold, and how their muxers are told to keep it."""

from __future__ import annotations

import math
from fractions import Fraction

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream

from streamer.source.info import StreamInfo

# Public and short: viewers and asset managers show this field.
SYNTHETIC_MARK = "Faces replaced by synthetic content (veilstream)"

_MILLISECOND = Fraction(1, 1000)
_FIXED_TIME_BASE = {
    "matroska": _MILLISECOND,
    "webm": _MILLISECOND,
    "flv": _MILLISECOND,
    "asf": _MILLISECOND,
    "mpegts": Fraction(1, 90000),
    "mpeg": Fraction(1, 90000),
    "vob": Fraction(1, 90000),
    "dvd": Fraction(1, 90000),
    "gif": Fraction(1, 100),
}
_MP4_LIKE = frozenset({"mp4", "mov", "ipod", "3gp", "3g2", "f4v", "psp"})
_FRAME_RATE_ONLY = frozenset(
    {"avi", "ogg", "mxf", "m4v", "mpeg2video", "mpeg1video", "mjpeg", "yuv4mpegpipe"}
)
_HOLDS_ROTATION = _MP4_LIKE | {"matroska", "webm"}
# Their time stamps cannot be negative, so a delay for B-frames would shift everything that starts at zero.
_NO_NEGATIVE_TIME = frozenset({"mpegts", "mpeg", "vob", "dvd", "flv", "asf"})
_HOLDS_MARK = _MP4_LIKE | {"matroska", "webm", "avi", "asf", "flv", "ogg"}


# Where the muxer does not say which codecs it takes, or says yes to some that no player finds in there (or, for
# sound in FLV, aborts the process): video by encoder, everything else by codec.
_MPEG_SOUND = frozenset({"mp1", "mp2", "mp3", "ac3", "dts"})
_VIDEO = {
    "mpegts": {"libx264", "libx265", "mpeg2video", "mpeg1video", "mpeg4"},
    "mpeg": {"mpeg1video", "mpeg2video"},
    "vob": {"mpeg1video", "mpeg2video"},
    "dvd": {"mpeg1video", "mpeg2video"},
    "flv": {"libx264", "flv"},
    "ogg": {"theora"},
    "ogv": {"theora"},
    "gif": {"gif"},
}
_OTHERS = {
    "mpegts": _MPEG_SOUND | {"aac", "aac_latm", "eac3", "truehd", "opus", "dvb_subtitle", "dvb_teletext"},
    "mpeg": _MPEG_SOUND | {"dvd_subtitle"},
    "vob": _MPEG_SOUND | {"dvd_subtitle"},
    "dvd": _MPEG_SOUND | {"dvd_subtitle"},
    "flv": frozenset({"aac", "mp3"}),
    "ogg": frozenset({"vorbis", "opus", "flac", "speex"}),
    "ogv": frozenset({"vorbis", "opus", "flac", "speex"}),
    "gif": frozenset[str](),
}


def video_encoders(container: OutputContainer) -> set[str]:
    """Encoders whose video the container takes."""
    name = container.format.name
    return _VIDEO[name] if name in _VIDEO else set(container.supported_codecs) - {"gif"}


def takes_copied(container: OutputContainer, stream: Stream, codec: str) -> bool:
    """False where this sound or these subtitles have no place in the container; the muxer has the last word."""
    name = container.format.name
    if name in _MP4_LIKE and codec.startswith("pcm_") and isinstance(stream, AudioStream):
        # Found out by FFmpeg only when the file is complete: PCM in MP4 must say which speaker is which.
        return name == "mov" or not stream.layout.name.endswith("channels")
    return name not in _OTHERS or codec in _OTHERS[name]


def output_time_base(format_name: str, info: StreamInfo) -> Fraction:
    """The unit of time stamps in the output: the input's own wherever the container can state it."""
    if format_name in _FIXED_TIME_BASE:
        return _FIXED_TIME_BASE[format_name]
    if format_name in _FRAME_RATE_ONLY:
        same = format_name in info.container.split(",")
        return info.time_base if same or not info.frame_rate else 1 / info.frame_rate
    # ISO base media files count in whole parts of a second.
    return Fraction(1, info.time_base.denominator)


def muxer_options(format_name: str, time_base: Fraction, info: StreamInfo) -> dict[str, str]:
    """Options of the muxer that keep time stamps as they are and leave the program's own tags out.

    An MP4 that starts late says so in units of the movie's own clock: it must be a multiple of every track's.
    """
    options = {"fflags": "+bitexact"}
    if format_name in _MP4_LIKE:
        options["video_track_timescale"] = str(time_base.denominator)
        clock = math.lcm(time_base.denominator, *(base.denominator for base in info.sound_time_bases))
        options["movie_timescale"] = str(clock if clock < 2**31 else time_base.denominator)
        options["movflags"] = "+faststart+use_metadata_tags" if format_name == "mov" else "+faststart"
    elif format_name == "mpegts":
        options["mpegts_copyts"] = "1"
    elif format_name in ("mpeg", "vob", "dvd"):
        options["preload"] = "0"
    return options


def mark_tags(format_name: str) -> dict[str, str]:
    """Container tags that say the picture is synthetic; empty where the container has no tags."""
    if format_name in _HOLDS_MARK:
        return {"comment": SYNTHETIC_MARK}
    if format_name == "mpegts":
        return {"service_provider": "veilstream", "service_name": SYNTHETIC_MARK}
    if format_name == "mxf":
        return {"company_name": "veilstream", "product_name": SYNTHETIC_MARK}
    return {}


def holds_rotation(format_name: str) -> bool:
    return format_name in _HOLDS_ROTATION


def states_negative_time(format_name: str) -> bool:
    """False where stamps before zero make the muxer move everything."""
    return format_name in _MP4_LIKE


def needs_no_b_frames(format_name: str, info: StreamInfo) -> bool:
    """True where reordered frames would lose or shift their time stamps."""
    if format_name == "avi":
        return True
    starts_at_seconds = info.start_pts * info.time_base
    delay_seconds = 4 / (info.frame_rate or Fraction(25))
    return format_name in _NO_NEGATIVE_TIME and starts_at_seconds < delay_seconds
