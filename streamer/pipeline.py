"""The way of the data: source -> analysis -> compositor -> sink, each frame once and in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from streamer.frame import AnalyzedFrame, Frame, TrackedFace
from streamer.queues import BoundedQueue
from streamer.render.compositor import AnonymizedFrame, Compositor, LookedAtFrame
from streamer.report import JobRecorder

# Frames looked at that may wait for drawing. They come on top of the look-ahead, so few are enough.
LOOKED_AT_AHEAD = 4


class Cancelled(Exception):
    """The job was asked to stop (Ctrl-C, SIGTERM, or the caller's event)."""


class FrameAnalyzer(Protocol):
    """Finds and follows faces; may hold frames back for its look-ahead."""

    def push(self, frame: Frame) -> list[AnalyzedFrame]: ...

    def flush(self) -> list[AnalyzedFrame]: ...

    @property
    def latest_faces(self) -> list[TrackedFace]:
        """Faces found in the frame pushed last, before the look-ahead."""
        ...


class FrameSink(Protocol):
    """Takes anonymized frames, and nothing else."""

    def write(self, frame: AnonymizedFrame) -> None: ...


@dataclass(slots=True)
class StageSeconds:
    """Wall-clock seconds spent in each stage: waiting counts for the end waited for.

    Source, analysis and look (landmarks, eyes, who wears the face) run in one thread, render (drawing) and sink in
    another.
    """

    source: float = 0.0
    analysis: float = 0.0
    look: float = 0.0
    render: float = 0.0
    sink: float = 0.0


@dataclass(slots=True)
class Progress:
    """A snapshot for a progress display."""

    frames: int
    faces: int
    pts_seconds: float


ProgressCallback = Callable[[Progress], None]
Observer = Callable[[Frame, list[TrackedFace]], None]


@dataclass(slots=True)
class Pipeline:
    """Moves every frame of a source through the stages.

    Attributes:
        observe: sees each frame with the faces just found in it, before the look-ahead holds it back.
        cancel: set it to stop the job; `run` then raises Cancelled.
    """

    frames: Iterable[Frame]
    analyzer: FrameAnalyzer
    compositor: Compositor
    sink: FrameSink
    recorder: JobRecorder
    observe: Observer | None = None
    on_progress: ProgressCallback | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    seconds: StageSeconds = field(default_factory=StageSeconds)

    def run(self) -> None:
        """Process until the source ends. Raises what the source or the sink raise, or Cancelled.

        Faces are found and looked at in a thread of its own, a few frames ahead: it reads frames that have not been
        drawn into yet.
        """
        ready: BoundedQueue[LookedAtFrame] = BoundedQueue(LOOKED_AT_AHEAD)
        thread = threading.Thread(
            target=self._analyze, args=(ready,), name="veilstream-analysis", daemon=True
        )
        thread.start()
        try:
            for looked in ready:
                if self.cancel.is_set():
                    raise Cancelled
                self._finish(looked)
        finally:
            ready.cancel()
            thread.join()
        if self.cancel.is_set():
            raise Cancelled

    def _analyze(self, ready: BoundedQueue[LookedAtFrame]) -> None:
        try:
            for analyzed in self._analyzed():
                start = time.perf_counter()
                looked = self.compositor.look(analyzed)
                self.seconds.look += time.perf_counter() - start
                if not ready.put(looked):
                    return
        except BaseException as error:
            ready.finish(error)
        else:
            ready.finish()

    def _analyzed(self) -> Iterator[AnalyzedFrame]:
        clock = time.perf_counter
        mark = clock()
        for frame in self.frames:
            now = clock()
            self.seconds.source += now - mark
            if self.cancel.is_set():
                return
            emitted = self.analyzer.push(frame)
            if self.observe is not None:
                self.observe(frame, self.analyzer.latest_faces)
            self.seconds.analysis += clock() - now
            yield from emitted
            mark = clock()
        yield from self.analyzer.flush()

    def _finish(self, looked: LookedAtFrame) -> None:
        analyzed = looked.analyzed
        start = time.perf_counter()
        anonymized = self.compositor.compose(looked)
        rendered = time.perf_counter()
        self.seconds.render += rendered - start
        self.recorder.record(analyzed, anonymized)
        self.sink.write(anonymized)
        self.seconds.sink += time.perf_counter() - rendered
        if self.on_progress is not None:
            frame = analyzed.frame
            self.on_progress(Progress(self.recorder.frames, self.recorder.faces, frame.pts_seconds))
