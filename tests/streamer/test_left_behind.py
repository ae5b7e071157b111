"""What tells who or where, beside the picture, does not come out: further pictures, attachments, tags, data."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av

from streamer.sink import SYNTHETIC_MARK

from .round_trip import convert

VideoMaker = Callable[..., Path]
MILLISECOND = Fraction(1, 1000)


def test_no_second_picture_no_attachment_and_no_tag_gets_through(
    tmp_path: Path, video_maker: VideoMaker
) -> None:
    tags = {
        "title": "Jane Doe at home",
        "artist": "Jane Doe",
        "comment": "secret",
        "creation_time": "2024-01-02T03:04:05",
    }
    source = video_maker(
        tmp_path / "a.mkv",
        time_base=MILLISECOND,
        pts=range(0, 480, 40),
        second_video=True,
        attachment=True,
        audio=["aac"],
        tags=tags,
    )
    notices = convert(source, tmp_path / "b.mkv")
    assert any("1 further video track(s) left out" in notice for notice in notices)
    assert any("cover picture" in notice for notice in notices)
    data = (tmp_path / "b.mkv").read_bytes()
    for secret in (b"Jane", b"secret", b"2024", b"face.jpg", b"microphone"):
        assert secret not in data
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.metadata.get("COMMENT", container.metadata.get("comment")) == SYNTHETIC_MARK


def test_location_and_device_tags_of_phones_stay_behind(tmp_path: Path, video_maker: VideoMaker) -> None:
    tags = {
        "location": "+48.8566+002.3522/",
        "com.apple.quicktime.location.ISO6709": "+48.8566+002.3522/",
        "com.apple.quicktime.make": "PhoneMaker",
        "creation_time": "2024-01-02T03:04:05.000000Z",
    }
    for suffix in (".mp4", ".mov"):
        source = video_maker(tmp_path / f"a{suffix}", tags=tags, audio=["aac"])
        assert b"48.8566" in source.read_bytes()
        output = tmp_path / f"b{suffix}"
        convert(source, output)
        data = output.read_bytes()
        for secret in (b"48.8566", b"PhoneMaker", b"microphone"):
            assert secret not in data
        with av.open(str(output)) as container:
            assert container.metadata.get("comment") == SYNTHETIC_MARK
            assert "creation_time" not in container.metadata


def test_data_tracks_stay_behind(tmp_path: Path) -> None:
    source = tmp_path / "a.ts"
    with av.open(str(source), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        data = output.add_data_stream("klv")
        for index in range(10):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts = index + 50
            output.mux(video.encode(frame))
            packet = av.Packet(b"GPS 48.8566")
            packet.stream, packet.time_base, packet.pts, packet.dts = (
                data,
                Fraction(1, 25),
                index + 50,
                index + 50,
            )
            output.mux(packet)
        output.mux(video.encode(None))
    assert b"48.8566" in source.read_bytes()
    notices = convert(source, tmp_path / "b.ts")
    assert any("left out" in notice for notice in notices)
    assert b"48.8566" not in (tmp_path / "b.ts").read_bytes()
