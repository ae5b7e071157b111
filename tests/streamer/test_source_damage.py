"""What a decoder paints over lost data is never shown: each picture that comes is one that was recorded, or grey."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from streamer import anonymize_file, make_settings
from streamer.source.damage import DamageGuard
from streamer.source.video_file import VideoFileSource

VideoMaker = Callable[..., Path]
KEY_EVERY, COUNT = 12, 36
# Pictures are decoded as I P B B B P B B B ...: packets 5 to 8 hold picture 8, and 5, 6 and 7, which refer to it.
REORDERED = {"preset": "veryfast", "bf": "3", "g": str(KEY_EVERY)}
PLAIN_X264 = "scenecut=0:b-adapt=0:b-pyramid=none"


def _pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def _damaged(path: Path, number: int, share: float = 0.5) -> Path:
    """A copy with the last share of a packet overwritten."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        end = packet.pos + packet.size
        first = end - max(1, round(share * packet.size))
    data[first:end] = b"\xaa" * (end - first)
    copy = path.with_stem("damaged")
    copy.write_bytes(data)
    return copy


def _read(path: Path, threads: int = 0) -> tuple[list[np.ndarray], list[int], Any]:
    with VideoFileSource(path, threads=threads) as source:
        pictures, stamps = [], []
        for frame in source:
            pictures.append(frame.video.to_ndarray(format="gray"))
            stamps.append(frame.pts)
            # Whoever gets a frame draws into it.
            frame.video.make_writable()
            for plane in frame.video.planes:
                plane.update(bytes(plane.buffer_size))
        return pictures, stamps, source


def _shown(pictures: list[np.ndarray], whole: list[np.ndarray]) -> list[int]:
    """Which of the whole pictures each one is, bit by bit."""
    return [next(i for i, true in enumerate(whole) if np.array_equal(picture, true)) for picture in pictures]


@pytest.fixture
def clip(tmp_path: Path, video_maker: VideoMaker) -> Callable[..., Path]:
    def make(name: str = "whole.mp4", x264: str = PLAIN_X264, **properties: Any) -> Path:
        options = {**REORDERED, "x264-params": x264}
        pts = range(0, COUNT * 512, 512)
        return video_maker(tmp_path / name, pts=pts, size=(320, 240), **{"options": options, **properties})

    return make


@pytest.mark.parametrize("threads", [1, 6])
@pytest.mark.parametrize("share", [0.2, 0.9, 1.0])
def test_the_last_whole_picture_stands_in_up_to_the_next_key_frame(
    clip: Callable[..., Path], share: float, threads: int
) -> None:
    """Also for one that cannot be decoded at all, and for those shown before the damaged one but decoded after it."""
    path = clip()
    whole = _pictures(path)
    pictures, stamps, source = _read(_damaged(path, 5, share), threads)
    assert stamps == list(range(0, COUNT * 512, 512))
    assert _shown(pictures, whole) == [0, 1, 2, 3, 4] + [4] * 7 + list(range(KEY_EVERY, COUNT))
    assert any(notice.startswith("7 pictures are damaged") for notice in source.notices)
    assert source.masked == 0


def test_a_picture_that_no_other_refers_to_is_stood_in_for_in_its_place(clip: Callable[..., Path]) -> None:
    """It comes out before one that was decoded before it."""
    path = clip()
    whole = _pictures(path)
    pictures, stamps, _ = _read(_damaged(path, 8, 1.0))
    assert stamps == list(range(0, COUNT * 512, 512))
    shown = _shown(pictures, whole)
    assert shown[:7] + shown[8:9] == [*range(7), 8]
    assert shown[7] == 6
    assert shown[KEY_EVERY:] == list(range(KEY_EVERY, COUNT))


def test_of_an_open_group_the_pictures_before_its_key_frame_are_left_out_too(
    clip: Callable[..., Path],
) -> None:
    path = clip(x264=f"{PLAIN_X264}:open-gop=1")
    whole = _pictures(path)
    with av.open(str(path)) as container:
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    shown = _shown(_read(_damaged(path, 5))[0], whole)
    assert shown == [0, 1, 2, 3, 4] + [4] * (keys[1] - 5) + list(range(keys[1], COUNT))


