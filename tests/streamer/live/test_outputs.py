"""Outputs: encoded once, sent to many, each failing by itself; nothing but anonymized frames gets in."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.errors import SettingsError
from streamer.frame import AnalyzedFrame, StreamGeometry
from streamer.live.backoff import Backoff
from streamer.live.config import parse_config
from streamer.live.frame import CLOCK, LiveFrame
from streamer.live.outputs import output as output_module
from streamer.live.outputs.build import check_outputs
from streamer.live.outputs.canvas import Canvas, canvas_size
from streamer.live.outputs.encoder import LiveEncoder
from streamer.live.outputs.hls import HlsMuxer
from streamer.live.outputs.muxer import Muxer
from streamer.live.outputs.output import PacketOutput
from streamer.live.outputs.packets import EncodedPacket, StreamHead
from streamer.live.outputs.preview import PreviewHub
from streamer.live.outputs.segments import SegmentMuxer
from streamer.live.placeholder import Placeholder
from streamer.live.settings import HlsOutput, PreviewOutput, SegmentsOutput
from streamer.live.telemetry import CameraTelemetry
from streamer.render.compositor import AnonymizedFrame, Compositor
from streamer.settings import EncodeSettings, ReplaceWith

FRAME_TICKS = 9000
SIZE = (64, 48)


class Written(Muxer):
    """Remembers what came; fails or hangs where it is told to."""

    def __init__(self, fail_after: int | None = None, hang: threading.Event | None = None) -> None:
        self.packets: list[EncodedPacket] = []
        self.closed = threading.Event()
        self._fail_after = fail_after
        self._hang = hang

    def open(self, head: StreamHead) -> None:
        if self._fail_after == 0:
            raise ConnectionRefusedError("rtsp://operator:hunter2@cam")

    def write(self, packet: EncodedPacket) -> None:
        if self._hang is not None:
            self._hang.wait()
        if self._fail_after is not None and len(self.packets) >= self._fail_after:
            raise BrokenPipeError
        self.packets.append(packet)

    def close(self) -> None:
        self.closed.set()


def _frame(number: int, size: tuple[int, int] = SIZE, *, key: bool = False) -> AnonymizedFrame:
    """As the director gives it: stamped, and marked where a key frame is wanted."""
    shade = np.full((size[1], size[0], 3), 40 + 5 * number % 150, np.uint8)
    video = av.VideoFrame.from_ndarray(shade, format="rgb24").reformat(format="yuv420p")
    frame = LiveFrame(
        0, number * FRAME_TICKS, CLOCK, video, StreamGeometry(*size), arrived_seconds=time.monotonic()
    )
    anonymized = Compositor(None, ReplaceWith.SOLID).compose(AnalyzedFrame(frame))
    anonymized.frame.video.pts, anonymized.frame.video.time_base = frame.pts, CLOCK
    anonymized.frame.video.pict_type = 1 if key else 0
    return anonymized


def _output(make_muxer: Callable[[], Muxer], ask: Callable[[], None] = lambda: None) -> PacketOutput:
    at_once = Backoff(uniform=lambda low, high: 0.0)
    return PacketOutput(
        "door", "push rtsp://host/", make_muxer, CameraTelemetry("door"), ask, backoff=at_once
    )


def _encode(frames: list[AnonymizedFrame], *outputs: PacketOutput, pace: float = 0.02) -> None:
    """Through an encoder to the end."""
    encoder = LiveEncoder("door", EncodeSettings(), outputs, CameraTelemetry("door"))
    for frame in frames:
        encoder.put(frame)
        time.sleep(pace)
    encoder.finish(time.monotonic() + 20.0)
    assert not any(thread.name == "door-encode" for thread in threading.enumerate())
    assert not encoder.has_died


def _recorded(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def test_one_encoding_feeds_every_output_and_a_dead_one_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = Written()
    dying: list[Written] = []

    def make_dying() -> Muxer:
        dying.append(Written(fail_after=3 if not dying else 0))
        return dying[-1]

    frames = [_frame(number, key=number % 5 == 0) for number in range(20)]
    _encode(frames, _output(make_dying), _output(lambda: good))
    assert [packet.pts for packet in good.packets] == [number * FRAME_TICKS for number in range(20)]
    assert [packet.is_key for packet in good.packets] == [number % 5 == 0 for number in range(20)]
    assert len(dying) >= 2
    assert all(item.closed.wait(5.0) for item in dying)
    assert "is away" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_new_connection_asks_for_and_begins_with_a_key_frame() -> None:
    asked = threading.Event()
    muxers = [Written(fail_after=2), Written()]
    queue = list(muxers)
    frames = [_frame(number, key=number in (0, 12)) for number in range(20)]
    _encode(frames, _output(lambda: queue.pop(0), asked.set), pace=0.05)
    assert asked.is_set()
    assert muxers[1].packets[0].is_key
    assert muxers[1].packets[0].pts == 12 * FRAME_TICKS


def test_a_hung_server_is_given_up_and_leaves_a_bounded_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FFmpeg's RTSP muxer waits for ever on a server that was frozen."""
    monkeypatch.setattr(output_module, "STUCK_SECONDS", 0.1)
    release = threading.Event()
    made: list[Written] = []

    def make() -> Muxer:
        made.append(Written(hang=release))
        return made[-1]

    output = _output(make)
    try:
        _encode([_frame(number, key=True) for number in range(30)], output, pace=0.03)
    finally:
        release.set()
    assert len(made) == output_module.MOST_LEFT_BEHIND
    assert all(item.closed.wait(5.0) for item in made)


