"""Hardware is used only when a trial shows that it works; otherwise software, and nobody can miss it.

No test here needs hardware: the devices are stand-ins, the trials of software encoders are real."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamer.errors import InputError, SettingsError
from streamer.frame import AnalyzedFrame
from streamer.render.compositor import Compositor
from streamer.settings import EncodeSettings, HardwareDecoding, HardwareEncoding, ReplaceWith
from streamer.sink import hardware as encoding
from streamer.sink import open_sink
from streamer.sink.codec_choice import EncoderChoice, choose_encoder
from streamer.sink.trial import encode_problem
from streamer.source import open_source, video_file

VideoMaker = Callable[..., Path]


@pytest.fixture
def choose(tmp_path: Path, video_maker: VideoMaker) -> Callable[..., EncoderChoice]:
    """Choose an encoder for a made video and an output of an ending of choice."""

    def chosen(settings: dict[str, Any], ending: str = ".mp4", **properties: Any) -> EncoderChoice:
        with open_source(video_maker(tmp_path / "in.mkv", **properties)) as source:
            info = source.stream_info
        output = tmp_path / f"out{ending}"
        with av.open(str(output), "w") as container:
            return choose_encoder(info, container, EncodeSettings(**settings), output)

    return chosen


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Pretends that trials of the named encoders succeed and those of others fail; the trials, as asked for."""

    def pretend(*names: str) -> list[dict[str, Any]]:
        trials: list[dict[str, Any]] = []

        def trial(encoder: str, pixel_format: str, **how: Any) -> str:
            trials.append({"encoder": encoder, "pixel_format": pixel_format, **how})
            return "" if encoder in names else "no device"

        formats = {"h264_qsv": ("nv12",), "hevc_qsv": ("nv12",)}
        monkeypatch.setattr(encoding, "encode_problem", trial)
        monkeypatch.setattr(
            encoding, "_software_formats", lambda name: formats.get(name, ("yuv420p", "nv12", "p010le"))
        )
        return trials

    return pretend


def test_a_software_encoder_passes_its_trial_and_a_missing_one_does_not() -> None:
    assert encode_problem("mpeg4", "yuv420p") == ""
    assert encode_problem("libx264", "yuv420p", options={"preset": "ultrafast"}, frames=4) == ""
    assert "built" in encode_problem("h264_nothing", "yuv420p")
    assert encode_problem("libx264", "yuv420p", options={"preset": "none such"}) != ""
    assert encode_problem("libx264", "yuv420p", size=(33, 33)) != ""


def test_hardware_that_passes_its_trial_is_taken_and_named(choose: Any, working: Any) -> None:
    trials = working("h264_nvenc")
    choice = choose({"hardware": HardwareEncoding.NVENC, "crf": 23, "preset": "p6"})
    assert choice.encoder == "h264_nvenc"
    assert (choice.options["qp"], choice.options["preset"]) == ("23", "p6")
    assert any("h264_nvenc" in notice for notice in choice.notices)
    # The trial is of this picture and of these settings.
    (trial,) = trials
    assert trial["size"] == (96, 64)
    assert trial["options"] == choice.options


def test_auto_tries_one_kind_after_the_other(choose: Any, working: Any) -> None:
    trials = working("h264_qsv")
    choice = choose({"hardware": HardwareEncoding.AUTO})
    assert (choice.encoder, choice.pixel_format) == ("h264_qsv", "nv12")
    assert [trial["encoder"] for trial in trials] == ["h264_nvenc", "h264_qsv"]


def test_frames_are_uploaded_for_encoders_that_want_it(choose: Any, working: Any) -> None:
    working("hevc_vaapi")
    choice = choose({"codec": "hevc_vaapi"})
    assert (choice.encoder, choice.device) == ("hevc_vaapi", "vaapi")


