"""Which kind of source a path is."""

from __future__ import annotations

import os
from pathlib import Path

from streamer.settings import HardwareDecoding
from streamer.source.base import VideoSource
from streamer.source.picture_file import PictureSource
from streamer.source.video_file import VideoFileSource

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def open_source(
    path: str | os.PathLike[str],
    *,
    threads: int = 0,
    queue_frames: int = 8,
    hardware: HardwareDecoding = HardwareDecoding.NONE,
) -> VideoSource:
    """Open a video or a picture by its file name's ending.

    Args:
        threads: decoder threads; 0 lets FFmpeg choose.
        queue_frames: frames decoded ahead.
        hardware: decode videos in hardware where that works, see `VideoFileSource`.

    Raises:
        InputError: one line that says what is wrong with the file.
    """
    file = Path(path)
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return PictureSource(file)
    return VideoFileSource(file, threads=threads, queue_frames=queue_frames, hardware=hardware)