def test_what_does_not_fit_the_queue_goes_up_to_the_next_key_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "QUEUE_PACKETS", 4)
    gate = threading.Event()
    muxer = Written(hang=gate)
    output = _output(lambda: muxer)
    encoder = LiveEncoder("door", EncodeSettings(), [output], CameraTelemetry("door"))
    for number in range(24):
        encoder.put(_frame(number, key=number % 8 == 0))
        time.sleep(0.02)
    gate.set()
    for number in range(24, 40):
        encoder.put(_frame(number, key=number % 8 == 0))
        time.sleep(0.02)
    encoder.finish(time.monotonic() + 20.0)
    numbers = [packet.pts // FRAME_TICKS for packet in muxer.packets]
    assert numbers[0] == 0
    assert numbers[-1] == 39
    for earlier, later in zip(muxer.packets, muxer.packets[1:], strict=False):
        assert later.is_key or later.pts - earlier.pts == FRAME_TICKS


def test_outputs_take_nothing_but_anonymized_frames() -> None:
    raw = _frame(0).frame
    telemetry = CameraTelemetry("door")
    encoder = LiveEncoder("door", EncodeSettings(), [], telemetry)
    preview = PreviewHub("door", PreviewOutput(kind="preview"), telemetry)
    for target in (encoder, preview):
        with pytest.raises(TypeError, match="anonymized"):
            target.put(raw)  # type: ignore[arg-type]
        target.finish(time.monotonic() + 5.0)


def test_segments_rotate_at_key_frames_and_each_plays_alone(tmp_path: Path) -> None:
    settings = SegmentsOutput(kind="segments", folder=tmp_path, segment_seconds=1.0)
    frames = [_frame(number, key=number % 5 == 0) for number in range(25)]
    _encode(frames, _output(lambda: SegmentMuxer("door", settings)))
    recordings = [_recorded(path) for path in sorted(tmp_path.glob("door-*.mp4"))]
    assert [len(stamps) for stamps in recordings] == [10, 10, 5]
    assert all(stamps[0] == 0.0 for stamps in recordings)
    assert not list(tmp_path.glob("*.part"))


def test_a_recording_cut_off_by_a_crash_is_playable_and_completed(tmp_path: Path) -> None:
    settings = SegmentsOutput(kind="segments", folder=tmp_path, segment_seconds=60.0)
    muxer = SegmentMuxer("door", settings)
    seen = Written()
    _encode([_frame(number, key=number % 5 == 0) for number in range(12)], _output(lambda: seen))
    muxer.open(seen.packets[0].head)
    for packet in seen.packets:
        muxer.write(packet)
    (part,) = tmp_path.glob("*.part")
    left = tmp_path / "left"
    left.mkdir()
    (left / part.name).write_bytes(part.read_bytes())
    muxer.close()
    SegmentMuxer("door", settings.model_copy(update={"folder": left})).open(seen.packets[0].head)
    (recovered,) = left.iterdir()
    assert recovered.suffix == ".mp4"
    assert len(_recorded(recovered)) >= 10


def test_retention_deletes_the_oldest_of_its_own_files_alone(tmp_path: Path) -> None:
    own = [tmp_path / f"door-2025010{day}T000000.000Z.mp4" for day in range(1, 6)]
    others = [tmp_path / "door-notes.mp4", tmp_path / "yard-20250101T000000.000Z.mp4"]
    for path in (*own, *others):
        path.write_bytes(b"x" * 400_000)
    old = time.time() - 1000.0
    os.utime(own[0], (old, old))
    settings = SegmentsOutput(kind="segments", folder=tmp_path, keep_seconds=500.0, keep_bytes=1_000_000)
    head = StreamHead("h264", 64, 48, None)  # type: ignore[arg-type]
    SegmentMuxer("door", settings).open(head)
    assert sorted(tmp_path.iterdir()) == sorted([*own[3:], *others])


def test_hls_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = HlsOutput(kind="hls", folder=tmp_path, segment_seconds=0.5, keep=4)
    for _ in range(2):
        frames = [_frame(number, key=number % 5 == 0) for number in range(16)]
        _encode(frames, _output(lambda: HlsMuxer(settings)))
    playlist = (tmp_path / "index.m3u8").read_text()
    assert playlist.count("#EXTINF") == 4
    assert len(list(tmp_path.glob("*.ts"))) <= 4 + 2 + 1
    assert len(_recorded(tmp_path / "index.m3u8")) >= 16


def test_a_camera_that_changes_its_size_is_fitted_into_the_first_one() -> None:
    good = Written()
    sizes = [SIZE] * 3 + [(48, 64)] * 3 + [(128, 96)] * 3
    _encode([_frame(n, size, key=n == 0) for n, size in enumerate(sizes)], _output(lambda: good))
    assert len(good.packets) == 9
    assert {(packet.head.width, packet.head.height) for packet in good.packets} == {SIZE}
    decoder = av.CodecContext.create("h264", "r")
    pictures = [frame for packet in good.packets for frame in decoder.decode(av.Packet(packet.data))]  # type: ignore[attr-defined]
    assert {(picture.width, picture.height) for picture in pictures} == {SIZE}


def test_the_canvas_turns_squares_and_letterboxes() -> None:
    white = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), format="rgb24").reformat(
        format="yuvj420p"
    )
    white.time_base = CLOCK
    turned = StreamGeometry(64, 48, rotation_degrees=90)
    assert canvas_size(turned) == (48, 64)
    placed = Canvas(128, 64).fit(white, turned)
    luma = placed.to_ndarray(format="gray")
    assert (placed.width, placed.height, placed.format.name) == (128, 64, "yuv420p")
    assert luma[:, 45:83].min() > 220
    assert luma[:, :36].max() < 30
    assert luma[:, 92:].max() < 30
    plain = _frame(0).frame
    assert Canvas(*SIZE).fit(plain.video, plain.geometry) is plain.video


