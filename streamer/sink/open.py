"""Which kind of sink an output path is."""

from __future__ import annotations

import os
from pathlib import Path

from streamer.errors import OutputError
from streamer.settings import EncodeSettings
from streamer.sink.base import FrameSink
from streamer.sink.picture_sink import PictureSink
from streamer.sink.video_sink import VideoSink
from streamer.source import IMAGE_SUFFIXES, StreamInfo


def open_sink(
    output: str | os.PathLike[str],
    info: StreamInfo,
    *,
    copy_from: str | os.PathLike[str] | None,
    encode: EncodeSettings | None = None,
    overwrite: bool = False,
    queue_frames: int = 8,
) -> FrameSink:
    """Open a video or picture output by its file name's ending.

    Args:
        info: of the source whose frames will be written.
        copy_from: the input, whose sound, subtitles and chapters are copied; None writes the picture alone.

    Raises:
        OutputError, SettingsError: one line that says why it cannot be written there, or so.
    """
    path = Path(output)
    source = None if copy_from is None else Path(copy_from)
    settings = encode or EncodeSettings()
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if not info.is_image:
            raise OutputError(f"{path}: a video cannot be written as a picture; use .mp4 or .mkv")
        return PictureSink(path, info, copy_from=source, encode=settings, overwrite=overwrite)
    # Pictures are read from memory and have no sound.
    source_with_sound = None if info.is_image else source
    return VideoSink(
        path,
        info,
        copy_from=source_with_sound,
        encode=settings,
        overwrite=overwrite,
        queue_frames=queue_frames,
    )
