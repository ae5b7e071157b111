"""Frames without anything but their samples."""

from __future__ import annotations

import av

from streamer.planes.formats import pixel_format, plane_view


def bare_frame(video: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """An empty frame in the format and colours of another, without its side data.

    Encoders of pictures (JPEG, PNG, WebP) write the Exif data they find on a frame, with place and camera.
    """
    bare = av.VideoFrame(width, height, video.format.name)
    bare.colorspace, bare.color_range = video.colorspace, video.color_range
    bare.color_primaries, bare.color_trc = video.color_primaries, video.color_trc
    return bare


def bare_copy(video: av.VideoFrame) -> av.VideoFrame:
    """The same samples in a frame of their own, without side data."""
    bare = bare_frame(video, video.width, video.height)
    layout = pixel_format(video.format.name)
    for index in range(len(layout.planes)):
        plane_view(bare, index, layout)[...] = plane_view(video, index, layout)
    return bare
