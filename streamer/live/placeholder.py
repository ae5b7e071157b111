"""The picture that stands in while the camera is away."""

from __future__ import annotations

import av
import cv2
import numpy as np

from streamer.frame import AnalyzedFrame, StreamGeometry
from streamer.live.frame import CLOCK, LiveFrame
from streamer.planes.formats import pixel_format, plane_view
from streamer.render.compositor import AnonymizedFrame, Compositor
from streamer.settings import ReplaceWith

TEXT = "no signal"
_BACKGROUND, _FOREGROUND, _NEUTRAL = 40, 180, 128


class Placeholder:
    """Plain grey with "no signal" in its middle. Nothing of any earlier picture is in it."""

    def __init__(self) -> None:
        # Takes the way of every other frame: only a compositor makes what an output accepts.
        self._compositor = Compositor(None, ReplaceWith.SOLID)
        self._luma = np.zeros((0, 0), np.uint8)

    def frame(self, width: int, height: int, pts: int) -> AnonymizedFrame:
        """A new frame of this size (yuv420p, limited range), `pts` in units of `CLOCK`."""
        video = av.VideoFrame(width, height, "yuv420p")
        video.color_range = 1
        layout = pixel_format("yuv420p")
        plane_view(video, 0, layout)[...] = self._picture(width, height)
        for index in (1, 2):
            plane_view(video, index, layout)[...] = _NEUTRAL
        frame = LiveFrame(0, pts, CLOCK, video, StreamGeometry(width, height))
        return self._compositor.compose(AnalyzedFrame(frame))

    def _picture(self, width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """(height, width) luma, kept until the size changes."""
        if self._luma.shape != (height, width):
            self._luma = np.full((height, width), _BACKGROUND, np.uint8)
            font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(height / 240))
            (unit_width, unit_height), _ = cv2.getTextSize(TEXT, font, 1.0, thickness)
            scale = min(0.5 * width / unit_width, 0.15 * height / unit_height)
            corner = (round((width - scale * unit_width) / 2), round((height + scale * unit_height) / 2))
            cv2.putText(self._luma, TEXT, corner, font, scale, _FOREGROUND, thickness, cv2.LINE_AA)
        return self._luma
