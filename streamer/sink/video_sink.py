"""Video files: an encode thread behind a bounded queue, and an output that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import threading
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from streamer.errors import OutputError, VeilstreamError
from streamer.queues import BoundedQueue, frames_that_fit
from streamer.redact import reason_of
from streamer.render.compositor import AnonymizedFrame
from streamer.settings import EncodeSettings
from streamer.sink.atomic import AtomicFile
from streamer.sink.base import FrameSink
from streamer.sink.codec_choice import choose_encoder
from streamer.sink.containers import mark_tags, muxer_options, output_time_base
from streamer.sink.encoder import VideoTrack
from streamer.sink.marks import mark_gif
from streamer.sink.passthrough import Passthrough
from streamer.source.info import StreamInfo

_DEVICE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM})


class VideoSink(FrameSink):
    """Encodes anonymized frames, and copies the input's sound, subtitles and chapters beside them.

    Of the input's pictures nothing else gets through: further video tracks, covers, thumbnails and
    attachments are left out, and so are all tags but the languages of the tracks.

    Args:
        output: path to write; its ending decides the container.
        info: of the source whose frames will be written.
        copy_from: the input, for its sound; None writes the picture alone.
        queue_frames: frames that wait for the encoder before `write` does; fewer of large ones.

    Raises:
        OutputError, SettingsError: the output cannot be written there, or not with these settings.
    """

    def __init__(
        self,
        output: Path,
        info: StreamInfo,
        *,
        copy_from: Path | None,
        encode: EncodeSettings,
        overwrite: bool,
        queue_frames: int = 8,
    ) -> None:
        self.notices: list[str] = []
        self._output = output
        self._file = AtomicFile(output, overwrite=overwrite, source=copy_from)
        self._container: OutputContainer | None = None
        self._passthrough: Passthrough | None = None
        try:
            self._open(info, copy_from, encode)
        except BaseException as error:
            self._discard()
            if isinstance(error, (av.error.FFmpegError, OSError, ValueError)):
                raise OutputError(f"{output}: cannot be opened for writing ({reason_of(error)})") from None
            raise
        if info.other_videos:
            self.notices.append(
                f"{info.other_videos} further video track(s) left out: only the first is anonymized"
            )
        if info.has_cover_picture:
            self.notices.append("cover picture left out: it may show a face")
        self._queue: BoundedQueue[AnonymizedFrame] = BoundedQueue(
            frames_that_fit(queue_frames, info.width, info.height, info.bit_depth)
        )
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="veilstream-encode", daemon=True)
        self._thread.start()

    def _open(self, info: StreamInfo, copy_from: Path | None, encode: EncodeSettings) -> None:
        path = str(self._file.path.absolute())
        try:
            format_name = av.open(path, "w").format.name
        except ValueError:
            raise OutputError(
                f"{self._output}: no video format has the ending {self._output.suffix!r}; use .mp4 or .mkv"
            ) from None
        options = muxer_options(format_name, output_time_base(format_name, info), info)
        container = self._container = av.open(path, "w", container_options=options)
        choice = choose_encoder(info, container, encode, self._output)
        self.notices += choice.notices
        self._track = VideoTrack(container, info, choice)
        if copy_from is not None:
            self._passthrough = Passthrough(copy_from, container, self._output)
        container.metadata.update(mark_tags(format_name))
        if not container.metadata and format_name != "gif":
            self.notices.append("this container has no tags: the output is not marked as synthetic")
        try:
            container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if getattr(error, "errno", None) in _DEVICE_ERRORS:
                raise
            what = "this sound" if copy_from is not None and info.audio else "these settings"
            raise OutputError(
                f"{self._output}: {format_name} refuses {choice.encoder} with {what}; use .mkv or the input's own"
            ) from None

    def write(self, frame: AnonymizedFrame) -> None:
        """Queue a frame; waits while the queue is full. Raises OutputError once encoding has failed."""
        if not isinstance(frame, AnonymizedFrame):
            raise TypeError(f"a sink takes anonymized frames only, got {type(frame).__name__}")
        if not self._queue.put(frame):
            self._raise_failure()

    def finish(self) -> None:
        """Encode what is left, complete the file and put it in its place. Raises OutputError."""
        self._queue.finish()
        self._thread.join()
        if self._failure is not None:
            self._raise_failure()
        for part in (self._track, self._passthrough):
            self.notices += [] if part is None else part.notices
        self._file.commit()

    def abort(self) -> None:
        """Stop, and leave nothing behind. May be called at any time; does nothing after `finish`."""
        self._queue.cancel()
        self._thread.join()
        self._discard()

    def _run(self) -> None:
        try:
            for anonymized in self._queue:
                frame = anonymized.frame
                self._mux(self._track.encode(frame.video, frame.pts))
            if self._queue.cancelled:
                return
            self._mux(self._track.flush())
            if self._passthrough is not None:
                self._passthrough.copy_until(None)
            self._close_container()
            if self._file.path.suffix.lower() == ".gif":
                mark_gif(self._file.path)
        except BaseException as error:
            self._failure = error
            self._queue.cancel()

    def _mux(self, packets: list[av.Packet[av.VideoStream]]) -> None:
        assert self._container is not None
        for packet in packets:
            if self._passthrough is not None and packet.dts is not None:
                self._passthrough.copy_until(packet.dts * Fraction(packet.time_base))
            self._container.mux(packet)

    def _close_container(self) -> None:
        if self._passthrough is not None:
            self._passthrough.close()
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _discard(self) -> None:
        # First the name: closing completes the file, and moving the index of a large MP4 to its front takes long.
        self._file.abort()
        # What goes wrong now does not matter any more.
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self._close_container()

    def _raise_failure(self) -> None:
        self._thread.join()
        self._discard()
        failure = self._failure
        if failure is None:
            raise OutputError(f"{self._output}: writing was stopped")
        if isinstance(failure, VeilstreamError):
            raise failure
        raise OutputError(f"{self._output}: cannot be written ({reason_of(failure)})") from None
