"""A camera as a source that never ends by itself: one thread that connects, reads, and connects again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags
from av.video.stream import VideoStream

from streamer.frame import StreamGeometry
from streamer.live.backoff import Backoff
from streamer.live.frame import CLOCK, TICKS_PER_SECOND, LiveFrame
from streamer.live.link import LinkError, choose_stream, ends, is_paced, link_reason, open_link
from streamer.live.mailbox import Mailbox
from streamer.live.memory import give_back
from streamer.live.rebase import LinkClock
from streamer.live.settings import CameraSettings
from streamer.live.states import CameraState, StateMachine
from streamer.live.telemetry import CameraTelemetry
from streamer.live.threads import GuardedThread, start_thread
from streamer.planes import planar_equivalent
from streamer.queues import frames_that_fit
from streamer.source.damage import DamageGuard
from streamer.source.orientation import clockwise_turn, display_matrix_of

_log = logging.getLogger(__name__)

QUEUE_FRAMES = 8
FALLBACK_RATE = 25.0
# Packets whose arrival is remembered until their frame is decoded; decoders hold back 16 at most (H.264, A.3.1).
_ARRIVALS_KEPT = 64


class LinkLost:
    """Stands in the queue behind the last frame of a connection."""


class LiveSource:
    """Reads one camera, stream, device or file in a thread of its own.

    Frames go into `frames`, where the oldest gives way; `LinkLost` follows the last one of each connection. Damaged
    pictures, and those that refer to them, are left out: what a decoder paints over a lost packet may show a face that
    no detector knows as one.

    Args:
        camera: its input, transport and time limits.
        machine: told of connections and losses.
        telemetry: counts frames in and dropped, and reconnects.
        backoff: between two tries.
    """

    def __init__(
        self,
        camera: CameraSettings,
        machine: StateMachine,
        telemetry: CameraTelemetry,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.frames: Mailbox[LiveFrame | LinkLost] = Mailbox(QUEUE_FRAMES, self._dropped)
        self._camera = camera
        self._machine = machine
        self._telemetry = telemetry
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._stop = threading.Event()
        self._link_clock = LinkClock()
        self._connection = 0
        self._index = 0
        self._thread: GuardedThread | None = None

    @property
    def has_died(self) -> bool:
        """True when reading was ended by what should not happen: not by a lost link, nor by the end of a file."""
        return self._thread is not None and self._thread.has_died

    def start(self) -> None:
        """Begin to connect."""
        self._thread = start_thread(f"{self._camera.name}-read", self._run)

    def stop(self, timeout_seconds: float) -> bool:
        """Stop reading. A read that hangs beyond the time is left behind; False then."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        self.frames.finish()
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        final, why = CameraState.FAILED, "reading broke off"
        try:
            while not self._stop.is_set():
                reached, told = self._connect_and_read()
                if self._stop.is_set():
                    break
                if reached is not None:
                    final, why = reached, told
                    break
                self._wait_for_retry(told)
        finally:
            if not self._stop.is_set():
                self._machine.go(final, why)
            self.frames.finish()

    def _connect_and_read(self) -> tuple[CameraState | None, str]:
        """One connection from beginning to end: the final state it leads to, if any, and why it ended."""
        camera = self._camera
        try:
            container = open_link(camera.input, camera.transport, camera.read_timeout_seconds)
        except LinkError as error:
            return (CameraState.FAILED if error.is_final else None), str(error)
        self._connection += 1
        self._link_clock.begin()
        try:
            stream = choose_stream(container)
            self._read(container, stream)
            why = "the stream ended"
        except LinkError as error:
            why = str(error)
        except Exception as error:
            why = link_reason(error)
        finally:
            self.frames.put(LinkLost())
            self._close(container)
        return (CameraState.ENDED if ends(camera.input) else None), why

    def _wait_for_retry(self, why: str) -> None:
        seconds = self._backoff.next_seconds()
        if not self._machine.go(CameraState.RECONNECTING, why):
            _log.info("camera %s: still away (%s)", self._camera.name, why)
        self._stop.wait(seconds)

    def _close(self, container: Any) -> None:
        try:
            container.close()
        except Exception as error:
            _log.debug("camera %s: closing failed (%s)", self._camera.name, type(error).__name__)
        give_back()

    def _read(self, container: Any, stream: VideoStream) -> None:
        """Frames of one connection into the queue. Raises what FFmpeg raises when the link is lost."""
        reader = _FrameReader(stream, is_paced(self._camera.input), self._clock, self._stop)
        last_video = self._clock()
        for packet in container.demux():
            if self._stop.is_set():
                return
            now = self._clock()
            if packet.stream is not stream:
                # Sound alone keeps the connection open, but there is nothing to show.
                if now - last_video > self._camera.read_timeout_seconds:
                    raise LinkError("sound goes on, but no picture came in time")
                continue
            last_video = now
            for video, arrived in self._decoded(reader, packet, now):
                self._take(reader, video, arrived)

    def _decoded(self, reader: _FrameReader, packet: Any, now: float) -> list[tuple[av.VideoFrame, float]]:
        """Whole pictures. After damage nothing is taken up to the next key frame: what refers to it is damaged too."""
        began = time.perf_counter()
        try:
            frames, left_out = reader.decode(packet, now)
        except av.error.EOFError:
            return []
        except (_Damaged, av.error.FFmpegError, ValueError):
            reader.needs_key = True
            self._telemetry.frame_dropped("damaged")
            return []
        finally:
            self._telemetry.stage_seconds("decode", time.perf_counter() - began)
        for _ in range(left_out):
            self._telemetry.frame_dropped("damaged")
        return frames

    def _take(self, reader: _FrameReader, video: av.VideoFrame, arrived_seconds: float) -> None:
        pts = reader.next_pts(video)
        reader.wait_until_due(pts)
        self._backoff.frame()
        self._telemetry.frame_in()
        if self._machine.state is not CameraState.RUNNING:
            if self._machine.state is CameraState.RECONNECTING:
                self._telemetry.reconnect()
            self._machine.go(CameraState.RUNNING, f"{video.width}x{video.height} {video.format.name}")
        placed = self._link_clock.place(pts, round(reader.interval_seconds * TICKS_PER_SECOND))
        frame = LiveFrame(
            self._index,
            placed,
            CLOCK,
            reader.planar(video),
            reader.geometry(video),
            arrived_seconds=arrived_seconds,
            connection=self._connection,
            interval_seconds=reader.interval_seconds,
        )
        self._index += 1
        info_bits = video.format.components[0].bits
        self.frames.capacity = frames_that_fit(QUEUE_FRAMES, video.width, video.height, info_bits)
        self.frames.put(frame)
        self._telemetry.queue_fill("input", len(self.frames), self.frames.capacity)

    def _dropped(self, item: LiveFrame | LinkLost) -> None:
        if isinstance(item, LiveFrame):
            self._telemetry.frame_dropped("input_queue_full")


