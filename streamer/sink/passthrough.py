"""Everything of the input that is no picture: copied packet by packet, or left out and said so."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamer.errors import OutputError
from streamer.redact import reason_of
from streamer.sink.containers import states_negative_time, takes_copied
from streamer.sink.xiph import without_comments
from streamer.source.opening import open_container

# Chapter titles stay, as subtitles do; other tags of a chapter do not.
_CHAPTER_TAGS = ("title", "language")


class Passthrough:
    """Copies sound, subtitles and chapters of a file into an output.

    The file is opened a second time, so that packets are read when the output wants them and not kept in
    memory.

    Args:
        path: the input.
        container: an output whose header has not been written; streams are added to it on construction.

    Raises:
        InputError: the file has become unreadable.
        OutputError: the container cannot hold its sound.
    """

    def __init__(self, path: Path, container: OutputContainer, output: Path) -> None:
        self.notices: list[str] = []
        self._container = container
        self._input: InputContainer = open_container(path)
        self._streams: dict[int, Stream] = {}
        self._last_dts: dict[int, int] = {}
        self._offsets: dict[int, int] = {}
        try:
            self._add_streams(output)
            self._add_chapters()
        except BaseException:
            self._input.close()
            raise
        self._packets = self._read()
        self._held: Packet[Any] | None = None

    def close(self) -> None:
        self._input.close()

    def _add_streams(self, output: Path) -> None:
        dropped: list[str] = []
        for stream in self._input.streams:
            kind = stream.type
            if kind == "audio":
                self._add(stream, output, required=True)
            elif kind == "subtitle":
                self._add(stream, output, required=False)
            elif kind != "video":
                dropped.append(kind)
        if dropped:
            self.notices.append(f"left out, as it may tell who or where: {', '.join(sorted(set(dropped)))}")
        if any(stream.type == "subtitle" for stream in self._streams.values()):
            self.notices.append("subtitles are copied as they are; they may carry names")

    def _add(self, stream: Any, output: Path, *, required: bool) -> None:
        codec = "unknown" if stream.codec_context is None else stream.codec_context.codec.canonical_name
        name = self._container.format.name
        try:
            if stream.codec_context is None or not takes_copied(self._container, stream, codec):
                raise ValueError("no place for it")
            bare = without_comments(codec, stream.codec_context.extradata)
            copy = self._container.add_stream_from_template(stream)
            if bare != stream.codec_context.extradata:
                copy.codec_context.extradata = bare
        except (ValueError, av.error.FFmpegError):
            if required:
                raise OutputError(
                    f"{output}: {name} cannot hold the input's sound ({codec}); use .mkv or the input's own"
                ) from None
            self.notices.append(f"subtitles ({codec}) cannot be kept in {name}; choose .mkv to keep them")
            return
        language = stream.metadata.get("language")
        if language:
            copy.metadata["language"] = language
        copy.disposition = stream.disposition
        self._streams[stream.index] = copy

    def _add_chapters(self) -> None:
        chapters = self._input.chapters()
        for chapter in chapters:
            tags = chapter.get("metadata") or {}
            chapter["metadata"] = {key: value for key, value in tags.items() if key in _CHAPTER_TAGS}
        if chapters:
            self._container.set_chapters(chapters)

    def _read(self) -> Iterator[Packet[Any]]:
        streams = [self._input.streams[index] for index in self._streams]
        if not streams:
            return
        try:
            for packet in self._input.demux(streams):
                # The empty packets at the end would flush decoders; there are none here.
                if packet.size:
                    yield packet
        except (av.error.FFmpegError, OSError) as error:
            self.notices.append(f"reading the sound stopped early ({reason_of(error)})")

    def copy_until(self, seconds: Fraction | None) -> None:
        """Mux the packets up to a time, or all that are left."""
        while True:
            packet = self._held if self._held is not None else next(self._packets, None)
            self._held = None
            if packet is None:
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if seconds is not None and stamp is not None and stamp * packet.time_base > seconds:
                self._held = packet
                return
            self._mux(packet, stamp)

    def _mux(self, packet: Packet[Any], stamp: int | None) -> None:
        index = packet.stream_index
        last = self._last_dts.get(index)
        offset = self._offsets.get(index, 0)
        if stamp is not None and last is not None and stamp + offset < last:
            # The time line starts anew (files that were concatenated): go on where it stopped.
            self._notice_once("the sound's time stamps step back; they were joined into one time line")
            offset = self._offsets[index] = last + max(1, packet.duration or 0) - stamp
        if offset or packet.dts is None:
            packet.dts = None if stamp is None else stamp + offset
            packet.pts = None if packet.pts is None else packet.pts + offset
        name = self._container.format.name
        if last is None and (packet.pts or 0) < 0 and not states_negative_time(name):
            self._notice_once(
                f"sound begins before zero, which {name} cannot state: all stamps move up alike"
            )
        if packet.dts is not None:
            self._last_dts[index] = packet.dts
        packet.stream = self._streams[index]
        self._container.mux(packet)

    def _notice_once(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)
