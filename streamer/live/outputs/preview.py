"""Small anonymized JPEG pictures for viewers, made only while somebody looks."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np

from streamer.live.mailbox import Mailbox
from streamer.live.settings import PreviewOutput
from streamer.live.telemetry import CameraTelemetry
from streamer.live.threads import start_thread
from streamer.planes import analysis_picture
from streamer.render.compositor import AnonymizedFrame

# A viewer who comes sees the last picture before the next one is due, unless it is older than this.
_FRESH_SECONDS = 2.0


class PreviewSubscription:
    """One viewer."""

    def __init__(self, hub: PreviewHub) -> None:
        self._hub = hub
        self._open = True

    def latest(self) -> tuple[int, bytes] | None:
        """Number and JPEG of the newest picture; None before the first. Never waits."""
        return self._hub.latest() if self._open else None

    def close(self) -> None:
        """The viewer has gone."""
        if self._open:
            self._open = False
            self._hub.leave()


class PreviewHub:
    """Makes JPEGs of anonymized frames, at most so many a second, in a thread of its own.

    Args:
        camera: for the thread's name.
    """

    def __init__(self, camera: str, settings: PreviewOutput, telemetry: CameraTelemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        # One that gives way here was only never shown: that is what a preview is.
        self._frames: Mailbox[AnonymizedFrame] = Mailbox(1, lambda frame: None)
        self._mutex = threading.Lock()
        self._viewers = 0
        self._latest: tuple[int, bytes, float] | None = None
        self._count = 0
        self._due = 0.0
        self._thread = start_thread(f"{camera}-preview", self._run)

    @property
    def has_died(self) -> bool:
        """True when its thread was ended by what should not happen."""
        return self._thread.has_died

    def subscribe(self) -> PreviewSubscription:
        """A new viewer; it must be closed."""
        with self._mutex:
            self._viewers += 1
        return PreviewSubscription(self)

    def leave(self) -> None:
        """A viewer has gone."""
        with self._mutex:
            self._viewers -= 1

    def latest(self) -> tuple[int, bytes] | None:
        """See `PreviewSubscription.latest`."""
        latest = self._latest
        if latest is None or time.monotonic() - latest[2] > max(_FRESH_SECONDS, 2 / self._settings.max_fps):
            return None
        return latest[0], latest[1]

    def put(self, frame: AnonymizedFrame) -> None:
        """Take a frame when one is due and somebody looks. Never waits."""
        if not isinstance(frame, AnonymizedFrame):
            raise TypeError(f"an output takes anonymized frames only, got {type(frame).__name__}")
        now = time.monotonic()
        if self._viewers > 0 and now >= self._due:
            self._due = now + 1.0 / self._settings.max_fps
            self._frames.put(frame)

    def finish(self, deadline: float) -> None:
        """Stop; until the monotonic `deadline` at most."""
        self._frames.finish()
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._frames.is_done:
            frame = self._frames.get(None)
            if frame is None:
                continue
            try:
                self._show(frame)
            except Exception:
                self._telemetry.frame_dropped("preview_failed")

    def _show(self, anonymized: AnonymizedFrame) -> None:
        frame = anonymized.frame
        width, height = frame.geometry.display_size
        long_side = round(self._settings.width * max(1.0, height / width))
        picture_rgb_u8, _ = analysis_picture(frame.video, frame.geometry, long_side)
        options = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
        done, coded = cv2.imencode(".jpg", np.ascontiguousarray(picture_rgb_u8[..., ::-1]), options)
        if done:
            self._count += 1
            self._latest = (self._count, coded.tobytes(), time.monotonic())
