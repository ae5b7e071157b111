"""What a decoder hangs onto frames that may name people: closed captions, time codes, messages of the encoder before.

Some encoders write it into the new stream by themselves. It is switched off where there is an option for it; other
encoders that may do so are given frames without any side data.
"""

from __future__ import annotations

from collections.abc import Mapping

import av

from streamer.sink.bare import bare_copy
from streamer.source.orientation import side_data_of

_OPTION = {"libx264": {"a53cc": "0"}, "libx265": {"a53cc": "0"}, "mpeg2video": {"a53cc": "0"}}
# NVENC writes time codes too, VA-API has captions among its flags, and drivers differ.
_HARDWARE = ("_nvenc", "_qsv", "_vaapi")
_NOTICES = {
    "A53_CC": "closed captions in the picture are left out: they may carry names",
    "GOP_TIMECODE": "time codes in the picture are left out",
    "S12M_TIMECODE": "time codes in the picture are left out",
}


def without_captions(encoder: str, options: Mapping[str, str]) -> dict[str, str]:
    """The encoder's options, with captions off."""
    return {**options, **_OPTION.get(encoder, {})}


def left_out(video: av.VideoFrame) -> set[str]:
    """One notice for each kind of such data on a frame."""
    return {_NOTICES[name] for name in side_data_of(video) if name in _NOTICES}


def fit_for(encoder: str, video: av.VideoFrame) -> av.VideoFrame:
    """The frame to give to this encoder: itself, or a copy of its samples where data on it could get through."""
    return bare_copy(video) if encoder.endswith(_HARDWARE) and _has_side_data(video) else video


def _has_side_data(video: av.VideoFrame) -> bool:
    try:
        return len(video.side_data) > 0
    except ValueError:
        # Of a kind that PyAV does not know.
        return True
