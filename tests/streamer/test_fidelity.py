"""What goes in comes out: stamps, sound, subtitles, chapters, rotation, colours, depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamer.errors import VeilstreamError
from streamer.planes.formats import pixel_format, plane_view
from streamer.sink.hdr import hdr_options
from streamer.source import open_source
from streamer.source.orientation import matrix_of_turn, side_data_of

from .round_trip import convert, frames_of, packets_of, times_of

VideoMaker = Callable[..., Path]
VFR_PTS = (0, 512, 520, 5000, 5001, 30000, 64000, 64512, 64513, 70000)
MILLISECOND = Fraction(1, 1000)
MPEG_CLOCK = Fraction(1, 90000)


CODECS = [
    ("a.mp4", {"codec": "libx264"}),
    ("a.mov", {"codec": "libx264", "pixel_format": "yuv422p10le"}),
    ("a.mp4", {"codec": "libx265", "pixel_format": "yuv420p10le"}),
    ("a.mp4", {"codec": "libx265", "pixel_format": "yuv444p12le", "size": (97, 65)}),
    ("a.mp4", {"codec": "libx264", "pixel_format": "yuv444p", "size": (97, 65)}),
    ("a.mp4", {"codec": "libx264", "pixel_format": "yuvj420p"}),
    ("a.mp4", {"codec": "libx264", "pixel_format": "gray"}),
    ("a.mp4", {"codec": "libsvtav1", "options": {"preset": "12"}}),
    ("a.mp4", {"codec": "mpeg4", "time_base": Fraction(1, 60000)}),
    ("a.mkv", {"codec": "libx264", "time_base": MILLISECOND}),
    ("a.mkv", {"codec": "ffv1", "pixel_format": "yuv422p12le", "time_base": MILLISECOND}),
    ("a.webm", {"codec": "libvpx", "time_base": MILLISECOND, "options": {"cpu-used": "8", "deadline": "realtime"}}),
    ("a.webm", {"codec": "libvpx-vp9", "time_base": MILLISECOND, "options": {"cpu-used": "8"}, "size": (97, 65)}),
    ("a.ts", {"codec": "libx264", "time_base": MPEG_CLOCK}),
    ("a.ts", {"codec": "libx265", "time_base": MPEG_CLOCK}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "properties"), CODECS)
def test_variable_stamps_format_and_size_survive_in_every_codec(
    tmp_path: Path, video_maker: VideoMaker, name: str, properties: dict[str, Any]
) -> None:
    pts = [stamp + 180000 for stamp in VFR_PTS] if name.endswith(".ts") else VFR_PTS
    source = video_maker(tmp_path / name, pts=pts, **properties)
    output = tmp_path / f"out_{name}"
    notices = convert(source, output)
    before, after = frames_of(source), frames_of(output)
    assert [frame.pts for frame in after] == [frame.pts for frame in before]
    assert {frame.time_base for frame in after} == {frame.time_base for frame in before}
    assert {frame.format.name for frame in after} == {frame.format.name for frame in before}
    assert (after[0].width, after[0].height) == (before[0].width, before[0].height)
    with open_source(source) as a, open_source(output) as b:
        assert a.stream_info.codec == b.stream_info.codec
    assert notices == []


FIXED_RATE = [
    ("a.mpg", "mpeg1video", MPEG_CLOCK),
    ("a.mpg", "mpeg2video", MPEG_CLOCK),
    ("a.ts", "mpeg2video", MPEG_CLOCK),
    ("a.avi", "mpeg4", Fraction(1, 25)),
    ("a.avi", "mjpeg", Fraction(1, 25)),
    ("a.flv", "libx264", MILLISECOND),
]


@pytest.mark.parametrize(("name", "codec", "time_base"), FIXED_RATE)
def test_older_containers_keep_the_stamps_of_steady_video(
    tmp_path: Path, video_maker: VideoMaker, name: str, codec: str, time_base: Fraction
) -> None:
    step = int(Fraction(1, 25) / time_base)
    properties: dict[str, Any] = {"pixel_format": "yuvj420p"} if codec == "mjpeg" else {}
    if codec == "libx264":
        properties["options"] = {"bf": "0"}
    # The tests' own muxing has no say over the delay of these encoders: what counts is what can be read back.
    source = video_maker(
        tmp_path / name, codec=codec, time_base=Fraction(1, 25), pts=range(0, 15), **properties
    )
    assert step > 0
    output = tmp_path / f"out_{name}"
    convert(source, output)
    before, after = times_of(source), times_of(output)
    assert len(after) == len(before)
    assert [b - a for a, b in pairwise(after)] == [b - a for a, b in pairwise(before)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_rotation_and_mirroring_are_kept(
    tmp_path: Path, video_maker: VideoMaker, turn: int, mirrored: bool, suffix: str
) -> None:
    matrix = matrix_of_turn(turn, mirrored=mirrored)
    source = video_maker(tmp_path / f"a{suffix}", display_matrix=matrix, sample_aspect=Fraction(16, 11))
    output = tmp_path / f"b{suffix}"
    convert(source, output)
    with open_source(source) as a, open_source(output) as b:
        assert a.stream_info.display_matrix == b.stream_info.display_matrix
        assert a.geometry == b.geometry
        assert b.stream_info.sample_aspect == Fraction(16, 11)


@pytest.mark.parametrize(
    ("codec", "pixel_format", "colors"),
    [
        ("libx264", "yuv420p", (1, 1, 1, 1)),
        ("libx264", "yuvj420p", (2, 6, 6, 6)),
        ("libx265", "yuv420p10le", (1, 9, 16, 9)),
        ("libx265", "yuv420p10le", (1, 9, 18, 9)),
        ("libsvtav1", "yuv420p10le", (1, 9, 16, 9)),
    ],
)
def test_color_tags_are_kept(
    tmp_path: Path, video_maker: VideoMaker, codec: str, pixel_format: str, colors: tuple[int, ...]
) -> None:
    source = video_maker(tmp_path / "a.mp4", codec=codec, pixel_format=pixel_format, colors=colors)
    convert(source, tmp_path / "b.mp4")
    frame = frames_of(tmp_path / "b.mp4")[0]
    assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == colors


@pytest.mark.parametrize(
    ("codec", "option"),
    [("libx264", "x264-params"), ("libx265", "x265-params"), ("libsvtav1", "svtav1-params")],
)
def test_hdr_metadata_is_kept(tmp_path: Path, video_maker: VideoMaker, codec: str, option: str) -> None:
    values = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    text = {
        "libx264": f"mastering-display={values}:cll=1000,400",
        "libx265": f"master-display={values}:max-cll=1000,400",
        "libsvtav1": "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.005)"
        ":content-light=1000,400",
    }[codec]
    source = video_maker(
        tmp_path / "a.mp4",
        codec=codec,
        pixel_format="yuv420p10le",
        colors=(1, 9, 16, 9),
        options={option: text},
    )
    convert(source, tmp_path / "b.mp4")
    with open_source(source) as opened:
        assert hdr_options(codec, opened.stream_info)
    before, after = side_data_of(frames_of(source)[0]), side_data_of(frames_of(tmp_path / "b.mp4")[0])
    assert before["MASTERING_DISPLAY_METADATA"] == after["MASTERING_DISPLAY_METADATA"]
    # The HEVC decoder of PyAV 19.0 does not hand out the content light level; every other one does.
    assert before.get("CONTENT_LIGHT_LEVEL") == after.get("CONTENT_LIGHT_LEVEL")
    assert "CONTENT_LIGHT_LEVEL" in before or codec == "libx265"


def languages_of(path: Path) -> list[str | None]:
    with av.open(str(path)) as container:
        return [stream.metadata.get("language") for stream in container.streams.audio]


SOUND = [
    ("a.mp4", ["aac", "aac"]),
    ("a.mp4", ["aac", "libmp3lame", "libopus"]),
    ("a.mkv", ["flac", "libopus", "aac", "pcm_s16le"]),
    ("a.mov", ["pcm_s16le", "aac"]),
    ("a.webm", ["libopus", "libopus"]),
    ("a.ts", ["aac", "mp2"]),
]


@pytest.mark.parametrize(("name", "audio"), SOUND)
def test_every_sound_packet_is_copied_bit_for_bit(
    tmp_path: Path, video_maker: VideoMaker, name: str, audio: list[str]
) -> None:
    missing = [codec for codec in audio if codec not in av.codecs_available]
    if missing:
        pytest.skip(f"no encoder for {missing}")
    properties: dict[str, Any] = {"time_base": MILLISECOND, "pts": range(0, 480, 40)}
    if name.endswith((".mp4", ".mov")):
        properties = {}
    if name.endswith(".webm"):
        properties |= {"codec": "libvpx", "options": {"cpu-used": "8", "deadline": "realtime"}}
    if name.endswith(".ts"):
        properties = {"time_base": MPEG_CLOCK, "pts": range(180000, 180000 + 12 * 3600, 3600)}
    languages = ["eng", "deu", "fra", "spa"][: len(audio)]
    source = video_maker(tmp_path / name, audio=audio, languages=languages, **properties)
    output = tmp_path / f"out_{name}"
    convert(source, output)
    before, after = packets_of(source, "audio"), packets_of(output, "audio")
    assert len(before) == len(audio)
    assert after == before
    assert times_of(output) == times_of(source)
    assert languages_of(output) == languages_of(source)
    assert languages_of(source)[0] == "eng"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_late_start_stays_late_for_picture_and_sound(
    tmp_path: Path, video_maker: VideoMaker, suffix: str
) -> None:
    base = Fraction(1, 12800) if suffix == ".mp4" else MILLISECOND
    start, step = int(5 / base), int(Fraction(1, 25) / base)
    source = video_maker(
        tmp_path / f"a{suffix}", time_base=base, pts=range(start, start + 12 * step, step), audio=["aac"]
    )
    convert(source, tmp_path / f"b{suffix}")
    assert times_of(tmp_path / f"b{suffix}") == times_of(source)
    assert times_of(source)[0] == 5
    assert packets_of(tmp_path / f"b{suffix}", "audio") == packets_of(source, "audio")


def test_chapters_and_subtitles_are_kept_and_named(tmp_path: Path, video_maker: VideoMaker) -> None:
    source = video_maker(
        tmp_path / "a.mkv",
        time_base=MILLISECOND,
        pts=range(0, 480, 40),
        subtitle=True,
        chapters=True,
        audio=["aac"],
    )
    notices = convert(source, tmp_path / "b.mkv")
    assert any("subtitles are copied" in notice for notice in notices)
    assert packets_of(tmp_path / "b.mkv", "subtitle") == packets_of(source, "subtitle") != []
    with av.open(str(tmp_path / "b.mkv")) as container:
        chapters = [
            (item["start"], item["end"], item["metadata"].get("title")) for item in container.chapters()
        ]
        assert chapters == [(0, 200_000_000, "part 0"), (200_000_000, 400_000_000, "part 1")] or chapters == [
            (0, 200, "part 0"),
            (200, 400, "part 1"),
        ]
        assert "Jane" not in str(container.chapters())
        assert container.streams.subtitles[0].metadata.get("language") == "fra"
    notices = convert(source, tmp_path / "c.mp4")
    assert any("cannot be kept in mp4" in notice for notice in notices)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, video_maker: VideoMaker) -> None:
    """No clock and no random number ends up in the output. (x264 itself, with threads, differs once in a while.)"""
    source = video_maker(tmp_path / "a.mkv", time_base=MILLISECOND, pts=range(0, 480, 40), audio=["aac"])
    for suffix, codec in ((".mkv", "ffv1"), (".mp4", "mpeg4")):
        convert(source, tmp_path / f"b{suffix}", codec=codec)
        convert(source, tmp_path / f"c{suffix}", codec=codec)
        assert (tmp_path / f"b{suffix}").read_bytes() == (tmp_path / f"c{suffix}").read_bytes()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuvj420p", "yuv444p", "gray"])
@pytest.mark.parametrize("size", [(96, 64), (97, 65)])
def test_what_reaches_the_encoder_is_what_was_decoded(
    tmp_path: Path, video_maker: VideoMaker, pixel_format: str, size: tuple[int, int]
) -> None:
    """Every plane, bit for bit, when there is no face; FFV1 shows it after encoding as well."""
    if size[0] % 2 and pixel_format not in ("yuv444p", "gray"):
        pytest.skip("H.264 has no odd sizes with subsampled chroma")
    source = video_maker(
        tmp_path / "a.mkv", pixel_format=pixel_format, size=size, time_base=MILLISECOND, pts=(0, 40, 80)
    )
    convert(source, tmp_path / "b.mkv", codec="ffv1")
    layout = pixel_format_of = None
    for before, after in zip(frames_of(source), frames_of(tmp_path / "b.mkv"), strict=True):
        # FFV1 has no yuvj; its full range is a tag.
        layout, pixel_format_of = pixel_layout(before), pixel_layout(after)
        for index in range(len(layout.planes)):
            assert np.array_equal(
                plane_view(before, index, layout), plane_view(after, index, pixel_format_of)
            )
        assert (before.color_range or 1) == (after.color_range or 1)


def pixel_layout(frame: av.VideoFrame) -> Any:
    return pixel_format(frame.format.name)


def test_interlaced_stays_interlaced(tmp_path: Path, video_maker: VideoMaker) -> None:
    source = video_maker(
        tmp_path / "a.ts",
        codec="mpeg2video",
        options={"flags": "+ildct+ilme"},
        time_base=Fraction(1, 25),
        pts=range(50, 62),
    )
    assert all(frame.interlaced_frame for frame in frames_of(source))
    convert(source, tmp_path / "b.ts")
    assert all(frame.interlaced_frame for frame in frames_of(tmp_path / "b.ts"))


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webm"])
def test_animated_gif(tmp_path: Path, video_maker: VideoMaker, suffix: str) -> None:
    source = video_maker(
        tmp_path / "a.gif",
        codec="gif",
        pixel_format="rgb8",
        time_base=Fraction(1, 100),
        pts=(0, 7, 20, 27, 90),
    )
    convert(source, tmp_path / f"b{suffix}")
    assert times_of(tmp_path / f"b{suffix}") == times_of(source)
    pair = [
        frames_of(path)[2].reformat(format="rgb24").to_ndarray().astype(int)
        for path in (source, tmp_path / f"b{suffix}")
    ]
    assert np.abs(pair[0] - pair[1]).mean() < 20


def test_containers_that_count_coarser_say_so(tmp_path: Path, video_maker: VideoMaker) -> None:
    source = video_maker(tmp_path / "a.mp4", pts=VFR_PTS)
    notices = convert(source, tmp_path / "b.mkv")
    assert any("rounded" in notice for notice in notices)
    times = times_of(tmp_path / "b.mkv")
    # 512 and 520 ticks are 40 and 40.6 ms: no two frames may share a stamp.
    assert all(a < b for a, b in pairwise(times))
    assert all(abs(a - b) <= Fraction(2, 1000) for a, b in zip(times, times_of(source), strict=True))
    turned = video_maker(tmp_path / "t.mp4", display_matrix=matrix_of_turn(90, mirrored=False))
    assert any("turned" in notice for notice in convert(turned, tmp_path / "t.avi"))


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["face_edge_cases", "format_edge_cases"])
def test_every_edge_case_is_kept_or_refused_in_one_line(data_dir: Path, tmp_path: Path, folder: str) -> None:
    refused: dict[str, str] = {}
    for path in edge_cases(data_dir / "videos" / folder):
        output = tmp_path / path.name
        try:
            notices = convert(path, output)
        except VeilstreamError as error:
            refused[path.name] = str(error)
            continue
        joined = any("time" in notice for notice in notices)
        assert joined or times_of(output) == times_of(path), path.name
        assert packets_of(output, "audio") == packets_of(path, "audio"), path.name
        with open_source(path) as a, open_source(output) as b:
            assert a.geometry == b.geometry
            assert a.stream_info.bit_depth == b.stream_info.bit_depth
            assert (a.stream_info.color.range or 1) == (b.stream_info.color.range or 1)
        output.unlink()
    assert not [message for message in refused.values() if "\n" in message]
    assert list(tmp_path.iterdir()) == []


def edge_cases(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    yield from sorted(path for path in folder.iterdir() if path.suffix not in (".sh", ".md"))
