"""Analysis, look and rendering of one camera: what stands between its frames and any output. All fail closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from calibration.errors import CalibrationError
from streamer.analysis import LOST_SECONDS, Analyzer, AnalyzerSettings, frames_for
from streamer.frame import AnalyzedFrame
from streamer.identity import IdentityKeeper
from streamer.live.frame import LiveFrame
from streamer.live.mailbox import Mailbox
from streamer.live.overload import LiveCadence, OverloadControl
from streamer.live.settings import CameraSettings
from streamer.live.source import LinkLost
from streamer.live.states import CameraState, StateMachine
from streamer.live.telemetry import CameraTelemetry
from streamer.live.zones import PrivacyZones, RegionFilter
from streamer.planes import analysis_picture
from streamer.queues import BoundedQueue
from streamer.render.compositor import AnonymizedFrame, Compositor, LookedAtFrame
from streamer.settings import ReplaceWith
from streamer.toolkit import Toolkit

_log = logging.getLogger(__name__)

# Frames that may wait between two stages: where the later one is too slow, each one more is one more frame of delay.
FRAMES_AHEAD = 1
# Of the source's frames, those that are kept waiting while there is too much to do for all of them.
LATE_QUEUE_FRAMES = 2
# Frames that wait in the look-ahead are counted as at this rate; time bounds them below it.
_FASTEST_RATE = 30.0


@dataclass(slots=True)
class _Life:
    """Everything that remembers tracks. Replaced as a whole when analysis fails, so that no id is used again."""

    analyzer: Analyzer
    cadence: LiveCadence
    overload: OverloadControl
    compositor: Compositor
    keeper: IdentityKeeper | None


@dataclass(slots=True)
class Judged:
    """An analyzed frame, with what its tracks belong to."""

    analyzed: AnalyzedFrame
    compositor: Compositor
    keeper: IdentityKeeper | None = None


@dataclass(slots=True)
class Looked:
    """A frame whose faces were looked at, with the compositor that draws them."""

    frame: LookedAtFrame
    compositor: Compositor


class AnalysisStage:
    """Finds faces in a camera's frames, a look-ahead before they are rendered.

    Where it fails, the frame goes on to be masked whole, and the next one begins a new life.

    Args:
        frames: of the source.
        toolkit: of this camera; its engines may be shared.
        machine: told when frames stay away though the connection stands.
    """

    def __init__(
        self,
        camera: CameraSettings,
        frames: Mailbox[LiveFrame | LinkLost],
        toolkit: Toolkit,
        machine: StateMachine,
        telemetry: CameraTelemetry,
    ) -> None:
        self.ready: BoundedQueue[Judged] = BoundedQueue(FRAMES_AHEAD)
        self._camera = camera
        self._frames = frames
        self._toolkit = toolkit
        self._machine = machine
        self._telemetry = telemetry
        self._lives = 0
        self._index = 0
        self._connection = 0
        self._dropped = 0
        self._broken_off = True
        self._seen_at = time.monotonic()
        self._failing = False
        self._rate: float | None = None
        self._life: _Life | None = None
        # Masks frames while there is no life that could do it. It needs no engine and no ledger.
        self._masker = Compositor(None, ReplaceWith.SOLID)

    def run(self) -> None:
        """Until the source has finished."""
        try:
            while not self._frames.is_done:
                item = self._frames.get(self._camera.stall_seconds)
                if isinstance(item, LiveFrame):
                    self._push(item)
                    self._seen_at = time.monotonic()
                    continue
                if item is None and not self._frames.is_done:
                    self._machine.go(CameraState.STALLED, "no picture in time")
                    self._let_out(breaks_off=time.monotonic() - self._seen_at >= LOST_SECONDS)
                    continue
                self._let_out(breaks_off=True)
            self._let_out(breaks_off=True)
        finally:
            self.ready.finish()

    def _push(self, frame: LiveFrame) -> None:
        began = time.perf_counter()
        frame.index = self._index
        self._index += 1
        frame.discontinuity = self._broken_off or frame.connection != self._connection
        self._connection = frame.connection
        try:
            life = self._life_for(frame)
            # A new life breaks off the old one. This frame says so; were it said of the next one too, every face in
            # the picture would be drawn for twice.
            self._broken_off = False
            life.cadence.frame_at(frame.pts_seconds)
            emitted = life.analyzer.push(frame)
            if life.keeper is not None:
                life.keeper.observe(frame, life.analyzer.latest_faces)
        except Exception as error:
            self._failed(error)
            self._hand_on([Judged(AnalyzedFrame(frame, detector_failed=True), self._masker)])
            return
        self._failing = False
        self._telemetry.stage_seconds("analysis", time.perf_counter() - began)
        self._hand_on(_judged(life, emitted))
        detect_seconds = life.analyzer.last_detect_seconds
        life.overload.measured(
            detect_seconds=detect_seconds,
            other_seconds=time.perf_counter() - began - (detect_seconds or 0.0),
            frame_seconds=frame.interval_seconds,
            behind=self._frames.dropped > self._dropped,
        )
        self._dropped = self._frames.dropped
        if life.overload.is_late:
            self._frames.keep_newest(LATE_QUEUE_FRAMES)

    def _let_out(self, *, breaks_off: bool) -> None:
        """Nothing follows soon: what waits must not wait for it. Where it breaks off, all tracks end."""
        self._broken_off = self._broken_off or breaks_off
        life = self._life
        if life is None:
            return
        try:
            emitted = life.analyzer.flush() if breaks_off else life.analyzer.let_out()
        except Exception as error:
            self._failed(error)
        else:
            self._hand_on(_judged(life, emitted))

    def _hand_on(self, judged: list[Judged]) -> None:
        for item in judged:
            self.ready.put(item)
        self._telemetry.queue_fill("look", len(self.ready), self.ready.capacity)

    def _failed(self, error: Exception) -> None:
        """Analysis itself failed: nothing it knew can be trusted, and what waited in it is let go."""
        self._telemetry.fail_closed("analysis_failed")
        if not self._failing:
            _log.error(
                "camera %s: analysis failed (%s); it begins anew", self._camera.name, type(error).__name__
            )
        self._failing = self._broken_off = True
        self._life = None

    def _life_for(self, frame: LiveFrame) -> _Life:
        """How long a face is held is counted in frames: at another rate, a new analyzer is needed.

        Raises what engines, codebook or ledger raise when a new one is made.
        """
        rate = 1.0 / frame.interval_seconds
        if self._life is None or self._rate is None or abs(rate - self._rate) > 0.1 * self._rate:
            self._let_out(breaks_off=True)
            self._rate = rate
            # Should the new one fail, the old one must not go on at another rate.
            self._life = None
            self._life = self._new_life(rate)
        return self._life

    def _new_life(self, rate: float) -> _Life:
        camera, settings = self._camera, self._toolkit.settings.analysis
        self._lives += 1
        # Track ids begin anew, so the stream must be another one for the ledger.
        stream = camera.name if self._lives == 1 else f"{camera.name}~{self._lives}"
        depth = frames_for(camera.look_ahead_seconds, max(rate, _FASTEST_RATE))
        rendering = self._toolkit.new_renderer(stream, depth)
        renderer, keeper = rendering if rendering is not None else (None, None)
        cadence = LiveCadence(settings.detect_every, camera.look_ahead_seconds)
        overload = OverloadControl(
            camera.name,
            cadence,
            settings.detect_every,
            self._toolkit.picture_side_px,
            self._telemetry.overload,
        )
        analyzer = Analyzer(
            RegionFilter(self._toolkit.detect, (*camera.zones, *camera.ignore)),
            lambda frame: analysis_picture(frame.video, frame.geometry, overload.long_side_px),
            AnalyzerSettings(
                score_threshold=settings.score_threshold,
                continue_threshold=settings.continue_threshold,
                depth_frames=depth,
                depth_seconds=camera.look_ahead_seconds,
                hold_frames=frames_for(settings.hold_seconds, rate),
                hold_seconds=max(settings.hold_seconds, 2.0 * cadence.limit_seconds),
            ),
            cadence=cadence,
        )
        return _Life(analyzer, cadence, overload, Compositor(renderer, camera.replace_with), keeper)


def _judged(life: _Life, emitted: list[AnalyzedFrame]) -> list[Judged]:
    return [Judged(analyzed, life.compositor, life.keeper) for analyzed in emitted]


class LookStage:
    """Looks at the faces, and has a synthetic person drawn for each new one, while the frame before is rendered.

    Args:
        judged: of the analysis.
        toolkit: of this camera; its ledger tells what is spent.
    """

    def __init__(
        self,
        camera: CameraSettings,
        judged: BoundedQueue[Judged],
        toolkit: Toolkit,
        telemetry: CameraTelemetry,
    ) -> None:
        self.ready: BoundedQueue[Looked] = BoundedQueue(FRAMES_AHEAD)
        self._camera = camera
        self._judged = judged
        self._toolkit = toolkit
        self._telemetry = telemetry

    def run(self) -> None:
        """Until analysis has finished."""
        try:
            for item in self._judged:
                began = time.perf_counter()
                looked = Looked(item.compositor.look(item.analyzed), item.compositor)
                self._telemetry.stage_seconds("look", time.perf_counter() - began)
                self.ready.put(looked)
                self._telemetry.queue_fill("render", len(self.ready), self.ready.capacity)
                if item.keeper is not None:
                    self._add_up(item.keeper)
        finally:
            self._judged.cancel()
            self.ready.finish()

    def _add_up(self, keeper: IdentityKeeper) -> None:
        """Tell what the scope has spent, after a draw."""
        if not keeper.assignments:
            return
        # Weeks of tracks must not stay in memory: the ledger has them.
        keeper.assignments.clear()
        try:
            spent = self._toolkit.ledger.spent(self._toolkit.settings.privacy.scope)
        except CalibrationError as error:
            # A number on a page: the next draw brings it again.
            _log.warning("camera %s: the ledger's sum cannot be read (%s)", self._camera.name, error)
        else:
            self._telemetry.epsilon(float(spent))


class RenderStage:
    """Covers the faces, then the zones.

    Args:
        looked: frames whose faces were looked at.
        take: is given each anonymized frame.
    """

    def __init__(
        self,
        camera: CameraSettings,
        looked: BoundedQueue[Looked],
        telemetry: CameraTelemetry,
        take: Callable[[AnonymizedFrame], None],
    ) -> None:
        self._camera = camera
        self._looked = looked
        self._telemetry = telemetry
        self._take = take
        self._zones = PrivacyZones(camera.zones)

    def run(self) -> None:
        """Until no more frames come."""
        try:
            for item in self._looked:
                try:
                    self._take(self._render(item))
                except Exception as error:
                    # The frame is let go: nothing leaves that was not covered.
                    self._telemetry.fail_closed("rendering_failed")
                    _log.error(
                        "camera %s: a frame was held back (%s)", self._camera.name, type(error).__name__
                    )
        finally:
            self._looked.cancel()

    def _render(self, item: Looked) -> AnonymizedFrame:
        began = time.perf_counter()
        anonymized = item.compositor.compose(item.frame)
        if not self._zones.cover(anonymized.frame):
            self._telemetry.fail_closed("zone_failed")
        self._telemetry.stage_seconds("render", time.perf_counter() - began)
        self._count(anonymized)
        return anonymized

    def _count(self, anonymized: AnonymizedFrame) -> None:
        telemetry = self._telemetry
        telemetry.faces(len(anonymized.coverings))
        telemetry.tracks(len({covering.face.track_id for covering in anonymized.coverings}))
        if anonymized.masked is not None:
            telemetry.fail_closed(anonymized.masked)
        for covering in anonymized.coverings:
            if covering.reason is not None:
                telemetry.fallback(covering.reason)
