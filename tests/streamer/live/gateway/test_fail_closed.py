"""Whatever fails between the camera and the outputs, no raw picture comes out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from calibration.errors import LedgerError
from streamer.analysis import Analyzer
from streamer.errors import SettingsError
from streamer.frame import StreamGeometry
from streamer.live.camera import Camera
from streamer.live.frame import CLOCK, TICKS_PER_SECOND, LiveFrame
from streamer.live.mailbox import Mailbox
from streamer.live.settings import GatewaySettings
from streamer.live.source import LinkLost
from streamer.live.stages import AnalysisStage, LookStage, RenderStage
from streamer.live.states import CameraState, StateMachine
from streamer.live.telemetry import CameraTelemetry
from streamer.render.compositor import AnonymizedFrame, Compositor
from streamer.toolkit import Toolkit

from .conftest import RATE, wait_for

LEFT_ZONE = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]


@pytest.fixture
def frames(clips: Path) -> list[LiveFrame]:
    """Two seconds of two people, as a source gives them."""
    found = []
    with av.open(str(clips / "people.mp4")) as container:
        for index, video in enumerate(container.decode(video=0)):
            frame = LiveFrame(index, index * TICKS_PER_SECOND // RATE, CLOCK, video, StreamGeometry(320, 180))
            frame.connection, frame.interval_seconds = 1, 1.0 / RATE
            found.append(frame)
    return found[: 2 * RATE]


class Bench:
    """Analysis and rendering of one camera, driven by hand."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.camera = settings.cameras[0]
        self.toolkit = Toolkit(settings.anonymize_settings(self.camera))
        self.telemetry = CameraTelemetry("door")

    def run(self, items: Sequence[LiveFrame | LinkLost | float]) -> list[AnonymizedFrame]:
        """Everything that comes out for these. Numbers are seconds without anything."""
        box: Mailbox[LiveFrame | LinkLost] = Mailbox(1000, lambda item: None)
        feeder = threading.Thread(target=self._feed, args=(box, items))
        feeder.start()
        machine = StateMachine("door", self.telemetry.state)
        analysis = AnalysisStage(self.camera, box, self.toolkit, machine, self.telemetry)
        out: list[AnonymizedFrame] = []
        look = LookStage(self.camera, analysis.ready, self.toolkit, self.telemetry)
        render = RenderStage(self.camera, look.ready, self.telemetry, out.append)
        threads = [threading.Thread(target=stage.run) for stage in (analysis, look)]
        for thread in threads:
            thread.start()
        render.run()
        for thread in (feeder, *threads):
            thread.join()
        return out

    @staticmethod
    def _feed(box: Mailbox[LiveFrame | LinkLost], items: Sequence[LiveFrame | LinkLost | float]) -> None:
        for item in items:
            if isinstance(item, float):
                wait_for(lambda: not len(box), "what came before is read")
                time.sleep(item)
            else:
                box.put(item)
        box.finish()


@pytest.fixture
def bench(settings: Callable[..., GatewaySettings]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**camera: Any) -> Bench:
        outputs = [{"kind": "preview"}]
        made.append(Bench(settings({"input": "rtsp://127.0.0.1/1", "outputs": outputs, **camera})))
        return made[-1]

    yield make
    for item in made:
        item.toolkit.close()


def _luma(frame: AnonymizedFrame) -> np.ndarray:
    return frame.frame.video.to_ndarray(format="gray")


def _is_flat(frame: AnonymizedFrame) -> bool:
    return int(np.ptp(_luma(frame))) == 0


def test_frames_wait_for_the_look_ahead_and_no_longer(
    bench: Callable[..., Bench], frames: list[LiveFrame]
) -> None:
    out = bench().run([*frames, LinkLost()])
    assert len(out) == len(frames)
    assert all(len(frame.coverings) == 2 for frame in out)


