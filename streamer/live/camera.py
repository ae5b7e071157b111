"""One camera from its link to its outputs."""

from __future__ import annotations

import logging
import time

from streamer.errors import SettingsError
from streamer.live.director import KEY_SECONDS, Director
from streamer.live.outputs.build import Outputs, build_outputs
from streamer.live.outputs.preview import PreviewHub
from streamer.live.settings import CameraSettings, HlsOutput, SegmentsOutput
from streamer.live.source import LiveSource
from streamer.live.stages import AnalysisStage, LookStage, RenderStage
from streamer.live.states import StateMachine
from streamer.live.telemetry import CameraSnapshot, CameraTelemetry
from streamer.live.threads import GuardedThread, start_thread
from streamer.toolkit import Toolkit

_log = logging.getLogger(__name__)

FINISH_SECONDS = 10.0


class Camera:
    """Source, analysis, look, rendering, director and outputs, each in a thread of its own.

    Args:
        toolkit: of this camera alone; its engines may be shared.

    Raises:
        SettingsError: an option that live video cannot honour.
    """

    def __init__(self, settings: CameraSettings, toolkit: Toolkit) -> None:
        if settings.privacy.key_file is not None:
            raise SettingsError(
                f"camera {settings.name!r}: replayable draws (key_file) are for files; "
                "a live track never comes again, take key_file out"
            )
        self.settings = settings
        self._toolkit = toolkit
        self._telemetry = CameraTelemetry(settings.name, scope=toolkit.settings.privacy.scope)
        self._machine = StateMachine(settings.name, self._telemetry.state)
        if toolkit.synthetic is not None:
            self._telemetry.epsilon(float(toolkit.ledger.spent(toolkit.settings.privacy.scope)))
        self._threads: list[GuardedThread] = []
        self._source = LiveSource(settings, self._machine, self._telemetry)
        self._analysis = AnalysisStage(settings, self._source.frames, toolkit, self._machine, self._telemetry)
        self._outputs: Outputs = build_outputs(settings, self._telemetry, self._ask_for_key)
        self._director = Director(
            settings.name,
            self._outputs.all,
            self._telemetry,
            stall_seconds=settings.stall_seconds,
            look_ahead_seconds=settings.look_ahead_seconds,
            key_seconds=_key_seconds(settings),
        )
        self._look = LookStage(settings, self._analysis.ready, toolkit, self._telemetry)
        self._render = RenderStage(settings, self._look.ready, self._telemetry, self._director.frames.put)

    @property
    def is_over(self) -> bool:
        """True once the source has ended or failed for good."""
        return self._machine.is_final

    @property
    def is_whole(self) -> bool:
        """False when a thread was ended by what should not happen. Those of a finished file end by themselves."""
        return not any(part.has_died for part in (self._source, *self._threads, *self._outputs.all))

    @property
    def preview(self) -> PreviewHub | None:
        return self._outputs.preview

    def snapshot(self) -> CameraSnapshot:
        return self._telemetry.snapshot()

    def start(self) -> None:
        """Connect and begin."""
        name = self.settings.name
        _log.info(
            "camera %s: %s, look-ahead %g s, %d output(s)",
            name,
            self.settings.input,
            self.settings.look_ahead_seconds,
            len(self.settings.outputs),
        )
        stages = (
            ("analysis", self._analysis.run),
            ("look", self._look.run),
            ("render", self._run_render),
            ("director", self._run_director),
        )
        self._threads = [start_thread(f"{name}-{stage}", run) for stage, run in stages]
        self._source.start()

    def stop(self, deadline: float) -> None:
        """Stop reading, let out what is on its way, complete the outputs; until the monotonic `deadline` at most."""
        if not self._source.stop(max(0.0, _share(deadline))):
            _log.warning("camera %s: a read hangs and is left behind", self.settings.name)
        for thread in self._threads:
            thread.join(max(0.0, _share(deadline)))
        self._director.frames.finish()
        self._finish_outputs(deadline)
        self._toolkit.close()

    def _run_render(self) -> None:
        try:
            self._render.run()
        finally:
            self._director.frames.finish()

    def _run_director(self) -> None:
        try:
            self._director.run()
        finally:
            # The source has ended by itself: complete what was written without waiting for the other cameras.
            self._finish_outputs(time.monotonic() + FINISH_SECONDS)

    def _finish_outputs(self, deadline: float) -> None:
        for output in self._outputs.all:
            output.finish(deadline)

    def _ask_for_key(self) -> None:
        self._director.ask_for_key()


def _key_seconds(settings: CameraSettings) -> float:
    """No segment can be shorter than the distance of key frames."""
    lengths = [
        output.segment_seconds
        for output in settings.outputs
        if isinstance(output, (HlsOutput, SegmentsOutput))
    ]
    return min([KEY_SECONDS, *lengths])


def _share(deadline: float) -> float:
    """Of the time left, what one thread may take: something must remain for the outputs."""
    return (deadline - time.monotonic()) * 0.4