class _Damaged(Exception):
    """A picture, or what it refers to, was damaged on its way."""


class _FrameReader:
    """Decodes the packets of one connection; knows its clock, its pace and its geometry.

    Attributes:
        needs_key: pictures are of no use before the next key frame.
    """

    def __init__(
        self, stream: VideoStream, paced: bool, clock: Callable[[], float], stop: threading.Event
    ) -> None:
        self._stream = stream
        self._paced = paced
        self._clock = clock
        self._stop = stop
        time_base = stream.time_base
        self._time_base = Fraction(time_base) if time_base else CLOCK
        rate = stream.average_rate or stream.guessed_rate
        # Rates beyond these are made up by demuxers that know none.
        known = rate is not None and 0.5 <= float(rate) <= 240.0
        self.interval_seconds = 1.0 / (float(rate) if known and rate is not None else FALLBACK_RATE)
        self.needs_key = False
        stream.codec_context.flags |= Flags.copy_opaque
        self._guard = DamageGuard()
        self._suspect = False
        self._arrivals: dict[int, float] = {}
        self._began: tuple[float, int] | None = None
        self._geometry: StreamGeometry | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()

    def decode(self, packet: Any, now_seconds: float) -> tuple[list[tuple[av.VideoFrame, float]], int]:
        """Whole frames with the time their own packet arrived, and how many are left out for damage.

        Raises _Damaged, and what FFmpeg raises.
        """
        # What was lost between two packets may have been the beginning of the second one.
        suspect, self._suspect = self._suspect or packet.is_corrupt, packet.is_corrupt
        if suspect or (self.needs_key and not packet.is_keyframe):
            raise _Damaged
        if self.needs_key:
            self._stream.codec_context.flush_buffers()
            self._guard = DamageGuard()
            self.needs_key = False
        if packet.pts is not None:
            self._arrivals[packet.pts] = now_seconds
            while len(self._arrivals) > _ARRIVALS_KEPT:
                del self._arrivals[next(iter(self._arrivals))]
        self._guard.send(packet)
        pictures = self._guard.take(self._stream.decode(packet))
        if not packet.size:
            # The end of a file; links have none.
            pictures += self._guard.finish()
        frames = [picture.video for picture in pictures if picture.video is not None and picture.is_whole]
        arrived = [
            (frame, now_seconds if frame.pts is None else self._arrivals.pop(frame.pts, now_seconds))
            for frame in frames
        ]
        return arrived, len(pictures) - len(frames)

    def next_pts(self, video: av.VideoFrame) -> int | None:
        """The frame's stamp in ticks of `CLOCK`; None where the camera gave none, as for the first one of RTSP."""
        return None if video.pts is None else round(video.pts * self._time_base / CLOCK)

    def wait_until_due(self, pts: int | None) -> None:
        """Where the source is to be slowed down: wait for the frame's time."""
        if not self._paced or pts is None:
            return
        now = self._clock()
        if self._began is None:
            self._began = (now, pts)
        due = self._began[0] + (pts - self._began[1]) / TICKS_PER_SECOND
        if not -1.0 < due - now < 10.0:
            # The file's clock leapt, or reading fell far behind: begin anew.
            self._began = (now, pts)
        elif due > now:
            self._stop.wait(due - now)

    def geometry(self, video: av.VideoFrame) -> StreamGeometry:
        """How the frame is displayed; worked out anew when its size changes."""
        known = self._geometry
        if known is None or (known.native_width, known.native_height) != (video.width, video.height):
            turn = clockwise_turn(display_matrix_of(video))
            aspect = self._stream.sample_aspect_ratio or Fraction(1)
            known = self._geometry = StreamGeometry(video.width, video.height, turn, Fraction(aspect))
        return known

    def planar(self, video: av.VideoFrame) -> av.VideoFrame:
        """The frame in a format whose planes can be written; the frame itself for nearly every camera."""
        wanted = planar_equivalent(video.format.name)
        if wanted is None and video.planes[0].line_size >= 0:
            return video
        converted = self._reformatter.reformat(video, format=wanted or video.format.name)
        converted.colorspace, converted.color_range = video.colorspace, video.color_range
        return converted