def test_the_placeholder_shows_words_and_nothing_else() -> None:
    anonymized = Placeholder().frame(320, 180, 7)
    luma = anonymized.frame.video.to_ndarray(format="yuv420p")[:180]
    assert np.ptp(luma[:60]) == 0
    assert np.ptp(luma[60:120]) > 100
    assert anonymized.frame.pts == 7


def test_a_preview_is_made_for_viewers_alone() -> None:
    hub = PreviewHub("door", PreviewOutput(kind="preview", width=64, max_fps=30.0), CameraTelemetry("door"))
    hub.put(_frame(0))
    time.sleep(0.1)
    viewer = hub.subscribe()
    assert viewer.latest() is None
    hub.put(_frame(1, (128, 96)))
    end = time.monotonic() + 10.0
    while viewer.latest() is None and time.monotonic() < end:
        time.sleep(0.02)
    latest = viewer.latest()
    assert latest is not None
    assert latest[0] == 1
    assert latest[1][:2] == b"\xff\xd8"
    viewer.close()
    viewer.close()
    assert viewer.latest() is None
    hub.finish(time.monotonic() + 5.0)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"kind": "push", "url": "rtsp://h/x", "encode": {"codec": "vp9"}}, "h264 or hevc"),
        ({"kind": "push", "url": "rtmp://h/x/y", "encode": {"codec": "hevc"}}, "RTMP carries h264"),
    ],
)
def test_what_an_output_cannot_carry_is_refused_at_the_start(output: dict[str, object], words: str) -> None:
    settings = parse_config(
        {"cameras": [{"name": "door", "input": "rtsp://h/1", "outputs": [output]}]}, where="test"
    )
    with pytest.raises(SettingsError, match=words):
        check_outputs(settings.cameras[0])
