"""Every picture at the size of the output, upright and with square pixels."""

from __future__ import annotations

import av

from streamer.frame import StreamGeometry
from streamer.planes.formats import pixel_format, plane_view
from streamer.sink.picture_sink import upright
from streamer.source.orientation import matrix_of_turn

PIXEL_FORMAT = "yuv420p"
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_BLACK, _NEUTRAL = 16, 128


def canvas_size(geometry: StreamGeometry) -> tuple[int, int]:
    """(width, height) of an output whose first picture is like this; even, as 4:2:0 wants it."""
    width, height = geometry.display_size
    return max(2, width - width % 2), max(2, height - height % 2)


class Canvas:
    """Fits pictures into a fixed size.

    Protocols and files cannot change the size of a running stream, so it is set by the first picture. A camera that
    changes its resolution is scaled into it, with black bars where the shape differs.

    Args:
        width, height: px, even.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._reformatter = av.video.reformatter.VideoReformatter()

    def fit(self, video: av.VideoFrame, geometry: StreamGeometry) -> av.VideoFrame:
        """The picture in yuv420p of limited range; the very frame where it is so already. The frame is only read."""
        if self._fits(video, geometry):
            return video
        source = video
        if geometry.rotation_degrees:
            source = upright(video, matrix_of_turn(geometry.rotation_degrees, mirrored=False))
        width, height = self._inner_size(geometry)
        scaled = self._reformatter.reformat(
            source,
            width=width,
            height=height,
            format=PIXEL_FORMAT,
            interpolation="BILINEAR",
            dst_color_range=_LIMITED_RANGE,
        )
        placed = scaled if (width, height) == (self.width, self.height) else self._with_bars(scaled)
        placed.pts, placed.time_base, placed.pict_type = video.pts, video.time_base, video.pict_type
        return placed

    def _fits(self, video: av.VideoFrame, geometry: StreamGeometry) -> bool:
        return (
            video.format.name == PIXEL_FORMAT
            and video.color_range != _FULL_RANGE
            and not geometry.rotation_degrees
            and geometry.display_size == (video.width, video.height) == (self.width, self.height)
        )

    def _inner_size(self, geometry: StreamGeometry) -> tuple[int, int]:
        width, height = geometry.display_size
        scale = min(self.width / width, self.height / height)
        inner = [min(most, max(2, round(side * scale / 2) * 2)) for side, most in
                 ((width, self.width), (height, self.height))]  # fmt: skip
        return inner[0], inner[1]

    def _with_bars(self, scaled: av.VideoFrame) -> av.VideoFrame:
        canvas = av.VideoFrame(self.width, self.height, PIXEL_FORMAT)
        canvas.color_range, canvas.colorspace = _LIMITED_RANGE, scaled.colorspace
        layout = pixel_format(PIXEL_FORMAT)
        left, top = ((self.width - scaled.width) // 4 * 2, (self.height - scaled.height) // 4 * 2)
        for index, spec in enumerate(layout.planes):
            target, source = plane_view(canvas, index, layout), plane_view(scaled, index, layout)
            target[...] = _NEUTRAL if index else _BLACK
            x, y = left // spec.step_x, top // spec.step_y
            target[y : y + source.shape[0], x : x + source.shape[1]] = source
        return canvas
