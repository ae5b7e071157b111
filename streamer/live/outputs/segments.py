"""Recording into files of a fixed length, and deleting the oldest."""

from __future__ import annotations

import logging
import re
import time
from datetime import datetime, timezone

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamer.live.frame import TICKS_PER_SECOND
from streamer.live.outputs.muxer import Muxer
from streamer.live.outputs.packets import EncodedPacket, StreamHead, add_stream, packet_for
from streamer.live.settings import SegmentsOutput
from streamer.sink.containers import mark_tags

_log = logging.getLogger(__name__)

_PART = ".part"
# Fragments are complete as soon as they are written: also what a power cut leaves behind can be played.
_FRAGMENTED = "+frag_keyframe+empty_moov+default_base_moof+use_metadata_tags"


class SegmentMuxer(Muxer):
    """Writes `CAMERA-20250131T235959.123Z.mp4`, one file after another, each beginning at time 0 with a key frame.

    A file in the making ends in `.part`. Those that an earlier process left are completed by name at the start.

    Args:
        camera: first part of the file names; only files so named are ever deleted.
    """

    def __init__(self, camera: str, settings: SegmentsOutput) -> None:
        self._settings = settings
        self._camera = camera
        self._own = re.compile(re.escape(camera) + r"-\d{8}T\d{6}\.\d{3}Z\.mp4")
        self._open_one: tuple[OutputContainer, VideoStream] | None = None
        self._path = settings.folder
        self._origin = 0

    def open(self, head: StreamHead) -> None:
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        for left in self._settings.folder.glob(f"*.mp4{_PART}"):
            if self._own.fullmatch(left.name.removesuffix(_PART)):
                left.rename(left.with_name(left.name.removesuffix(_PART)))
        self._delete_old()

    def write(self, packet: EncodedPacket) -> None:
        age_seconds = (packet.pts - self._origin) / TICKS_PER_SECOND
        # Half a frame early counts: the next key frame would be too late by a whole interval of them.
        if (
            self._open_one is not None
            and packet.is_key
            and age_seconds > self._settings.segment_seconds - 0.02
        ):
            self._complete()
            self._delete_old()
        container, stream = self._open_one or self._begin(packet)
        container.mux(packet_for(stream, packet, self._origin))

    def close(self) -> None:
        self._complete()

    def _begin(self, packet: EncodedPacket) -> tuple[OutputContainer, VideoStream]:
        now = datetime.now(timezone.utc)
        name = f"{self._camera}-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z.mp4{_PART}"
        self._path = self._settings.folder.absolute() / name
        self._origin = packet.pts
        container = av.open(
            str(self._path), "w", format="mp4", options={"movflags": _FRAGMENTED, "flush_packets": "1"}
        )
        stream = add_stream(container, packet.head)
        container.metadata.update(mark_tags("mp4"))
        container.start_encoding()
        self._open_one = (container, stream)
        return self._open_one

    def _complete(self) -> None:
        opened, self._open_one = self._open_one, None
        if opened is None:
            return
        try:
            opened[0].close()
        finally:
            self._path.rename(self._path.with_name(self._path.name.removesuffix(_PART)))

    def _delete_old(self) -> None:
        """Apply the limits to the completed files, the oldest first. Their names sort by time."""
        limit_seconds, limit_bytes = self._settings.keep_seconds, self._settings.keep_bytes
        if limit_seconds is None and limit_bytes is None:
            return
        files = sorted(path for path in self._settings.folder.iterdir() if self._own.fullmatch(path.name))
        states = [(path, path.stat()) for path in files]
        total = sum(state.st_size for _, state in states)
        oldest_kept = -1.0 if limit_seconds is None else time.time() - limit_seconds
        for path, state in states:
            too_much = limit_bytes is not None and total > limit_bytes
            if not too_much and state.st_mtime >= oldest_kept:
                continue
            path.unlink(missing_ok=True)
            total -= state.st_size
            _log.debug("%s deleted: past the limits of its folder", path.name)
