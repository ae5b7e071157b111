"""An output appears whole or not at all, takes nothing but anonymized frames, and says why it cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamer.errors import OutputError, SettingsError
from streamer.frame import AnalyzedFrame, Frame
from streamer.planes.formats import pixel_format, plane_view
from streamer.render.compositor import AnonymizedFrame, Compositor
from streamer.settings import EncodeSettings, ReplaceWith
from streamer.sink import FrameSink, open_sink
from streamer.sink.atomic import AtomicFile
from streamer.sink.encoder import VideoTrack
from streamer.sink.marks import carries_mark
from streamer.sink.picture_sink import upright
from streamer.sink.pixel_choice import loss, nearest
from streamer.source import StreamInfo, open_source
from streamer.source.orientation import matrix_of_turn

VideoMaker = Callable[..., Path]
COMPOSITOR = Compositor(None, ReplaceWith.SOLID)


def anonymized(frame: Frame) -> AnonymizedFrame:
    """The frame as the compositor gives it when there is no face in it."""
    return COMPOSITOR.compose(AnalyzedFrame(frame))


def convert(source_path: Path, output: Path, **settings: object) -> list[str]:
    """Source to sink with nothing between."""
    overwrite = bool(settings.pop("overwrite", False))
    encode = EncodeSettings(**settings)  # type: ignore[arg-type]
    with (
        open_source(source_path) as source,
        open_sink(
            output, source.stream_info, copy_from=source_path, encode=encode, overwrite=overwrite
        ) as sink,
    ):
        for frame in source:
            sink.write(anonymized(frame))
        sink.finish()
        return sink.notices


@pytest.fixture
def clip(tmp_path: Path, video_maker: VideoMaker) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return video_maker(folder / "clip.mp4", audio=["aac"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def opened(clip: Path, output: Path, **more: object) -> tuple[FrameSink, StreamInfo]:
    with open_source(clip) as source:
        info = source.stream_info
    return open_sink(output, info, copy_from=clip, **more), info  # type: ignore[arg-type]


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "Errno" not in message
    return message


def test_the_output_appears_when_it_is_complete(clip: Path, out: Path) -> None:
    output = out / "clip.mp4"
    with open_source(clip) as source:
        sink = open_sink(output, source.stream_info, copy_from=clip)
        for frame in source:
            sink.write(anonymized(frame))
            assert not output.exists()
        assert [path.name.startswith(".clip.veilstream-") for path in out.iterdir()] == [True]
        sink.finish()
    assert list(out.iterdir()) == [output]
    sink.abort()
    assert output.exists()


@pytest.mark.parametrize("how", ["abort", "leave", "raise"])
def test_a_job_that_stops_leaves_nothing(clip: Path, out: Path, how: str) -> None:
    sink, _ = opened(clip, out / "clip.mp4")
    with open_source(clip) as source:
        frame = anonymized(next(iter(source)))
    if how == "abort":
        sink.write(frame)
        sink.abort()
        sink.abort()
    elif how == "leave":
        with sink:
            sink.write(frame)
    else:
        sink.write(frame)
        with pytest.raises(KeyboardInterrupt), sink:
            raise KeyboardInterrupt
    assert list(out.iterdir()) == []


def test_a_raw_frame_is_no_frame_for_a_sink(clip: Path, out: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "a.png"):
        with open_source(clip) as source:
            frame = next(iter(source))
            info = source.stream_info
        if name == "a.png":
            picture = tmp_path / "p.png"
            cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
            with open_source(picture) as other:
                info = other.stream_info
        with (
            open_sink(out / name, info, copy_from=None) as sink,
            pytest.raises(TypeError, match="anonymized frames only"),
        ):
            sink.write(frame)  # type: ignore[arg-type]
    assert list(out.iterdir()) == []


def test_paths_that_cannot_be_written(clip: Path, out: Path) -> None:
    with pytest.raises(OutputError) as caught:
        opened(clip, clip, overwrite=True)
    assert "output is the input" in one_line(caught)
    link = out / "link.mp4"
    link.hardlink_to(clip)
    with pytest.raises(OutputError, match="output is the input"):
        opened(clip, link, overwrite=True)
    link.unlink()
    with pytest.raises(OutputError, match="folder does not exist"):
        opened(clip, out / "no" / "clip.mp4")
    with pytest.raises(OutputError, match="this is a folder"):
        opened(clip, out)
    with pytest.raises(OutputError, match="ending"):
        opened(clip, out / "clip.xyz")
    with pytest.raises(OutputError, match="cannot be written as a picture"):
        opened(clip, out / "clip.png")
    existing = out / "there.mp4"
    existing.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        opened(clip, existing)
    assert existing.read_bytes() == b"mine"
    convert(clip, existing, overwrite=True)
    assert existing.stat().st_size > 100
    assert list(out.iterdir()) == [existing]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(clip: Path, out: Path) -> None:
    out.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        opened(clip, out / "clip.mp4")
    out.chmod(0o700)


def test_settings_that_cannot_be_met(clip: Path, out: Path) -> None:
    cases = [
        ("clip.mp4", {"codec": "nonsense"}, "not known"),
        ("clip.webm", {"codec": "h264"}, "does not go into webm"),
        ("clip.mp4", {"crf": 63}, "0 to 51"),
        ("clip.mp4", {"codec": "mpeg4", "preset": "fast"}, "no presets"),
        ("clip.mp4", {"preset": "nonsense"}, "libx264 has no preset 'nonsense'; use ultrafast, "),
        ("clip.mkv", {"codec": "av1", "preset": "fast"}, "libsvtav1 has no preset 'fast'; use 0, "),
    ]
    for name, settings, text in cases:
        with pytest.raises(SettingsError) as caught:
            opened(clip, out / name, encode=EncodeSettings(**settings))  # type: ignore[arg-type]
        assert text in one_line(caught)
    with pytest.raises(OutputError, match="cannot hold the input's sound"):
        opened(clip, out / "clip.webm")
    assert list(out.iterdir()) == []


def test_codec_quality_and_preset_are_used(clip: Path, out: Path) -> None:
    convert(clip, out / "fine.mp4", crf=5)
    convert(clip, out / "coarse.mp4", crf=45, preset="ultrafast")
    assert (out / "fine.mp4").stat().st_size > (out / "coarse.mp4").stat().st_size
    convert(clip, out / "hevc.mp4", codec="hevc")
    with open_source(out / "hevc.mp4") as source:
        assert source.stream_info.codec == "hevc"


def test_the_picture_is_visually_lossless(clip: Path, out: Path) -> None:
    convert(clip, out / "clip.mp4")
    with open_source(clip) as a, open_source(out / "clip.mp4") as b:
        for before, after in zip(a, b, strict=True):
            pair = [
                item.video.reformat(format="rgb24").to_ndarray().astype(float) for item in (before, after)
            ]
            assert np.abs(pair[0] - pair[1]).mean() < 3


DISK_FULL = """
    import resource, sys
    from pathlib import Path
    from streamer.errors import OutputError
    from streamer.frame import AnalyzedFrame
    from streamer.render.compositor import Compositor
    from streamer.settings import ReplaceWith
    from streamer.sink import open_sink
    from streamer.source import open_source

    clip, output, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    compositor = Compositor(None, ReplaceWith.SOLID)
    try:
        with open_source(clip) as source, open_sink(output, source.stream_info, copy_from=clip) as sink:
            for frame in source:
                sink.write(compositor.compose(AnalyzedFrame(frame)))
            sink.finish()
    except OutputError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("name", "limit"), [("clip.mp4", 0), ("clip.mp4", 4000), ("clip.mkv", 9000), ("clip.ts", 20000)]
)
def test_a_full_disk_ends_with_one_line_and_leaves_nothing(
    tmp_path: Path, out: Path, video_maker: VideoMaker, name: str, limit: int
) -> None:
    clip = video_maker(
        tmp_path / "long.mp4", pts=range(0, 60 * 512, 512), size=(320, 240), options={"crf": "5"}
    )
    program = textwrap.dedent(DISK_FULL)
    done = subprocess.run(
        [sys.executable, "-c", program, str(clip), str(out / name), str(limit)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    assert "larger than allowed" in done.stdout
    assert list(out.iterdir()) == []


def test_a_failing_encoder_reaches_the_writer(clip: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise av.error.ExternalError(av.error.tag_to_code(b"EXT "), "encoder\nbroke", "/secret/path")

    monkeypatch.setattr(VideoTrack, "encode", fail)
    sink, _ = opened(clip, out / "clip.mp4")
    with open_source(clip) as source:
        frame = anonymized(next(iter(source)))

    def write_many() -> None:
        for _ in range(50):
            sink.write(frame)
        sink.finish()

    with pytest.raises(OutputError) as caught:
        write_many()
    assert "secret" not in one_line(caught)
    assert list(out.iterdir()) == []


def test_commit_does_not_overwrite_what_appeared_meanwhile(out: Path) -> None:
    file = AtomicFile(out / "a.mp4", overwrite=False)
    file.path.write_bytes(b"ours")
    (out / "a.mp4").write_bytes(b"theirs")
    with pytest.raises(OutputError, match="appeared meanwhile"):
        file.commit()
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("a.mp4", b"theirs")]


def quadrants() -> np.ndarray:
    """A picture whose four quarters have colours of their own, (64, 96, 3)."""
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:32, :48], rgb[:32, 48:], rgb[32:, :48] = (200, 40, 40), (40, 200, 40), (40, 40, 200)
    return rgb


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_pictures_come_out_upright_and_without_metadata(
    tmp_path: Path, out: Path, jpeg_maker: Callable[..., Path], orientation: int, suffix: str
) -> None:
    path = jpeg_maker(tmp_path / "in.jpg", quadrants(), orientation)
    convert(path, out / f"o{suffix}")
    expected = cv2.imread(str(path))[..., ::-1]
    written = cv2.imread(str(out / f"o{suffix}"))[..., ::-1]
    assert written.shape == expected.shape
    assert np.abs(written.astype(int) - expected).mean() < 4
    data = (out / f"o{suffix}").read_bytes()
    assert b"Exif" not in data
    assert b"CAM" not in data


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_a_picture_is_marked_or_it_is_said_that_it_is_not(
    tmp_path: Path, out: Path, jpeg_maker: Callable[..., Path], suffix: str
) -> None:
    notices = convert(jpeg_maker(tmp_path / "in.jpg", quadrants()), out / f"o{suffix}")
    marked = carries_mark(out / f"o{suffix}")
    assert marked == (suffix in (".jpg", ".png"))
    assert marked != any("not marked" in notice for notice in notices)


def test_a_marked_gif_is_whole(tmp_path: Path, out: Path, video_maker: VideoMaker) -> None:
    convert(video_maker(tmp_path / "in.mp4"), out / "o.gif")
    with av.open(str(out / "o.gif")) as container:
        assert len(list(container.decode(video=0))) == 12
    assert (out / "o.gif").read_bytes().endswith(b"(veilstream)\0;")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
@pytest.mark.parametrize("kind", ["color", "gray", "deep", "alpha"])
def test_lossless_pictures_stay_lossless(tmp_path: Path, out: Path, suffix: str, kind: str) -> None:
    if (suffix, kind) in ((".bmp", "deep"), (".bmp", "alpha"), (".tiff", "alpha")):
        pytest.skip("these files do not have that")
    random = np.random.default_rng(0)
    shape = {"gray": (31, 45), "alpha": (31, 45, 4)}.get(kind, (31, 45, 3))
    dtype, high = (np.uint16, 65535) if kind == "deep" else (np.uint8, 255)
    pixels = random.integers(0, high, shape).astype(dtype)
    path = tmp_path / f"in{suffix}"
    assert cv2.imwrite(str(path), pixels)
    convert(path, out / path.name)
    how = cv2.IMREAD_COLOR if suffix == ".bmp" else cv2.IMREAD_UNCHANGED
    assert np.array_equal(cv2.imread(str(out / path.name), how), cv2.imread(str(path), how))


@pytest.mark.parametrize("format_name", ["yuva420p", "gbrap", "nv12", "p010le", "rgba", "gray10le"])
@pytest.mark.parametrize("turn", [None, 90, 180])
def test_every_plane_is_copied(format_name: str, turn: int | None) -> None:
    frame = av.VideoFrame(32, 16, format_name)
    for index, plane in enumerate(frame.planes):
        plane.update(np.full(plane.buffer_size // 2, 0x0101 * (index + 3), np.uint16).tobytes())
    copy = upright(frame, None if turn is None else matrix_of_turn(turn, mirrored=False))
    layout = pixel_format(format_name)
    assert len(copy.planes) == len(layout.planes)
    for index in range(len(layout.planes)):
        assert set(np.unique(plane_view(copy, index, layout))) == set(
            np.unique(plane_view(frame, index, layout))
        )


def test_turning_planes_is_lossless_in_every_direction() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (6, 10, 3)).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    for turn in (0, 90, 180, 270):
        for mirrored in (False, True):
            turned = upright(frame, matrix_of_turn(turn, mirrored=mirrored)).to_ndarray()
            assert np.array_equal(turned, np.rot90(rgb[:, ::-1] if mirrored else rgb, -turn // 90))
    assert np.array_equal(upright(frame, None).to_ndarray(), rgb)


def test_a_picture_holds_one_frame(tmp_path: Path, out: Path, jpeg_maker: Callable[..., Path]) -> None:
    path = jpeg_maker(tmp_path / "in.jpg", quadrants())
    with open_source(path) as source:
        frame = anonymized(next(iter(source)))
        with pytest.raises(SettingsError, match="no codec"):
            open_sink(out / "a.jpg", source.stream_info, copy_from=path, encode=EncodeSettings(crf=3))
        with open_sink(out / "a.jpg", source.stream_info, copy_from=path) as sink:
            sink.write(frame)
            with pytest.raises(OutputError, match="one frame"):
                sink.write(frame)
        with open_sink(out / "b.jpg", source.stream_info, copy_from=path) as sink, pytest.raises(OutputError):
            sink.finish()
    assert list(out.iterdir()) == []


def test_the_nearest_pixel_format_keeps_depth_before_all_else() -> None:
    x265 = tuple(item.name for item in av.Codec("libx265", "w").video_formats or ())
    cases = {
        "yuv420p10le": "yuv420p10le",
        "p010le": "yuv420p10le",
        "nv12": "yuv420p",
        "yuv422p12le": "yuv422p12le",
        "yuv420p9le": "yuv420p10le",
        "yuv440p": "yuv444p",
        "yuv411p": "yuv422p",
        "gray": "gray",
    }
    for given, expected in cases.items():
        assert nearest(given, x265) == expected
        assert loss(given, expected).is_lossless
    assert nearest("yuv444p10le", ("yuv444p", "yuv420p10le")) == "yuv420p10le"
    assert nearest("yuv420p", ("gbrp", "gray", "yuv444p")) == "yuv444p"


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    import threading

    yield
    assert not [item.name for item in threading.enumerate() if item.name.startswith("veilstream-")]