def test_an_intra_refresh_is_over_when_the_next_one_begins(clip: Callable[..., Path]) -> None:
    path = clip(x264=f"scenecut=0:bframes=0:intra-refresh=1:keyint={KEY_EVERY}")
    whole = _pictures(path)
    shown = _shown(_read(_damaged(path, 5))[0], whole)
    assert shown == [0, 1, 2, 3, 4] + [4] * 19 + list(range(2 * KEY_EVERY, COUNT))


def test_before_the_first_whole_picture_all_is_grey(clip: Callable[..., Path], tmp_path: Path) -> None:
    path = clip()
    whole, broken = _pictures(path), _damaged(path, 0, 0.1)
    pictures, stamps, source = _read(broken)
    assert len(stamps) == COUNT
    assert all(np.ptp(picture) == 0 for picture in pictures[:KEY_EVERY])
    assert _shown(pictures[KEY_EVERY:], whole) == list(range(KEY_EVERY, COUNT))
    assert source.masked == KEY_EVERY
    assert f"{KEY_EVERY} before the first whole one are masked" in source.notices[-1]
    result = anonymize_file(broken, tmp_path / "out.mp4", settings=make_settings(replace_with="solid"))
    assert result.coverage["frames_masked_whole"] == {"damaged": KEY_EVERY}
    assert result.coverage["frames"] == COUNT
    assert result.is_flawed


@pytest.mark.parametrize("open_gop", [0, 1])
@pytest.mark.parametrize("first", [0, 5, KEY_EVERY])
def test_a_recording_that_begins_in_the_middle_of_a_group_is_not_damaged(
    clip: Callable[..., Path], tmp_path: Path, first: int, open_gop: int
) -> None:
    path = clip(
        "whole.ts", x264=f"{PLAIN_X264}:open-gop={open_gop}:repeat-headers=1", time_base=Fraction(1, 12800)
    )
    cut = tmp_path / "cut.ts"
    with av.open(str(path)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets[first:]:
            packet.stream = stream
            target.mux(packet)
    pictures, _, source = _read(cut)
    assert [picture.tobytes() for picture in pictures] == [picture.tobytes() for picture in _pictures(cut)]
    assert len(pictures) >= COUNT - first - KEY_EVERY
    assert source.notices == []


def _sent(*numbers: int) -> Iterable[Any]:
    plain = {"size": 9, "duration": 1, "is_corrupt": False}
    return (SimpleNamespace(pts=number, is_keyframe=number == 0, **plain) for number in numbers)


def _came(number: int) -> Any:
    return SimpleNamespace(opaque=number, pts=number, duration=1, is_corrupt=False, key_frame=number == 0)


def test_packets_that_give_no_picture_hold_few_back() -> None:
    """Of two fields one comes; some pictures are not to be shown."""
    guard, given = DamageGuard(), 0
    for number, packet in enumerate(_sent(*range(200))):
        guard.send(packet)
        if number % 2 == 0:
            given += len(guard.take([_came(number)]))
            assert number // 2 + 1 - given <= 8
    assert all(picture.is_whole for picture in guard.finish())


def test_where_a_stream_is_joined_its_first_key_frame_comes_at_once() -> None:
    guard = DamageGuard()
    for packet in _sent(*range(1, 10), 0):
        guard.send(packet)
        assert guard.take([]) == []
    first = _came(9)
    first.key_frame = True
    assert [picture.is_whole for picture in guard.take([first])] == [True]


def test_a_corrupt_packet_makes_a_damaged_picture() -> None:
    guard = DamageGuard()
    for packet in _sent(0, 1, 2):
        packet.is_corrupt = not packet.is_keyframe
        guard.send(packet)
    assert [picture.is_whole for picture in guard.take([_came(0), _came(1), _came(2)])] == [
        True,
        False,
        False,
    ]
