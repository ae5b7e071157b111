"""Finer appearances at run time: nobody waits for them, what fails stays at the codebook's picture, nothing flashes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibration.codebook import SyntheticPerson
from streamer.errors import SettingsError
from streamer.frame import UInt8Array
from streamer.identity import appearances
from streamer.identity.appearances import CodebookAppearances, FadeIn, Workshop
from streamer.identity.finer import styles_path
from streamer.live.settings import GatewaySettings
from streamer.render.drawing import TrackLook, _finest
from streamer.settings import DecoderTier, make_settings

COARSE = np.full((4, 4, 3), 100, np.uint8)
FINE = np.full((8, 8, 3), 200, np.uint8)
PERSON = SyntheticPerson(7, COARSE, np.zeros((468, 3), np.float32), np.zeros(512, np.float32))


def finish_all() -> None:
    for thread in threading.enumerate():
        if thread.name == "finer-appearances":
            thread.join(10)


def of_workshop(
    make: Callable[[SyntheticPerson], UInt8Array], *, can_make: bool = True
) -> CodebookAppearances:
    return CodebookAppearances(Workshop(), "sha", lambda index: can_make, make)


def test_the_codebook_picture_until_the_finer_one_is_ready() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def make(person: SyntheticPerson) -> UInt8Array:
        assert person is PERSON
        begun.set()
        assert may_end.wait(10)
        return FINE

    people = of_workshop(make)
    assert people.of(PERSON) is None  # asked for; nobody waits
    assert begun.wait(10)
    assert people.of(PERSON) is None
    may_end.set()
    finish_all()
    assert people.of(PERSON) is FINE


def test_who_fails_is_not_asked_for_again_and_one_line_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A line that does not say who: that is the index that was drawn."""
    calls: list[int] = []

    def make(person: SyntheticPerson) -> UInt8Array:
        calls.append(person.index)
        raise RuntimeError(f"person {person.index} came out differently, cosine 0.87")

    people = of_workshop(make)
    other = SyntheticPerson(8, COARSE, PERSON.mesh_xyz_px, PERSON.style)
    with caplog.at_level(logging.WARNING):
        for person in (PERSON, other, PERSON):
            assert people.of(person) is None
            finish_all()
    assert calls == [7, 8]
    assert [record.message for record in caplog.records] == [
        "a face stays at the codebook's 256 px (RuntimeError)"
    ]


def test_people_nobody_can_make_never_reach_the_thread() -> None:
    people = of_workshop(lambda person: FINE, can_make=False)
    assert people.of(PERSON) is None
    finish_all()
    assert people.of(PERSON) is None


def test_few_wait_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appearances, "WAITING_AT_MOST", 2)
    monkeypatch.setattr(appearances, "KEPT_AT_MOST", 2)
    shop, begun, may_end = Workshop(), threading.Event(), threading.Event()
    made: list[int] = []

    def maker(number: int) -> Callable[[], UInt8Array]:
        def make() -> UInt8Array:
            begun.set()
            assert may_end.wait(10)
            made.append(number)
            return FINE

        return make

    assert shop.ask(0, maker(0)) is None
    assert begun.wait(10)
    for number in range(1, 6):
        assert shop.ask(number, maker(number)) is None
    may_end.set()
    finish_all()
    assert made == [0, 1, 2]
    assert shop.ask(1, maker(1)) is FINE  # used last, so the next to go is the other
    assert shop.ask(3, maker(3)) is None
    finish_all()
    assert shop.ask(1, maker(1)) is FINE
    assert shop.ask(2, maker(2)) is None
    finish_all()


def test_the_change_is_a_fade() -> None:
    fade = FadeIn()
    assert fade(COARSE, None, 0.0) is COARSE
    assert not fade.begun
    levels = [int(fade(COARSE, FINE, 0.1 * step).mean()) for step in range(1, 7)]
    assert levels == [125, 150, 175, 200, 200, 200]
    assert fade(COARSE, FINE, 0.7) is FINE


def test_a_track_that_begins_with_the_finer_picture_needs_no_fade() -> None:
    assert FadeIn()(COARSE, FINE, 5.0) is FINE


def test_tiers_and_files_are_told_apart() -> None:
    assert make_settings().decoder is DecoderTier.REALTIME
    assert make_settings(decoder=None).decoder is DecoderTier.REALTIME
    assert make_settings(decoder="quality", teacher="/teacher").decoder is DecoderTier.QUALITY
    assert make_settings(decoder="my.onnx").decoder == Path("my.onnx")
    with pytest.raises(SettingsError, match="teacher is used by decoder quality alone"):
        make_settings(teacher="/teacher")


def test_a_gateway_hands_the_tier_to_each_camera() -> None:
    camera = {"name": "door", "input": "a.mp4", "outputs": [{"kind": "hls", "folder": "out"}]}
    gateway = GatewaySettings.model_validate({"cameras": [camera], "decoder": "quality", "teacher": "t"})
    settings = gateway.anonymize_settings(gateway.cameras[0])
    assert settings.decoder is DecoderTier.QUALITY
    assert settings.teacher == Path("t")


def test_styles_of_another_codebook_lie_beside_it() -> None:
    assert styles_path(Path("/a/mine.npz")) == Path("/a/mine-styles.npz")


class _Asked:
    """Has a finer picture of everybody, and counts who asks."""

    def __init__(self) -> None:
        self.times = 0

    def of(self, person: SyntheticPerson) -> UInt8Array:
        self.times += 1
        return FINE


def test_only_large_faces_are_drawn_finer() -> None:
    look, people = TrackLook(), _Asked()
    assert _finest(people, PERSON, look, 1, 0.0) is COARSE
    assert people.times == 0
    assert _finest(people, PERSON, look, 2, 0.1) is COARSE  # asked for, so that it is there in time
    assert people.times == 1
    assert 100 < _finest(people, PERSON, look, 3, 0.2).mean() < 200
    assert _finest(people, PERSON, look, 3, 2.0) is FINE
    assert _finest(people, PERSON, look, 2, 2.1) is FINE  # a face about this size must not go to and fro
    assert _finest(people, PERSON, look, 1, 2.2) is COARSE
