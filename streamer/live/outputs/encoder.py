"""One encoder for all outputs of a camera that want the same."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import av
from av.codec.context import Flags
from av.video.stream import VideoStream

from streamer.errors import SettingsError
from streamer.live.frame import CLOCK, LiveFrame
from streamer.live.mailbox import Mailbox
from streamer.live.outputs.canvas import PIXEL_FORMAT, Canvas, canvas_size
from streamer.live.outputs.output import PacketOutput
from streamer.live.outputs.packets import EncodedPacket, StreamHead
from streamer.live.telemetry import CameraTelemetry
from streamer.live.threads import start_thread
from streamer.queues import frames_that_fit
from streamer.redact import reason_of
from streamer.render.compositor import AnonymizedFrame
from streamer.settings import EncodeSettings
from streamer.sink.captions import without_captions

_log = logging.getLogger(__name__)

QUEUE_FRAMES = 8
_CODECS = {
    None: ("h264", "libx264"),
    "h264": ("h264", "libx264"),
    "libx264": ("h264", "libx264"),
    "hevc": ("hevc", "libx265"),
    "h265": ("hevc", "libx265"),
    "libx265": ("hevc", "libx265"),
}
# Key frames come when they are asked for, and never by themselves; each carries its parameter sets, so that a
# viewer can join there.
_PARAMETERS = {
    "libx264": ("x264-params", "repeat-headers=1:keyint=infinite:scenecut=0"),
    "libx265": ("x265-params", "repeat-headers=1:keyint=-1:scenecut=0:log-level=none"),
}
_DEFAULT_CRF, _DEFAULT_PRESET = 23.0, "veryfast"
# Above this a second thread is needed to keep 25 frames a second on a slow core.
_ONE_THREAD_PX = 1280 * 720
_RETRY_SECONDS = 1.0
_LIMITED_RANGE = 1


def codec_of(settings: EncodeSettings) -> str:
    """ "h264" or "hevc". Raises SettingsError for anything else."""
    name = None if settings.codec is None else settings.codec.lower()
    if name not in _CODECS:
        raise SettingsError(f"codec {settings.codec}: live outputs carry h264 or hevc; give one of them")
    return _CODECS[name][0]


class LiveEncoder:
    """Encodes anonymized frames in a thread of its own and hands the packets to its outputs.

    The picture size is that of the first frame, for good; see `Canvas`. The oldest waiting frames give way when
    encoding is too slow.

    Args:
        camera: name for the log.
        settings: codec, quality, preset.
        outputs: take the packets.
    """

    def __init__(
        self,
        camera: str,
        settings: EncodeSettings,
        outputs: Sequence[PacketOutput],
        telemetry: CameraTelemetry,
    ) -> None:
        codec_of(settings)
        self._camera = camera
        self._settings = settings
        self._outputs = outputs
        self._telemetry = telemetry
        self._frames: Mailbox[AnonymizedFrame] = Mailbox(QUEUE_FRAMES, self._dropped)
        self._canvas: Canvas | None = None
        self._head: StreamHead | None = None
        self._retry_at = 0.0
        self._last_pts: int | None = None
        self._arrivals: dict[int, float | None] = {}
        self._thread = start_thread(f"{camera}-encode", self._run)

    @property
    def has_died(self) -> bool:
        """True when its thread was ended by what should not happen."""
        return self._thread.has_died

    def put(self, frame: AnonymizedFrame) -> None:
        """Queue a frame whose `video` carries its stamp in units of `CLOCK`. Never waits."""
        if not isinstance(frame, AnonymizedFrame):
            raise TypeError(f"an output takes anonymized frames only, got {type(frame).__name__}")
        video = frame.frame.video
        self._frames.capacity = frames_that_fit(QUEUE_FRAMES, video.width, video.height, 8)
        self._frames.put(frame)
        self._telemetry.queue_fill("encoder", len(self._frames), self._frames.capacity)

    def finish(self, deadline: float) -> None:
        """Encode what waits, then complete the outputs; until the monotonic `deadline` at most."""
        self._frames.finish()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        for output in self._outputs:
            output.finish(deadline)

    def _run(self) -> None:
        while not self._frames.is_done:
            frame = self._frames.get(None)
            if frame is None:
                continue
            try:
                self._encode(frame)
            except Exception as error:
                self._failed(error)

    def _encode(self, anonymized: AnonymizedFrame) -> None:
        frame = anonymized.frame
        if self._canvas is None:
            self._canvas = Canvas(*canvas_size(frame.geometry))
        if self._head is None:
            if time.monotonic() < self._retry_at:
                return
            self._head = self._open(self._canvas, frame)
        began = time.perf_counter()
        video = self._canvas.fit(frame.video, frame.geometry)
        if video.pts is None:
            raise ValueError("a frame came without its stamp")
        duration = 3600 if self._last_pts is None else video.pts - self._last_pts
        self._last_pts = video.pts
        self._arrivals[video.pts] = frame.arrived_seconds if isinstance(frame, LiveFrame) else None
        packets = self._head.template.encode(video)
        self._telemetry.stage_seconds("encode", time.perf_counter() - began)
        for packet in packets:
            pts = packet.pts if packet.pts is not None else video.pts
            encoded = EncodedPacket(
                self._head,
                bytes(packet),
                pts,
                max(1, duration),
                packet.is_keyframe,
                self._arrivals.pop(pts, None),
            )
            for output in self._outputs:
                output.put(encoded)

    def _open(self, canvas: Canvas, frame: object) -> StreamHead:
        codec, encoder = _CODECS[None if self._settings.codec is None else self._settings.codec.lower()]
        name, parameters = _PARAMETERS[encoder]
        crf = _DEFAULT_CRF if self._settings.crf is None else self._settings.crf
        options = {
            "preset": self._settings.preset or _DEFAULT_PRESET,
            "tune": "zerolatency",
            "crf": f"{crf:g}",
            "forced-idr": "1",
            name: parameters,
        }
        interval = frame.interval_seconds if isinstance(frame, LiveFrame) else 0.04
        # The container is a shell for the encoder's stream: nothing is ever muxed into it.
        shell = av.open("null", "w", format="null")
        rate = round(1.0 / interval) or 1
        stream = shell.add_stream(encoder, rate=rate, options=without_captions(encoder, options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = canvas.width, canvas.height, PIXEL_FORMAT
        context = stream.codec_context
        context.time_base = CLOCK
        context.flags |= Flags.global_header
        context.thread_count = 1 if canvas.width * canvas.height <= _ONE_THREAD_PX else 2
        context.color_range = _LIMITED_RANGE
        # Opens the encoder, and gives the stream the parameter sets that other containers copy.
        shell.start_encoding()
        self._arrivals.clear()
        return StreamHead(codec, canvas.width, canvas.height, stream)

    def _failed(self, error: Exception) -> None:
        _log.error("camera %s: encoding failed (%s); it is tried anew", self._camera, reason_of(error))
        self._telemetry.frame_dropped("encoding_failed")
        self._head = None
        self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _dropped(self, frame: AnonymizedFrame) -> None:
        self._telemetry.frame_dropped("encoder_queue_full")
