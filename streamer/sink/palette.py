"""Colours for GIF: every frame gets the best 256 of its own."""

from __future__ import annotations

from fractions import Fraction

import av


class PaletteMaker:
    """Turns bgra frames of one size into palette frames, by FFmpeg's palettegen and paletteuse."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)

    def apply(self, video: av.VideoFrame) -> av.VideoFrame:
        """The frame in pal8. A graph of its own each time: paletteuse otherwise waits for the frame after."""
        width, height = self._size
        video.pts, video.time_base = 0, Fraction(1, 100)
        if video.format.name != "bgra":
            video = video.reformat(format="bgra")
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("bgra"), time_base=Fraction(1, 100)
        )
        split = graph.add("split")
        generate = graph.add("palettegen", "stats_mode=full:reserve_transparent=1")
        use = graph.add("paletteuse", "dither=sierra2_4a")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        graph.push(video)
        graph.push(None)
        result = graph.pull()
        assert isinstance(result, av.VideoFrame)
        return result