@pytest.mark.parametrize(
    "settings",
    [{"codec": "h264_nvenc"}, {"hardware": HardwareEncoding.AUTO}, {"codec": "h264_nvenc", "preset": "p1"}],
)
def test_a_failed_trial_means_software_with_a_notice_and_a_warning(
    choose: Any, working: Any, caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    working()
    with caplog.at_level(logging.WARNING):
        choice = choose(settings)
    assert (choice.encoder, choice.options["preset"]) == ("libx264", "veryfast")
    assert "h264_nvenc: no device" in choice.notices[0]
    assert choice.notices[0] in caplog.text


@pytest.mark.parametrize(
    ("codec", "properties", "ending", "reason"),
    [
        (
            None,
            {"pixel_format": "yuv420p10le", "codec": "libx265", "options": {"x265-params": "log-level=none"}},
            ".mp4",
            "coarser",
        ),
        (None, {"pixel_format": "yuv444p"}, ".mp4", "coarser"),
        ("h264", {"size": (97, 64), "codec": "ffv1"}, ".mp4", "odd size"),
        (None, {}, ".webm", "does not go into webm"),
    ],
)
def test_what_hardware_would_spoil_is_left_to_software(
    choose: Any, working: Any, codec: str | None, properties: dict[str, Any], ending: str, reason: str
) -> None:
    working("h264_qsv", "hevc_qsv")
    choice = choose({"codec": codec, "hardware": HardwareEncoding.QSV}, ending, **properties)
    assert not choice.encoder.endswith("_qsv")
    assert reason in choice.notices[0]


def test_a_codec_without_hardware_keeps_its_software_encoder(choose: Any, working: Any) -> None:
    working("h264_nvenc")
    choice = choose({"hardware": HardwareEncoding.NVENC}, ".mkv", codec="mpeg4")
    assert choice.encoder == "mpeg4"
    assert "no hardware encoder for mpeg4" in choice.notices[0]


def test_settings_that_no_hardware_has_are_refused(choose: Any, working: Any) -> None:
    working("h264_nvenc")
    with pytest.raises(SettingsError, match="p1, p2"):
        choose({"codec": "h264_nvenc", "preset": "veryfast"})
    with pytest.raises(SettingsError, match="0 to 51"):
        choose({"codec": "h264_nvenc", "crf": 60})
    with pytest.raises(SettingsError, match="xyz_nvenc"):
        choose({"codec": "xyz_nvenc"})


def copied(source_path: Path, output: Path, hardware: HardwareDecoding) -> list[str]:
    """Source to sink with nothing between; the source's notices."""
    compositor = Compositor(None, ReplaceWith.SOLID)
    encode = EncodeSettings(codec="ffv1")
    with (
        open_source(source_path, hardware=hardware) as source,
        open_sink(output, source.stream_info, copy_from=None, encode=encode) as sink,
    ):
        for frame in source:
            sink.write(compositor.compose(AnalyzedFrame(frame)))
        sink.finish()
        return source.notices


def luma(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


class DownloadingDecoder:
    """What a decoder in hardware looks like from here: frames come as nv12, whatever the file holds."""

    flags = 0

    def __init__(self, context: Any) -> None:
        self._context = context

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        frames = []
        for frame in self._context.decode(packet):
            converted = frame.reformat(format="nv12")
            converted.pts, converted.time_base = frame.pts, frame.time_base
            frames.append(converted)
        return frames


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Pretends that there is a device, and that it takes this file or does not."""

    def pretend(takes: bool) -> None:
        monkeypatch.setattr(video_file, "is_built_in", lambda device: True)
        monkeypatch.setattr(video_file, "accelerator", lambda device: None)
        monkeypatch.setattr(
            video_file, "decoder_for", lambda stream, device: DownloadingDecoder(stream.codec_context)
        )
        monkeypatch.setattr(video_file, "is_used", lambda decoder, device: takes)

    return pretend


def test_frames_of_a_device_go_through_as_they_were_downloaded(
    tmp_path: Path, video_maker: VideoMaker, device: Any
) -> None:
    device(True)
    clip = video_maker(tmp_path / "in.mp4")
    assert "decoded in hardware (cuda)" in copied(clip, tmp_path / "out.mkv", HardwareDecoding.CUDA)
    pairs = zip(luma(clip), luma(tmp_path / "out.mkv"), strict=True)
    assert all(np.array_equal(before, after) for before, after in pairs)


@pytest.mark.parametrize("takes", [False, None])
def test_a_device_that_does_not_decode_means_software_with_a_notice_and_a_warning(
    tmp_path: Path,
    video_maker: VideoMaker,
    device: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    takes: bool | None,
) -> None:
    device(False)
    if takes is None:

        def broken(stream: Any, device: Any) -> Any:
            raise av.error.ExternalError(542398533, "no driver")

        monkeypatch.setattr(video_file, "decoder_for", broken)
    clip = video_maker(tmp_path / "in.mp4")
    with caplog.at_level(logging.WARNING):
        notices = copied(clip, tmp_path / "out.mkv", HardwareDecoding.AUTO)
    assert "decoded in software" in notices[0]
    assert notices[0] in caplog.text
    assert len(luma(tmp_path / "out.mkv")) == 12


def test_a_device_kind_that_is_not_built_in_is_not_tried(
    tmp_path: Path, video_maker: VideoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file, "is_built_in", lambda device: False)
    monkeypatch.setattr(video_file, "accelerator", lambda device: pytest.fail("tried"))
    with open_source(video_maker(tmp_path / "in.mp4"), hardware=HardwareDecoding.AUTO) as source:
        assert source.notices[0].count("not built into") == 3
        assert len(list(source)) == 12


def test_a_damaged_file_is_the_same_one_line_with_and_without_hardware(tmp_path: Path) -> None:
    path = tmp_path / "garbage.mp4"
    path.write_bytes(bytes(range(256)) * 40)
    messages = []
    for hardware in (HardwareDecoding.NONE, HardwareDecoding.AUTO):
        with pytest.raises(InputError) as caught:
            open_source(path, hardware=hardware)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
