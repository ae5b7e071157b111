"""The video track of an output: encodes frames and gives every packet its exact time stamps."""

from __future__ import annotations

from fractions import Fraction

import av
from av.codec.hwaccel import HWAccel
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.sink.bare import bare_copy
from streamer.sink.captions import fit_for, left_out, without_captions
from streamer.sink.codec_choice import EncoderChoice
from streamer.sink.containers import holds_rotation, needs_no_b_frames, output_time_base
from streamer.sink.hdr import hdr_options
from streamer.sink.palette import PaletteMaker
from streamer.sink.silence import silenced
from streamer.source.info import StreamInfo

_FALLBACK_RATE = Fraction(25)
_FF_QP2LAMBDA = 118
_FULL_RANGE = 2
_MATRIX_BT601 = 6
# MPEG-1 and MPEG-2 know these rates alone (ISO 13818-2, table 6-4).
_MPEG_RATES = tuple(
    Fraction(text) for text in (["24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"])
)
_WRITES_EXIF = {"mjpeg", "png", "apng"}
_HAS_B_FRAMES = {"libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video"}


class VideoTrack:
    """Encodes frames of one stream into packets for the muxer.

    The encoder only counts frames; the real stamps are put onto its packets afterwards. So no encoder can
    round them, and codecs that know fixed rates only (MPEG-2, MPEG-4) carry variable ones.

    Args:
        container: an output whose header has not been written.
    """

    def __init__(self, container: OutputContainer, info: StreamInfo, choice: EncoderChoice) -> None:
        self._info = info
        self._choice = choice
        self._format = container.format.name
        self.notices: list[str] = []
        self.time_base = output_time_base(self._format, info)
        self._count = 0
        self._stamps: dict[int, int] = {}
        self._first = 0
        self._last: int | None = None
        self._last_duration = 1
        self._reorders = not needs_no_b_frames(self._format, info)
        self._rounded = False
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._palette = PaletteMaker(info.width, info.height) if choice.encoder == "gif" else None
        self.stream = self._add_stream(container)

    def _add_stream(self, container: OutputContainer) -> VideoStream:
        info, choice = self._info, self._choice
        rate = info.frame_rate or _FALLBACK_RATE
        if choice.encoder in ("mpeg1video", "mpeg2video"):
            rate = min(_MPEG_RATES, key=lambda known: abs(known - rate))
        # Some encoders keep numerator and denominator in 16 bits.
        rate = Fraction(rate).limit_denominator(60000)
        device = {} if choice.device is None else {"hwaccel": HWAccel(choice.device)}
        stream = container.add_stream(choice.encoder, rate=rate, options=self._options(), **device)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = info.width, info.height
        stream.pix_fmt = "pal8" if self._palette else choice.pixel_format
        context = stream.codec_context
        self._tick = 1 / rate
        context.time_base = self._tick
        # PyAV asks for slice threads, with which x264 is a quarter slower and codes worse.
        context.thread_type = "AUTO"
        context.sample_aspect_ratio = info.sample_aspect
        self._tag_colors(stream)
        if choice.quantiser is not None:
            context.qscale = True
            context.global_quality = round(choice.quantiser * _FF_QP2LAMBDA)
        stream.time_base = self.time_base
        if info.display_matrix is not None:
            stream.set_display_matrix(info.display_matrix)
            if not holds_rotation(self._format):
                self.notices.append("this container cannot say that the picture is turned; use .mp4 or .mkv")
        return stream

    def _options(self) -> dict[str, str]:
        info, choice = self._info, self._choice
        options = dict(choice.options)
        for name, value in hdr_options(choice.encoder, info).items():
            options[name] = value
        if not self._reorders and choice.encoder in _HAS_B_FRAMES:
            options["bf"] = "0"
        if info.interlaced and choice.encoder in ("libx264", "mpeg2video", "mpeg4"):
            options["flags"] = "+ildct+ilme"
        if choice.pixel_format == "yuv422p" and choice.encoder == "mpeg2video":
            options["profile"] = "0"
        return silenced(choice.encoder, without_captions(choice.encoder, options))

    def _tag_colors(self, stream: VideoStream) -> None:
        context, color = stream.codec_context, self._info.color
        source, target = av.VideoFormat(self._info.pixel_format), av.VideoFormat(self._choice.pixel_format)
        if source.is_rgb and not target.is_rgb:
            # What the conversion below makes.
            context.colorspace, context.color_range = _MATRIX_BT601, 1
            return
        context.color_range, context.colorspace = color.range, color.matrix
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if self._info.pixel_format.startswith("yuvj"):
            context.color_range = _FULL_RANGE

    def encode(self, video: av.VideoFrame, pts: int) -> list[Packet[VideoStream]]:
        """Packets that are ready once this frame has been given. `pts` is in the input's time base."""
        exact = pts * self._info.time_base / self.time_base
        placed = round(exact)
        if self._last is None:
            self._first = placed
        else:
            # Two frames may meet in one tick of a coarser clock.
            placed = max(placed, self._last + 1)
        if placed != exact and not self._rounded:
            self._rounded = True
            self.notices.append(
                f"this container counts time in {self.time_base} s; stamps are rounded to that"
            )
        duration = round((video.duration or 0) * self._info.time_base / self.time_base)
        self._last_duration = max(1, duration or round(self._tick / self.time_base))
        self._last = placed
        self._stamps[self._count] = placed
        self.notices += sorted(left_out(video).difference(self.notices))
        video = fit_for(self._choice.encoder, self._prepared(video))
        if self._choice.encoder in _WRITES_EXIF:
            video = bare_copy(video)
        video.pts, video.time_base = self._count, self._tick
        # Else the encoder would repeat the decoder's choice of I, P and B.
        video.pict_type = 0
        self._count += 1
        return [self._stamped(packet) for packet in self.stream.encode(video)]

    def flush(self) -> list[Packet[VideoStream]]:
        """The packets the encoder still holds."""
        return [self._stamped(packet) for packet in self.stream.encode(None)]

    def _prepared(self, video: av.VideoFrame) -> av.VideoFrame:
        if self._palette is not None:
            return self._palette.apply(video)
        if video.format.name == self._choice.pixel_format:
            return video
        if av.VideoFormat(video.format.name).is_rgb:
            return self._reformatter.reformat(video, format=self._choice.pixel_format, dst_colorspace=5)
        full = self._info.pixel_format.startswith("yuvj")
        value_range = _FULL_RANGE if full else self._info.color.range or 1
        return self._reformatter.reformat(
            video, format=self._choice.pixel_format, src_color_range=value_range, dst_color_range=value_range
        )

    def _stamped(self, packet: Packet[VideoStream]) -> Packet[VideoStream]:
        """Replace the counted stamps of a packet by the real ones."""
        stamps = self._stamps
        index = packet.pts if packet.pts is not None else next(iter(stamps))
        order = packet.dts if packet.dts is not None else index
        following = stamps.get(index + 1)
        pts = stamps[index]
        if not self._reorders:
            # MPEG-1 and MPEG-2 keep a frame of delay for B-frames also where there are none.
            dts = pts
        elif order >= 0:
            dts = stamps[order]
        else:
            # The encoder's delay lies before the first frame, in steps of the nominal duration.
            dts = self._first + order * max(1, round(self._tick / self.time_base))
        packet.time_base = self.time_base
        packet.pts, packet.dts = pts, min(dts, pts)
        packet.duration = following - pts if following is not None else self._last_duration
        # No later packet is decoded before this one.
        for old in [key for key in stamps if key < order]:
            del stamps[old]
        return packet
