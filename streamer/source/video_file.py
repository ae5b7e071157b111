"""Video files: packets in, frames out, with exact time stamps, whatever the file is like."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.video.stream import VideoStream

from streamer.errors import InputError
from streamer.frame import Frame, StreamGeometry
from streamer.planes import copy_of, mask_whole_frame, planar_equivalent
from streamer.queues import frames_that_fit
from streamer.redact import reason_of
from streamer.settings import HardwareDecoding
from streamer.source.base import VideoSource
from streamer.source.cutoff import missing_end
from streamer.source.damage import DamageGuard, Decoded
from streamer.source.decode_thread import DecodeThread
from streamer.source.hardware import accelerator, decoder_for, devices, is_built_in, is_used
from streamer.source.info import ColorTags, StreamInfo
from streamer.source.opening import choose_video, is_cover, open_container
from streamer.source.orientation import clockwise_turn, display_matrix_of, side_data_of
from streamer.source.timeline import Timeline

_log = logging.getLogger(__name__)
# Where neither container nor codec knows a rate; the usual one of cameras.
_FALLBACK_RATE = Fraction(25)


class VideoFileSource(VideoSource):
    """The first video track of a file. Geometry and colours come from the first frame, decoded on opening.

    Later frames of another size or pixel format are converted to the first one's, with a notice and
    `discontinuity`. The last whole picture stands in for damaged ones, and for all that follow up to a key frame (see
    `DamageGuard`).

    Args:
        threads: decoder threads; 0 lets FFmpeg choose.
        queue_frames: frames decoded ahead; fewer of large ones.
        hardware: decode on such a device if the first frame proves to come from it; else in software, with a
            notice and a warning. Frames are copied into main memory.

    Raises:
        InputError: missing, empty, unreadable, no video track, or nothing in it decodes.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 0,
        queue_frames: int = 8,
        hardware: HardwareDecoding = HardwareDecoding.NONE,
    ) -> None:
        self.path = path
        self.notices: list[str] = []
        self._threads = threads
        self._queue_frames = queue_frames
        self._thread: DecodeThread | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        if not self._open_in_hardware(hardware):
            self._open()
        try:
            assert self._first is not None
            assert self._first.video is not None
            self._describe(self._first.video)
        except BaseException:
            self._container.close()
            raise

    def _open_in_hardware(self, wanted: HardwareDecoding) -> bool:
        """Open on the first device that proves to decode this file. Says so loudly when there is none."""
        problems = []
        for device in devices(wanted):
            problem = self._problem_on(device)
            if not problem:
                self.notices.append(f"decoded in hardware ({device.value})")
                return True
            problems.append(f"{device.value}: {problem}")
        if problems:
            notice = f"no decoding in hardware ({'; '.join(problems)}); decoded in software"
            self.notices.append(notice)
            _log.warning("%s: %s", self.path.name, notice)
        return False

    def _problem_on(self, device: HardwareDecoding) -> str:
        """Open the file on a device; why its frames do not come from there, or nothing when they do."""
        if not is_built_in(device):
            return "not built into this FFmpeg"
        try:
            self._open(device)
        except (InputError, av.error.FFmpegError, OSError, ValueError, NotImplementedError):
            # Device, driver or file: the attempt in software tells which.
            return "no device or driver for it here, or it cannot decode this"
        if is_used(self._decoder, device):
            return ""
        self._container.close()
        return f"it does not decode this kind of {self._stream.codec_context.codec.canonical_name}"

    def _open(self, device: HardwareDecoding | None = None) -> None:
        """Open and decode the first frame. Raises InputError."""
        self.damaged = self.masked = self._packets = self._repeated = 0
        self._span_seconds: tuple[float, float] | None = None
        self._guard = DamageGuard()
        self._container = open_container(self.path, None if device is None else accelerator(device))
        try:
            self._stream = choose_video(self._container, self.path)
            self._stream.thread_type = "AUTO"
            self._stream.thread_count = self._threads
            self._decoder = (
                self._stream.codec_context if device is None else decoder_for(self._stream, device)
            )
            self._decoder.flags |= Flags.copy_opaque
            self._decoded = self._decode()
            # Of what nothing comes at all before the first picture, nothing is known that could stand in.
            self._first = next((item for item in self._decoded if item.video is not None), None)
            if self._first is None:
                raise InputError(
                    f"{self.path}: nothing in its video track can be decoded; the file is damaged"
                )
        except BaseException:
            self._container.close()
            raise

    def _describe(self, first: av.VideoFrame) -> None:
        equivalent = planar_equivalent(first.format.name)
        if equivalent is not None:
            self.notices.append(
                f"pixel format {first.format.name} cannot be written in place; converted once to {equivalent}"
            )
        self.stream_info = describe_stream(
            self._container, self._stream, first, equivalent or first.format.name
        )
        info = self.stream_info
        self.geometry = StreamGeometry(info.width, info.height, info.rotation_degrees, info.sample_aspect)
        duration = 1 / ((info.frame_rate or _FALLBACK_RATE) * info.time_base)
        self._size = (info.width, info.height)
        self._timeline = Timeline(info.time_base, round(duration))

    def __iter__(self) -> Iterator[Frame]:
        if self._thread is not None:
            raise RuntimeError("a source can be iterated only once")
        info = self.stream_info
        capacity = frames_that_fit(self._queue_frames, info.width, info.height, info.bit_depth)
        self._thread = DecodeThread(self._frames(), capacity)
        return iter(self._thread)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.close()
        self._first = None
        self._container.close()

    def _decode(self) -> Iterator[Decoded]:
        """Pictures in display order; packets that cannot be decoded are counted."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                self.notices.append(f"reading stopped early ({reason_of(error)}); what came before is kept")
                break
            if packet is None:
                break
            self._packets += packet.size > 0
            self._note_time(packet)
            self._guard.send(packet)
            yield from self._guard.take(self._decode_packet(packet))
        # Demuxing ends with an empty packet that flushes the decoder, except when it failed: then this does.
        yield from self._guard.take(self._decode_packet(None))
        yield from self._guard.finish()

    def _note_time(self, packet: Any) -> None:
        if packet.size and packet.pts is not None and packet.time_base:
            begin = float(packet.pts * packet.time_base)
            end = begin + float((packet.duration or 0) * packet.time_base)
            before = self._span_seconds or (begin, end)
            self._span_seconds = min(begin, before[0]), max(end, before[1])

    def _decode_packet(self, packet: Any) -> list[av.VideoFrame]:
        try:
            return self._decoder.decode(packet)
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, OSError, ValueError):
            self.damaged += 1
            self._guard.failed()
            return []

    def _frames(self) -> Iterator[Frame]:
        """All frames. The last whole one stands in for those that are not, so that none shows what no detector knows.

        Whoever gets a frame may draw into it: one that will be repeated is copied first.
        """
        first, self._first = self._first, None
        ready: Frame | None = None
        whole: av.VideoFrame | None = None
        for index, item in enumerate(itertools.chain([first] if first else [], self._decoded)):
            if ready is not None and not item.is_whole:
                whole = copy_of(ready.video)
            if ready is not None:
                yield ready
            if item.is_whole and item.video is not None:
                ready = self._frame(index, item.video)
            else:
                ready = None
                yield self._stand_in(index, item, whole)
        if ready is not None:
            yield ready
        self._sum_up()

    def _stand_in(self, index: int, damaged: Decoded, whole: av.VideoFrame | None) -> Frame:
        """The frame of a damaged picture: its time, and another picture; grey where no whole one came before."""
        info = self.stream_info
        pts, jumped = self._timeline.place(damaged.pts, damaged.duration)
        if whole is None:
            self.masked += 1
            picture = mask_whole_frame(av.VideoFrame(info.width, info.height, info.pixel_format))
        else:
            self._repeated += 1
            picture = copy_of(whole)
        picture.pts, picture.time_base = pts, info.time_base
        return Frame(index, pts, info.time_base, picture, self.geometry, discontinuity=jumped)

    def _frame(self, index: int, video: av.VideoFrame) -> Frame:
        info = self.stream_info
        pts, jumped = self._timeline.place(video.pts, video.duration)
        size = (video.width, video.height)
        changed = size != (info.width, info.height)
        new_scene, self._size = size != self._size, size
        if changed or video.format.name != info.pixel_format or video.planes[0].line_size < 0:
            if changed or video.format.name != info.coded_pixel_format:
                self._notice_once(
                    f"the picture changes to {video.width}x{video.height} {video.format.name} on the way; "
                    f"it is kept at {info.width}x{info.height} {info.pixel_format}"
                )
            video = self._convert(video)
        video.pts, video.time_base = pts, info.time_base
        return Frame(index, pts, info.time_base, video, self.geometry, discontinuity=jumped or new_scene)

    def _convert(self, video: av.VideoFrame) -> av.VideoFrame:
        info = self.stream_info
        converted = self._reformatter.reformat(
            video, width=info.width, height=info.height, format=info.pixel_format, interpolation="BICUBIC"
        )
        converted.colorspace, converted.color_range = video.colorspace, video.color_range
        return converted

    def _notice_once(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def _sum_up(self) -> None:
        expected = self._stream.frames
        if self.damaged:
            self.notices.append(f"{self.damaged} damaged packets could not be decoded")
        if self._repeated or self.masked:
            before = f", {self.masked} before the first whole one are masked" if self.masked else ""
            self.notices.append(
                f"{self._repeated + self.masked} pictures are damaged, or may refer to damaged ones: "
                f"the last whole picture stands in for {self._repeated}{before}"
            )
        if expected and self._packets < expected:
            self.notices.append(
                f"the file holds {self._packets} of the {expected} frames it announces; it was cut off"
            )
        elif self._span_seconds is not None and not expected and not self._timeline.jumps:
            missing = missing_end(self.path, self._container, self._stream, *self._span_seconds)
            self.notices += [missing] if missing is not None else []
        if self._timeline.repaired:
            self.notices.append(f"{self._timeline.repaired} missing or wrong time stamps were filled in")
        if self._timeline.jumps:
            self.notices.append(f"{self._timeline.jumps} steps back in time were joined into one time line")


def describe_stream(
    container: InputContainer, stream: VideoStream, first: av.VideoFrame, pixel_format: str
) -> StreamInfo:
    """All that is known of a video track from its container, its decoder and its first frame."""
    context = stream.codec_context
    matrix = display_matrix_of(first)
    time_base = stream.time_base
    rate = stream.average_rate or stream.guessed_rate
    seconds = None
    if stream.duration is not None and time_base:
        seconds = float(stream.duration * time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    count = stream.frames or (round(seconds * rate) if seconds and rate else None)
    side_data = side_data_of(first)
    return StreamInfo(
        container=container.format.name,
        codec=context.codec.canonical_name,
        pixel_format=pixel_format,
        coded_pixel_format=first.format.name,
        width=first.width,
        height=first.height,
        rotation_degrees=clockwise_turn(matrix),
        display_matrix=matrix,
        sample_aspect=stream.sample_aspect_ratio or Fraction(1),
        frame_rate=Fraction(rate) if rate else None,
        time_base=Fraction(time_base) if time_base else 1 / _FALLBACK_RATE,
        start_pts=first.pts or 0,
        duration_seconds=seconds,
        frame_count=count,
        color=ColorTags(
            int(first.color_range), int(first.color_primaries), int(first.color_trc), int(first.colorspace)
        ),
        bit_depth=first.format.components[0].bits,
        interlaced=first.interlaced_frame,
        mastering_display=side_data.get("MASTERING_DISPLAY_METADATA"),
        content_light=side_data.get("CONTENT_LIGHT_LEVEL"),
        bit_rate=stream.bit_rate or None,
        audio=tuple(_codec_of(item) for item in container.streams.audio),
        sound_time_bases=tuple(Fraction(item.time_base or 1) for item in container.streams.audio),
        subtitles=tuple(_codec_of(item) for item in container.streams.subtitles),
        chapters=len(container.chapters()),
        other_videos=sum(not is_cover(item) for item in container.streams.video) - 1,
        has_cover_picture=any(is_cover(item) for item in container.streams.video),
    )


def _codec_of(stream: Any) -> str:
    context = stream.codec_context
    return "unknown" if context is None else str(context.codec.canonical_name)
