"""Decides what every output of a camera shows: its frames, or the placeholder while there are none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from streamer.live.frame import CLOCK, TICKS_PER_SECOND, LiveFrame
from streamer.live.mailbox import Mailbox
from streamer.live.outputs.canvas import canvas_size
from streamer.live.placeholder import Placeholder
from streamer.live.rebase import OutputClock
from streamer.live.telemetry import CameraTelemetry
from streamer.render.compositor import AnonymizedFrame

_log = logging.getLogger(__name__)

QUEUE_FRAMES = 8
PLACEHOLDER_SECONDS = 0.2
KEY_SECONDS = 2.0
_KEY, _ANY = 1, 0


class FrameOutput(Protocol):
    """Takes anonymized frames, and nothing else; never makes the director wait."""

    def put(self, frame: AnonymizedFrame) -> None: ...

    def finish(self, deadline: float) -> None: ...


class Director:
    """Stamps frames and hands them to the outputs; fills gaps with the placeholder.

    The placeholder has the size of the camera's first picture. Before that one there is nothing to show it at, and no
    output is opened: players and servers could not be told another size afterwards.

    Args:
        stall_seconds: after so long without a frame the placeholder stands in.
        look_ahead_seconds: by which frames are late, so that the placeholder does not come too early.
        key_seconds: at least so often a key frame.
    """

    def __init__(
        self,
        camera: str,
        outputs: Sequence[FrameOutput],
        telemetry: CameraTelemetry,
        *,
        stall_seconds: float,
        look_ahead_seconds: float,
        key_seconds: float = KEY_SECONDS,
    ) -> None:
        self.frames: Mailbox[AnonymizedFrame] = Mailbox(QUEUE_FRAMES, self._dropped)
        self._camera = camera
        self._outputs = outputs
        self._telemetry = telemetry
        self._patience_seconds = stall_seconds + look_ahead_seconds
        self._key_ticks = round(key_seconds * TICKS_PER_SECOND)
        self._clock = OutputClock()
        self._placeholder = Placeholder()
        self._size: tuple[int, int] | None = None
        self._last_frame_at = 0.0
        self._last_key: int | None = None
        self._key_wanted = threading.Event()
        self._shows_placeholder = False
        self._failing = False

    def ask_for_key(self) -> None:
        """Make the next picture a key frame: an output waits to begin."""
        self._key_wanted.set()

    def run(self) -> None:
        """Until the frames have finished."""
        while not self.frames.is_done:
            frame = self.frames.get(PLACEHOLDER_SECONDS)
            now = time.monotonic()
            try:
                if frame is not None:
                    self._show(frame, now)
                elif not self.frames.is_done:
                    self._fill(now)
                self._failing = False
            except Exception as error:
                self._telemetry.fail_closed("output_failed")
                if not self._failing:
                    _log.error("camera %s: a picture was held back (%s)", self._camera, type(error).__name__)
                self._failing = True

    def _show(self, anonymized: AnonymizedFrame, now: float) -> None:
        frame = anonymized.frame
        if self._size is None:
            self._size = canvas_size(frame.geometry)
        connection = frame.connection if isinstance(frame, LiveFrame) else 0
        frame.pts = self._clock.place(frame.pts, connection, now)
        frame.time_base = CLOCK
        self._switch(placeholder=False)
        self._last_frame_at = now
        self._put(anonymized)
        self._telemetry.frame_out()

    def _fill(self, now: float) -> None:
        if self._size is None or now - self._last_frame_at < self._patience_seconds:
            return
        self._switch(placeholder=True)
        self._put(self._placeholder.frame(*self._size, self._clock.fill(now)))
        self._telemetry.frame_out(placeholder=True)

    def _switch(self, *, placeholder: bool) -> None:
        """A change of scene begins with a key frame: nothing of the one may shine through in the other."""
        if placeholder is not self._shows_placeholder:
            self._shows_placeholder = placeholder
            self._key_wanted.set()

    def _put(self, anonymized: AnonymizedFrame) -> None:
        video, pts = anonymized.frame.video, anonymized.frame.pts
        due = self._last_key is None or pts - self._last_key >= self._key_ticks
        key = due or self._key_wanted.is_set()
        if key:
            self._key_wanted.clear()
            self._last_key = pts
        # Stamped once, here: from now on several threads read the frame.
        video.pts, video.time_base = pts, CLOCK
        video.pict_type = _KEY if key else _ANY
        for output in self._outputs:
            output.put(anonymized)

    def _dropped(self, frame: AnonymizedFrame) -> None:
        self._telemetry.frame_dropped("output_queue_full")
