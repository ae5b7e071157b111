"""Small videos and pictures, made by the tests themselves, with exactly the properties a test needs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest


def picture(width: int, height: int, index: int) -> np.ndarray:
    """A smooth picture, (h, w, 3) uint8 RGB, that differs from frame to frame."""
    small = np.random.default_rng(1).integers(40, 210, (5, 7, 3)).astype(np.uint8)
    rgb = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.roll(rgb, 2 * index, axis=1)


@dataclass(slots=True)
class Recipe:
    """What a made video is like; `pts` are in units of `time_base`."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    time_base: Fraction = Fraction(1, 12800)
    pts: Sequence[int] = tuple(range(0, 12 * 512, 512))
    rate: int = 25
    options: dict[str, str] = field(default_factory=dict)
    sample_aspect: Fraction | None = None
    display_matrix: Sequence[int] | None = None
    colors: tuple[int, int, int, int] | None = None
    audio: Sequence[str] = ()
    languages: Sequence[str] = ()
    subtitle: bool = False
    chapters: bool = False
    second_video: bool = False
    cover: bool = False
    attachment: bool = False
    tags: dict[str, str] = field(default_factory=dict)


def make_video(path: Path, **properties: Any) -> Path:
    """Write a video by its recipe."""
    recipe = Recipe(**properties)
    scale = {
        "video_track_timescale": str(recipe.time_base.denominator),
        "movflags": "+faststart+use_metadata_tags",
    }
    with av.open(
        str(path), "w", container_options=scale if path.suffix in (".mp4", ".mov") else {}
    ) as output:
        output.metadata.update(recipe.tags)
        videos = [_add_video(output, recipe)]
        if recipe.second_video:
            videos.append(_add_video(output, recipe))
        sounds = [_add_audio(output, codec, index, recipe) for index, codec in enumerate(recipe.audio)]
        subtitle = output.add_mux_stream("subrip") if recipe.subtitle else None
        if subtitle is not None:
            subtitle.time_base = Fraction(1, 1000)
            subtitle.metadata["language"] = "fra"
        if recipe.attachment:
            output.add_attachment("face.jpg", "image/jpeg", b"\xff\xd8 a face")
        if recipe.chapters:
            output.set_chapters(
                [
                    {
                        "id": number,
                        "start": 200 * number,
                        "end": 200 * number + 200,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": f"part {number}", "operator": "Jane Doe"},
                    }
                    for number in range(2)
                ]
            )
        packets: list[Any] = []
        for video in videos:
            for index, pts in enumerate(recipe.pts):
                packets += video.encode(_frame(recipe, index, pts))
            packets += video.encode(None)
        for sound, stream in enumerate(sounds):
            packets += _sound(stream, sound, recipe)
        if subtitle is not None:
            packets.append(_subtitle_packet(subtitle))
        output.start_encoding()
        packets.sort(key=lambda packet: float((packet.dts or 0) * packet.time_base))
        for packet in packets:
            output.mux(packet)
    return path


def _frame(recipe: Recipe, index: int, pts: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture(*recipe.size, index), format="rgb24")
    full = 2 if recipe.pixel_format.startswith("yuvj") else None
    frame = frame.reformat(format=recipe.pixel_format, dst_color_range=full)
    frame.pts, frame.time_base = pts, recipe.time_base
    return frame


def _add_video(output: Any, recipe: Recipe) -> Any:
    options = dict(recipe.options)
    if recipe.codec == "libx264":
        options = {"preset": "ultrafast", "crf": "12", **options}
    if recipe.codec == "libx265":
        options = {"preset": "ultrafast", **options}
        options["x265-params"] = ":".join(filter(None, ["log-level=none", options.get("x265-params")]))
    stream = output.add_stream(recipe.codec, rate=recipe.rate, options=options)
    stream.width, stream.height = recipe.size
    stream.pix_fmt = recipe.pixel_format
    stream.codec_context.time_base = recipe.time_base
    stream.time_base = recipe.time_base
    if recipe.sample_aspect is not None:
        stream.codec_context.sample_aspect_ratio = recipe.sample_aspect
    if recipe.display_matrix is not None:
        stream.set_display_matrix(recipe.display_matrix)
    if recipe.pixel_format.startswith("yuvj"):
        stream.codec_context.color_range = 2
    if recipe.colors is not None:
        context = stream.codec_context
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = recipe.colors
    return stream


def _add_audio(output: Any, codec: str, index: int, recipe: Recipe) -> Any:
    stream = output.add_stream(codec, rate=48000)
    stream.layout = "stereo"
    if recipe.languages:
        stream.metadata["language"] = recipe.languages[index]
    stream.metadata["title"] = "Jane Doe's microphone"
    return stream


def _sound(stream: Any, seed: int, recipe: Recipe) -> list[Any]:
    """As long as the video, beginning with it."""
    start = float(recipe.pts[0] * recipe.time_base)
    seconds = float(recipe.pts[-1] * recipe.time_base) - start + 0.04
    random = np.random.default_rng(seed)
    packets, at = [], round(start * 48000)
    for _ in range(max(1, int(seconds * 48000) // 1024)):
        samples = random.normal(0, 0.1, (2, 1024)).astype(np.float32)
        if stream.format.name in ("s16", "s16p"):
            samples = (samples * 32767).astype(np.int16)
        if stream.format.name in ("s32", "s32p"):
            samples = (samples * 2e9).astype(np.int32)
        if not stream.format.is_planar:
            samples = samples.T.reshape(1, -1).copy()
        frame = av.AudioFrame.from_ndarray(samples, format=stream.format.name, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
        at += 1024
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _subtitle_packet(stream: Any) -> Any:
    packet = av.Packet(b"hello")
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 40
    packet.duration = 200
    return packet


@pytest.fixture(scope="session")
def video_maker() -> Callable[..., Path]:
    """`video_maker(path, **properties)`: see `Recipe`."""
    return make_video


def exif_block(orientation: int) -> bytes:
    """A TIFF structure that holds an orientation and a camera's name."""
    make = b"CAM\0"
    entries = struct.pack("<HHI4s", 0x010F, 2, 4, make) + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + b"\0\0\0\0"


@pytest.fixture(scope="session")
def jpeg_maker() -> Callable[..., Path]:
    """`jpeg_maker(path, rgb_u8, orientation)` writes a JPEG with Exif data."""

    def make(path: Path, rgb_u8: np.ndarray, orientation: int = 1) -> Path:
        _, coded = cv2.imencode(".jpg", rgb_u8[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])
        data = coded.tobytes()
        payload = b"Exif\0\0" + exif_block(orientation)
        segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
        path.write_bytes(data[:2] + segment + data[2:])
        return path

    return make
