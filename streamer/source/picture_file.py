"""Pictures (JPEG, PNG, WebP, BMP, TIFF) as streams of one frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
from av.container import InputContainer

from streamer.errors import InputError
from streamer.frame import Frame, StreamGeometry
from streamer.planes import planar_equivalent
from streamer.redact import reason_of
from streamer.source.base import VideoSource
from streamer.source.exif import TURNS, orientation_of
from streamer.source.opening import check_readable
from streamer.source.orientation import matrix_of_turn
from streamer.source.video_file import describe_stream


class PictureSource(VideoSource):
    """One picture, with its Exif orientation as rotation.

    Raises:
        InputError: missing, empty, or not a picture that can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        self.damaged = 0
        check_readable(path)
        data = path.read_bytes()
        try:
            # Read from memory: FFmpeg takes "%03d" in the name of a picture for a pattern.
            with av.open(io.BytesIO(data), "r") as container:
                stream = container.streams.video[0]
                video = next(container.decode(stream))
                equivalent = planar_equivalent(video.format.name)
                info = describe_stream(container, stream, video, equivalent or video.format.name)
                if _has_more(container):
                    self.notices.append("only the first picture in the file is kept, the others are left out")
        except (av.error.FFmpegError, OSError, ValueError, IndexError, StopIteration) as error:
            reason = "there is no picture in it" if isinstance(error, StopIteration) else reason_of(error)
            raise InputError(f"{path}: not a picture that can be read ({reason})") from None
        if equivalent is not None or video.planes[0].line_size < 0:
            video = video.reformat(format=info.pixel_format)
        turn, mirrored = TURNS[orientation_of(data)]
        matrix = matrix_of_turn(turn, mirrored=mirrored) if turn or mirrored else None
        # A picture's pixel aspect (its print resolution) is not shown by viewers.
        self.stream_info = replace(
            info, display_matrix=matrix, rotation_degrees=turn, frame_count=1, is_image=True
        )
        self.geometry = StreamGeometry(info.width, info.height, turn)
        video.pts = 0
        self._frame: Frame | None = Frame(0, 0, info.time_base, video, self.geometry)

    def __iter__(self) -> Iterator[Frame]:
        frame, self._frame = self._frame, None
        if frame is not None:
            yield frame

    def close(self) -> None:
        self._frame = None


def _has_more(container: InputContainer) -> bool:
    """True when another picture follows the one just decoded (an animation, a burst); what cannot be read is none."""
    try:
        return next(container.decode(video=0), None) is not None
    except (av.error.FFmpegError, OSError, ValueError):
        return False
