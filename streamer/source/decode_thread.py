"""Decoding beside everything else: a thread that fills a bounded queue and waits when it is full."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from streamer.frame import Frame
from streamer.queues import BoundedQueue


class DecodeThread:
    """Runs an iterator of frames in a thread of its own.

    Nothing is dropped: for files the decoder waits. What the iterator raises is raised in the reader.

    Args:
        frames: touched by the thread alone from now on.
        capacity: frames decoded ahead.
    """

    def __init__(self, frames: Iterator[Frame], capacity: int = 8) -> None:
        self.queue: BoundedQueue[Frame] = BoundedQueue(capacity)
        self._frames = frames
        self._thread = threading.Thread(target=self._run, name="veilstream-decode", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for frame in self._frames:
                if not self.queue.put(frame):
                    break
        except BaseException as error:
            self.queue.finish(error)
        else:
            self.queue.finish()

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.queue)

    def close(self) -> None:
        """Stop after the frame being decoded, and wait for that."""
        self.queue.cancel()
        self._thread.join()
