"""Closed captions that a decoder leaves on frames do not reach the output, and the report says so."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamer.frame import AnalyzedFrame, StreamGeometry
from streamer.live.frame import CLOCK, LiveFrame
from streamer.live.outputs.encoder import LiveEncoder
from streamer.live.outputs.output import PacketOutput
from streamer.live.outputs.packets import EncodedPacket, StreamHead
from streamer.live.telemetry import CameraTelemetry
from streamer.render.compositor import Compositor
from streamer.settings import EncodeSettings, ReplaceWith
from streamer.sink.captions import fit_for
from streamer.source.orientation import side_data_of

from .round_trip import convert, frames_of

# ATSC A/53 part 4: two triplets of CEA-608 and one of filling, in a message of ITU-T T.35 (H.264, annex D).
_CAPTIONS = b"\xb5\x00\x31GA94\x03\xc2\xff\xfcJA\xfcNE\xff"
_PREFIX = b"\x00\x00\x00\x01\x06"


def _message(kind: int, payload: bytes) -> bytes:
    return _PREFIX + bytes([kind, len(payload)]) + payload + b"\x80"


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Ten frames of H.264, each with a caption and a message of its encoder."""
    path = tmp_path / "captioned.ts"
    extra = _message(4, _CAPTIONS) + _message(5, b"0123456789abcdefJane Doe")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frames: list[av.VideoFrame | None] = [av.VideoFrame(64, 48, "yuv420p") for _ in range(10)]
        for number, frame in enumerate([*frames, None]):
            if frame is not None:
                frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                copy = av.Packet(extra + bytes(packet))
                copy.stream, copy.time_base = stream, packet.time_base
                copy.pts, copy.dts, copy.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
                container.mux(copy)
    assert all("A53_CC" in side_data_of(frame) for frame in frames_of(path))
    return path


@pytest.mark.parametrize(("codec", "ending"), [("h264", ".mp4"), ("hevc", ".mkv"), ("mpeg2video", ".ts")])
def test_captions_stay_behind_and_are_told(captioned: Path, codec: str, ending: str) -> None:
    output = captioned.with_name(f"out{ending}")
    notices = convert(captioned, output, codec=codec)
    assert [notice for notice in notices if "closed captions" in notice] == [
        "closed captions in the picture are left out: they may carry names"
    ]
    assert not any("A53_CC" in side_data_of(frame) for frame in frames_of(output))
    assert b"Jane Doe" not in output.read_bytes()


def test_an_encoder_that_cannot_be_told_gets_frames_without_them(captioned: Path) -> None:
    frame = frames_of(captioned)[3]
    given = fit_for("hevc_nvenc", frame)
    assert side_data_of(given) == {}
    assert (given.to_ndarray() == frame.to_ndarray()).all()
    assert fit_for("libx264", frame) is frame


class _Kept:
    """An output that keeps the bytes it is given."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def open(self, head: StreamHead) -> None: ...

    def write(self, packet: EncodedPacket) -> None:
        self.data.append(packet.data)

    def close(self) -> None: ...


def test_captions_stay_behind_in_live_outputs(captioned: Path) -> None:
    kept, telemetry = _Kept(), CameraTelemetry("door")
    output = PacketOutput("door", "file", lambda: kept, telemetry, lambda: None)
    encoder = LiveEncoder("door", EncodeSettings(), [output], telemetry)
    compositor = Compositor(None, ReplaceWith.SOLID)
    for number, video in enumerate(frames_of(captioned)):
        frame = LiveFrame(
            number, 3600 * number, CLOCK, video, StreamGeometry(64, 48), arrived_seconds=time.monotonic()
        )
        frame.video.pts, frame.video.time_base = frame.pts, CLOCK
        frame.video.pict_type = 1 if number == 0 else 0
        encoder.put(compositor.compose(AnalyzedFrame(frame)))
        time.sleep(0.02)
    encoder.finish(time.monotonic() + 20.0)
    assert len(kept.data) == 10
    assert not any(b"GA94" in data for data in kept.data)
