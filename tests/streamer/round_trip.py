"""Files through source and sink with a compositor that finds no face: every difference is one of the file's own."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from streamer.frame import AnalyzedFrame
from streamer.render.compositor import Compositor
from streamer.settings import EncodeSettings, ReplaceWith
from streamer.sink import open_sink
from streamer.source import open_source


def convert(source_path: Path, output: Path, **settings: Any) -> list[str]:
    """Source to sink; gives the notices of both."""
    compositor = Compositor(None, ReplaceWith.SOLID)
    with (
        open_source(source_path) as source,
        open_sink(
            output, source.stream_info, copy_from=source_path, encode=EncodeSettings(**settings)
        ) as sink,
    ):
        for frame in source:
            sink.write(compositor.compose(AnalyzedFrame(frame)))
        sink.finish()
        return [*source.notices, *sink.notices]


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times_of(path: Path) -> list[Fraction]:
    return [Fraction(frame.pts) * frame.time_base for frame in frames_of(path)]


def packets_of(path: Path, kind: str) -> list[list[tuple[str, int | None, Fraction]]]:
    """Of every stream of a kind, every packet: hash of its payload, pts, time base."""
    found: dict[int, list[tuple[str, int | None, Fraction]]] = {}
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            return []
        for packet in container.demux(streams):
            if packet.size:
                entry = (hashlib.sha256(bytes(packet)).hexdigest(), packet.pts, Fraction(packet.time_base))
                found.setdefault(packet.stream_index, []).append(entry)
    return list(found.values())
