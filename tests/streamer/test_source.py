"""Every frame of a file arrives once, with its own time stamp, and a bad file is refused in one clear line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.errors import InputError
from streamer.frame import Frame, StreamGeometry
from streamer.planes import analysis_picture
from streamer.source import open_source
from streamer.source.decode_thread import DecodeThread
from streamer.source.exif import orientation_of
from streamer.source.orientation import clockwise_turn, matrix_of_turn
from streamer.source.timeline import Timeline

VideoMaker = Callable[..., Path]
VFR_PTS = (0, 512, 520, 5000, 5001, 30000, 64000, 64512)


def pts_of(path: Path) -> list[int]:
    with open_source(path) as source:
        return [frame.pts for frame in source]


@pytest.mark.parametrize("start", [0, 5 * 12800])
def test_variable_frame_rates_and_late_starts_keep_every_stamp(
    tmp_path: Path, video_maker: VideoMaker, start: int
) -> None:
    pts = [start + stamp for stamp in VFR_PTS]
    path = video_maker(tmp_path / "vfr.mp4", pts=pts)
    with open_source(path) as source:
        frames = list(source)
        assert [frame.pts for frame in frames] == pts
        assert [frame.index for frame in frames] == list(range(len(pts)))
        assert {frame.time_base for frame in frames} == {Fraction(1, 12800)}
        assert source.stream_info.start_pts == start
        assert source.notices == []


def test_the_stream_is_described(tmp_path: Path, video_maker: VideoMaker) -> None:
    path = video_maker(
        tmp_path / "all.mkv",
        codec="libx265",
        pixel_format="yuv420p10le",
        sample_aspect=Fraction(16, 11),
        colors=(1, 9, 16, 9),
        audio=["aac", "flac"],
        subtitle=True,
        chapters=True,
        second_video=True,
        time_base=Fraction(1, 1000),
        pts=range(0, 400, 40),
    )
    with open_source(path) as source:
        info = source.stream_info
        assert (info.codec, info.pixel_format, info.bit_depth) == ("hevc", "yuv420p10le", 10)
        assert (info.width, info.height) == (96, 64)
        assert info.sample_aspect == Fraction(16, 11)
        assert source.geometry == StreamGeometry(96, 64, 0, Fraction(16, 11))
        assert (info.color.range, info.color.primaries, info.color.transfer, info.color.matrix) == (
            1,
            9,
            16,
            9,
        )
        assert info.audio == ("aac", "flac")
        assert info.subtitles == ("subrip",)
        assert (info.chapters, info.other_videos, info.has_cover_picture) == (2, 1, False)
        assert info.frame_rate == 25
        assert not info.interlaced


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_picture_is_analyzed_upright(
    tmp_path: Path, video_maker: VideoMaker, turn: int, mirrored: bool
) -> None:
    matrix = matrix_of_turn(turn, mirrored=mirrored)
    path = video_maker(tmp_path / "turned.mp4", display_matrix=matrix, options={"crf": "1"})
    with open_source(path) as source:
        assert source.stream_info.display_matrix == matrix
        frame = next(iter(source))
        stored = frame.video.reformat(format="rgb24").to_ndarray().astype(int)
        shown = analysis_picture(frame.video, source.geometry)[0]
    upright = np.rot90(stored[:, ::-1] if mirrored else stored, -turn // 90)
    if mirrored:
        # Detectors get it upright; that left and right are exchanged does not matter to them.
        upright = upright[:, ::-1]
    assert shown.shape == upright.shape
    assert np.abs(shown - upright).mean() < 4


def test_pyavs_own_rotation_agrees(tmp_path: Path, video_maker: VideoMaker) -> None:
    """PyAV counts counter-clockwise, display geometry clockwise."""
    for turn in (90, 180, 270):
        path = video_maker(tmp_path / f"{turn}.mp4", display_matrix=matrix_of_turn(turn, mirrored=False))
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            assert -frame.rotation % 360 == turn
        with open_source(path) as source:
            assert source.geometry.rotation_degrees == turn
    assert clockwise_turn(None) == 0


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_source(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "Errno" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_bad_files_are_refused_in_one_line(tmp_path: Path, video_maker: VideoMaker) -> None:
    assert "no such file" in refusal(tmp_path / "missing.mp4")
    assert "folder" in refusal(tmp_path)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "empty" in refusal(empty)
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(np.random.default_rng(0).integers(0, 256, 20000, np.uint8).tobytes())
    assert "not a video" in refusal(garbage)
    for name in ("empty.jpg", "garbage.png"):
        picture = tmp_path / name
        picture.write_bytes(b"" if name.startswith("empty") else garbage.read_bytes())
        refusal(picture)
    good = video_maker(tmp_path / "good.mkv")
    text = tmp_path / "text.mp4"
    text.write_text("#!/bin/sh\necho this is no video\n")
    refusal(text)
    assert good.stat().st_size > 0


def test_sound_alone_and_covers_are_no_video(tmp_path: Path) -> None:
    sound = tmp_path / "sound.m4a"
    with av.open(str(sound), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=48000)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert "sound but no picture" in refusal(sound)
    song = tmp_path / "song.mp4"
    with av.open(str(song), "w") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic
        output.mux(stream.encode(av.VideoFrame(32, 32, "yuvj420p")))
        output.mux(stream.encode(None))
    assert "cover" in refusal(song)


def test_a_cut_off_file_gives_what_is_there(tmp_path: Path, video_maker: VideoMaker) -> None:
    whole = video_maker(
        tmp_path / "whole.mp4", pts=range(0, 60 * 512, 512), size=(320, 240), options={"bf": "0"}
    )
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 6 // 10])
    with open_source(tmp_path / "cut.mp4") as source:
        frames = list(source)
        assert 10 < len(frames) < 60
        assert any("cut off" in notice for notice in source.notices)
    no_index = tmp_path / "no_index.mp4"
    no_index.write_bytes(data[:4] + data[4:24] + b"\0" * 2000)
    assert "moov" in refusal(no_index)


def _notices(path: Path) -> list[str]:
    with open_source(path) as source:
        assert list(source)
        return source.notices


LONG = {"size": (320, 240), "options": {"bf": "2"}, "time_base": Fraction(1, 1000), "pts": range(0, 2400, 40)}


@pytest.mark.parametrize("audio", [(), ("aac",)])
@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.mp4"])
def test_a_file_shorter_than_it_says_is_told(
    tmp_path: Path, video_maker: VideoMaker, name: str, audio: tuple[str, ...]
) -> None:
    """Matroska and others tell no number of frames, only a duration."""
    whole = video_maker(tmp_path / name, audio=audio, **LONG)
    assert _notices(whole) == []
    data = whole.read_bytes()
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(data[: len(data) // 2])
    (notice,) = _notices(cut)
    assert "cut off" in notice


def test_sound_may_go_on_when_the_pictures_have_ended(tmp_path: Path, video_maker: VideoMaker) -> None:
    whole, short = video_maker(tmp_path / "whole.mkv", audio=("aac",), **LONG), tmp_path / "short.mkv"
    with av.open(str(whole)) as source, av.open(str(short), "w") as target:
        streams = {item.index: target.add_stream_from_template(item) for item in source.streams}
        for packet in source.demux():
            if packet.size and (packet.stream.type == "audio" or packet.pts < 1000):
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    assert _notices(short) == []


def test_damaged_packets_are_skipped(tmp_path: Path, video_maker: VideoMaker) -> None:
    path = video_maker(
        tmp_path / "damaged.ts", pts=range(0, 60 * 3600, 3600), time_base=Fraction(1, 90000), size=(320, 240)
    )
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(3)
    for place in random.integers(len(data) // 3, len(data), 200):
        data[place] ^= 1 << int(random.integers(8))
    path.write_bytes(data)
    stamps = pts_of(path)
    assert len(stamps) > 20
    assert all(a < b for a, b in pairwise(stamps))


def test_nothing_that_decodes_is_refused(tmp_path: Path, video_maker: VideoMaker) -> None:
    path = video_maker(tmp_path / "dead.mp4")
    data = bytearray(path.read_bytes())
    start = data.rindex(b"mdat") + 4
    data[start:] = b"\xaa" * (len(data) - start)
    path.write_bytes(data)
    assert "can be decoded" in refusal(path)


def test_a_new_size_within_a_stream_keeps_the_first_one(tmp_path: Path, video_maker: VideoMaker) -> None:
    base = Fraction(1, 90000)
    first = video_maker(tmp_path / "a.ts", pts=range(90000, 90000 + 10 * 3600, 3600), time_base=base)
    second = video_maker(tmp_path / "b.ts", pts=range(0, 10 * 3600, 3600), time_base=base, size=(160, 120))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with open_source(joined) as source:
        frames = list(source)
        assert {(frame.video.width, frame.video.height) for frame in frames} == {(96, 64)}
        assert [frame.index for frame in frames if frame.discontinuity] == [10]
        stamps = [frame.pts for frame in frames]
        assert all(a < b for a, b in pairwise(stamps))
        assert any("160x120" in notice for notice in source.notices)
        assert any("one time line" in notice for notice in source.notices)


def test_formats_without_planes_are_converted_once_and_said(tmp_path: Path, video_maker: VideoMaker) -> None:
    path = video_maker(tmp_path / "packed.avi", codec="rawvideo", pixel_format="yuyv422")
    with open_source(path) as source:
        assert source.stream_info.coded_pixel_format == "yuyv422"
        assert {frame.video.format.name for frame in source} == {"yuv422p"}
        assert any("converted once" in notice for notice in source.notices)


def test_the_time_line_repairs_no_more_than_needed() -> None:
    line = Timeline(Fraction(1, 1000), 40)
    given = [100, 140, None, 220, 210, 260, None, None, 380]
    assert [line.place(pts, 40)[0] for pts in given] == [100, 140, 180, 220, 221, 260, 300, 340, 380]
    assert line.repaired == 4
    # A step back of more than a second is a new time line, and goes on from there.
    assert line.place(5000, 40) == (5000, False)
    assert line.place(5, 40) == (5040, True)
    assert line.place(45, 40) == (5080, False)
    assert Timeline(Fraction(1, 25), 1).place(None, None) == (0, False)


def counting(limit: int, made: list[int]) -> Iterator[Frame]:
    for index in range(limit):
        made.append(index)
        yield Frame(index, index, Fraction(1, 25), av.VideoFrame(16, 16, "gray"), StreamGeometry(16, 16))


def test_decoding_runs_ahead_by_the_queue_and_stops_when_told() -> None:
    made: list[int] = []
    thread = DecodeThread(counting(1000, made), capacity=3)
    reader = iter(thread)
    assert next(reader).index == 0
    thread.close()
    assert len(made) <= 6
    assert not [item for item in threading.enumerate() if item.name == "veilstream-decode"]


def test_a_failure_of_the_decode_thread_reaches_the_reader() -> None:
    def failing() -> Iterator[Frame]:
        yield from counting(2, [])
        raise InputError("gone")

    reader = iter(DecodeThread(failing()))
    assert [next(reader).index, next(reader).index] == [0, 1]
    with pytest.raises(InputError, match="gone"):
        next(reader)


def test_a_source_can_be_left_early_and_closed_twice(tmp_path: Path, video_maker: VideoMaker) -> None:
    path = video_maker(tmp_path / "long.mp4", pts=range(0, 100 * 512, 512))
    source = open_source(path)
    next(iter(source))
    source.close()
    source.close()
    with open_source(path) as again:
        assert len(list(again)) == 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_pictures(
    tmp_path: Path, jpeg_maker: Callable[..., Path], orientation: int
) -> None:
    rgb = np.full((40, 64, 3), 60, np.uint8)
    path = jpeg_maker(tmp_path / "a%03d.jpg", rgb, orientation)
    assert orientation_of(path.read_bytes()) == orientation
    with open_source(path) as source:
        assert source.stream_info.is_image
        assert source.geometry.rotation_degrees == {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}.get(
            orientation, 0
        )
        frames = list(source)
    assert len(frames) == 1
    assert frames[0].video.width == 64
    assert orientation_of(b"\xff\xd8\xff\xe1\0\x0cExif\0\0II") == 1


@pytest.mark.parametrize("count", [1, 3])
def test_further_pictures_of_a_file_are_left_out_and_said_so(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.png"
    with av.open(str(path), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgb24"
        for index in range(count):
            pixels = np.full((24, 32, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    with open_source(path) as source:
        assert len(list(source)) == 1
        assert any("only the first picture" in notice for notice in source.notices) == (count > 1)