def test_a_detector_that_fails_masks_every_frame(
    bench: Callable[..., Bench], frames: list[LiveFrame]
) -> None:
    item = bench(zones=[LEFT_ZONE])

    def fail(picture: object) -> list[Any]:
        raise RuntimeError

    item.toolkit.detect = fail
    out = item.run(list(frames))
    assert len(out) == len(frames)
    assert all(frame.masked is not None for frame in out)
    # The zone is painted over the mask: two flat halves.
    assert all(np.ptp(_luma(frame)[:, :150]) == np.ptp(_luma(frame)[:, 170:]) == 0 for frame in out)
    assert item.telemetry.snapshot().fail_closed == {"detector_failed": len(frames)}


def test_zones_are_covered_where_nothing_is_found(
    bench: Callable[..., Bench], frames: list[LiveFrame]
) -> None:
    item = bench(zones=[LEFT_ZONE], ignore=[[[0, 0], [1, 0], [1, 1], [0, 1]]])
    out = item.run(list(frames))
    assert all(not frame.coverings for frame in out)
    assert all(np.ptp(_luma(frame)[:, :155]) == 0 for frame in out)
    assert all(np.ptp(_luma(frame)[:, 170:]) > 50 for frame in out)


def test_analysis_that_breaks_masks_the_frame_and_begins_anew(
    bench: Callable[..., Bench], frames: list[LiveFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Analyzer.push
    calls = iter(range(1000))

    def sometimes(self: Analyzer, frame: Any) -> Any:
        if next(calls) == 10:
            raise IndexError
        return push(self, frame)

    monkeypatch.setattr(Analyzer, "push", sometimes)
    item = bench()
    out = item.run(list(frames))
    assert item.telemetry.snapshot().fail_closed == {"analysis_failed": 1, "detector_failed": 1}
    assert sum(_is_flat(frame) for frame in out) == 1
    assert all(len(frame.coverings) == 2 for frame in out if frame.masked is None)
    # What waited in the broken analysis is let go.
    assert len(frames) - 6 <= len(out) < len(frames)


def test_analysis_that_cannot_begin_masks_every_frame_until_it_can(
    bench: Callable[..., Bench],
    frames: list[LiveFrame],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    item = bench()
    make, calls = item.toolkit.new_renderer, iter(range(1000))

    def later(*arguments: Any) -> Any:
        if next(calls) < 5:
            raise LedgerError("the ledger is locked by another process")
        return make(*arguments)

    monkeypatch.setattr(item.toolkit, "new_renderer", later)
    out = item.run(list(frames))
    assert len(out) == len(frames)
    assert [frame.masked is not None for frame in out] == [True] * 5 + [False] * (len(frames) - 5)
    assert all(_is_flat(frame) for frame in out[:5])
    assert all(len(frame.coverings) == 2 for frame in out[5:])
    assert caplog.text.count("analysis failed") == 1


def test_a_sum_that_cannot_be_read_holds_nothing_back(
    bench: Callable[..., Bench], frames: list[LiveFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    item = bench(replace_with="synthetic", privacy={"mechanism": "uniform"})

    def fail(scope: str) -> Any:
        raise LedgerError("the ledger is locked by another process")

    monkeypatch.setattr(item.toolkit.ledger, "spent", fail)
    out = item.run(list(frames[:8]))
    assert len(out) == 8
    assert all(len(frame.coverings) == 2 and frame.masked is None for frame in out)
    assert item.telemetry.snapshot().fail_closed == {}


def test_a_compositor_that_breaks_holds_the_frame_back(
    bench: Callable[..., Bench], frames: list[LiveFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Compositor, analyzed: object) -> AnonymizedFrame:
        raise KeyError

    monkeypatch.setattr(Compositor, "compose", fail)
    item = bench()
    assert item.run(list(frames)) == []
    assert item.telemetry.snapshot().fail_closed == {"rendering_failed": len(frames)}


def test_frames_of_two_connections_share_no_track(
    bench: Callable[..., Bench], frames: list[LiveFrame]
) -> None:
    item = bench()
    for frame in frames[10:]:
        frame.connection = 2
    out = item.run([*frames[:10], LinkLost(), *frames[10:]])
    tracks = [{covering.face.track_id for covering in frame.coverings} for frame in out]
    assert len(out) == len(frames)
    assert not set.union(*tracks[:10]) & set.union(*tracks[10:])


def _tracks(frames: list[AnonymizedFrame]) -> set[int]:
    return {covering.face.track_id for frame in frames for covering in frame.coverings}


def test_the_start_draws_once_for_each_face(bench: Callable[..., Bench], frames: list[LiveFrame]) -> None:
    """A second draw would cost a second epsilon, and show the face as two people."""
    item = bench(replace_with="synthetic")
    out = item.run([*frames[:8], LinkLost()])
    assert len(_tracks(out)) == 2
    assert item.toolkit.ledger.spent(item.toolkit.settings.privacy.scope) == 2


def test_a_new_life_draws_once_for_each_face(
    bench: Callable[..., Bench], frames: list[LiveFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After analysis broke, and after a connection at another rate."""
    push = Analyzer.push
    calls = iter(range(1000))

    def once_fails(self: Analyzer, frame: Any) -> Any:
        if next(calls) == 3:
            raise IndexError
        return push(self, frame)

    item = bench()
    made = []
    monkeypatch.setattr(item.toolkit, "new_renderer", lambda stream, depth: made.append(stream))
    for frame in frames[12:]:
        frame.connection, frame.interval_seconds = 2, 0.5 / RATE
    monkeypatch.setattr(Analyzer, "push", once_fails)
    out = item.run([*frames[:12], LinkLost(), *frames[12:]])
    assert made == ["door", "door~2", "door~3"]
    after_failure, after_loss = (
        [frame for frame in out if frame.frame in part] for part in (frames[4:12], frames[12:])
    )
    assert len(after_failure) == 8
    assert len(after_loss) == len(frames) - 12
    assert len(_tracks(after_failure)) == len(_tracks(after_loss)) == 2


@pytest.mark.parametrize(("late_seconds", "tracks"), [(0.5, 2), (1.5, 4)])
def test_tracks_last_through_a_short_stall_alone(
    bench: Callable[..., Bench], frames: list[LiveFrame], late_seconds: float, tracks: int
) -> None:
    """What waits is let out meanwhile. The camera's stamps need not tell of the stall."""
    item = bench(stall_seconds=0.2)
    out = item.run([*frames[:10], late_seconds, *frames[10:]])
    assert len(out) == len(frames)
    assert all(len(frame.coverings) == 2 for frame in out)
    assert len(_tracks(out)) == tracks


def test_a_dead_analysis_thread_leaves_the_placeholder_and_is_told(
    settings: Callable[..., GatewaySettings], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, dies = Analyzer.push, threading.Event()

    def until_told(self: Analyzer, frame: Any) -> Any:
        if dies.is_set():
            raise SystemExit
        return push(self, frame)

    monkeypatch.setattr(Analyzer, "push", until_told)
    given = settings(
        {
            "input": str(clips / "people.mp4"),
            "look_ahead_seconds": 0.2,
            "stall_seconds": 0.5,
            "outputs": [{"kind": "segments", "folder": str(tmp_path / "rec"), "segment_seconds": 60}],
        }
    )
    camera = Camera(given.cameras[0], Toolkit(given.anonymize_settings(given.cameras[0])))
    camera.start()
    wait_for(lambda: camera.snapshot().frames_out >= 2, "plays")
    dies.set()
    wait_for(lambda: not camera.is_whole or camera.is_over, "the thread dies")
    seen = camera.snapshot()
    assert seen.state is CameraState.RUNNING
    assert not camera.is_whole
    camera.stop(time.monotonic() + 10.0)
    assert camera.snapshot().frames_out == seen.frames_out
    (recording,) = (tmp_path / "rec").iterdir()
    with av.open(str(recording)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= seen.frames_out


def test_a_key_file_is_refused(settings: Callable[..., GatewaySettings], tmp_path: Path) -> None:
    """Its draws are found again by track number, and a live track never comes again."""
    given = settings(
        {
            "input": "rtsp://127.0.0.1/1",
            "outputs": [{"kind": "preview"}],
            "privacy": {"key_file": str(tmp_path / "key"), "ledger": str(tmp_path / "ledger.jsonl")},
        }
    )
    toolkit = Toolkit(given.anonymize_settings(given.cameras[0]))
    with pytest.raises(SettingsError, match="key_file"):
        Camera(given.cameras[0], toolkit)
    toolkit.close()
