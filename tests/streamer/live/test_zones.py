"""Zones are covered whatever happens; faces in ignored regions are not looked for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest

from engines.detectors import Detection
from streamer.frame import Frame, StreamGeometry
from streamer.live.zones import PrivacyZones, RegionFilter

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def _frame(pixel_format: str, rotation: int = 0) -> Frame:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    video = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
    return Frame(0, 0, Fraction(1, 25), video, StreamGeometry(64, 48, rotation))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "nv12", "yuvj422p", "rgb24"])
def test_a_zone_is_flat_in_every_plane_and_nothing_else_is_touched(pixel_format: str) -> None:
    frame, before = _frame(pixel_format), _frame(pixel_format).video
    assert PrivacyZones([LEFT_HALF]).cover(frame)
    after = frame.video.to_ndarray(format="rgb24").astype(int)
    assert np.ptp(after[:, :30].reshape(-1, 3), axis=0).max() <= 2
    assert abs(int(after[5, 5].mean()) - 64) < 12
    kept = before.to_ndarray(format="rgb24").astype(int)[:, 38:]
    assert np.abs(after[:, 38:] - kept).max() <= 1


def test_zones_are_drawn_in_the_upright_picture() -> None:
    """Turned by a quarter clockwise, the upright left half is the stored lower half."""
    frame = _frame("yuv420p", rotation=90)
    assert PrivacyZones([LEFT_HALF]).cover(frame)
    luma = frame.video.to_ndarray(format="gray")
    assert np.ptp(luma[26:]) == 0
    assert np.ptp(luma[:20]) > 100


def test_a_frame_whose_zones_cannot_be_painted_is_masked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    frame = _frame("yuv420p")
    zones = PrivacyZones([LEFT_HALF])
    monkeypatch.setattr(zones, "_paint", refuse)
    assert not zones.cover(frame)
    assert np.ptp(frame.video.to_ndarray(format="gray")) == 0


def _found(*boxes: Sequence[float]) -> list[Detection]:
    return [Detection(np.array(box, np.float32), 0.9, np.zeros((5, 2), np.float32)) for box in boxes]


def test_only_faces_wholly_inside_an_ignored_region_are_left_out() -> None:
    inside, across, outside = (10, 10, 40, 40), (40, 10, 60, 40), (70, 10, 90, 40)
    detector = RegionFilter(lambda picture: _found(inside, across, outside), [LEFT_HALF])
    kept = detector(np.zeros((50, 100, 3), np.uint8))
    assert [tuple(item.box_xyxy_px) for item in kept] == [across, outside]
