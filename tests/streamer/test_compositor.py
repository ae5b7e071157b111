"""Fail closed: whatever a renderer or a detector does wrong, no raw face leaves the compositor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from streamer.frame import AnalyzedFrame, FaceSource, Frame, StreamGeometry, TrackedFace
from streamer.render.compositor import (
    AnonymizedFrame,
    Compositor,
    DrawFaces,
    FallbackReason,
    LookedAtFrame,
    MaskReason,
    RenderedFace,
)
from streamer.settings import ReplaceWith

SIDE = 128
BOX = np.array([40, 30, 90, 100], dtype=np.float32)


def _noise_frame() -> Frame:
    """A picture of noise: any pixel that survives can be told."""
    pixels = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    video = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    return Frame(0, 0, Fraction(1, 25), video, StreamGeometry(SIDE, SIDE))


def _luma(frame: Frame) -> np.ndarray:
    plane = frame.video.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:SIDE, :SIDE].copy()


def _face(track_id: int = 1) -> TrackedFace:
    return TrackedFace(track_id, BOX, 0.9, FaceSource.DETECTED)


class _Renderer:
    """Answers with whatever the test wants, when looking or when drawing."""

    def __init__(
        self, answer: Callable[[], list[RenderedFace | FallbackReason]], *, when_looking: bool = False
    ) -> None:
        self._answer = answer
        self._when_looking = when_looking
        self.released: list[int] = []

    def look(self, frame: Frame, faces: Sequence[TrackedFace]) -> DrawFaces:
        if self._when_looking:
            answers = self._answer()
            return lambda: answers
        return self._answer

    def release(self, track_id: int) -> None:
        self.released.append(track_id)


def _patch(value: float = 0.5) -> RenderedFace:
    shift = np.array([[1.0, 0.0, -BOX[0]], [0.0, 1.0, -BOX[1]]])
    return RenderedFace(np.full((80, 80, 3), value, np.float32), np.ones((80, 80), np.float32), shift)


def _patch_elsewhere() -> RenderedFace:
    return replace(_patch(), patch_from_display=np.array([[1.0, 0.0, -100.0], [0.0, 1.0, -100.0]]))


def _patch_without_cover() -> RenderedFace:
    return replace(_patch(), alpha_f32=np.zeros((80, 80), np.float32))


def _raise() -> list[RenderedFace | FallbackReason]:
    raise RuntimeError("secret")


def _assert_face_is_covered(before: np.ndarray, after: np.ndarray) -> None:
    x0, y0, x1, y1 = BOX.astype(int)
    inside_before, inside_after = before[y0:y1, x0:x1].astype(float), after[y0:y1, x0:x1].astype(float)
    correlation = np.corrcoef(
        inside_before.ravel(), inside_after.ravel() + np.linspace(0, 1e-3, inside_after.size)
    )
    assert abs(correlation[0, 1]) < 0.15
    assert inside_after.std() < inside_before.std() / 4


@pytest.mark.parametrize(
    "answer",
    [
        _raise,
        lambda: [_patch(np.nan)],
        lambda: [_patch(np.inf)],
        lambda: [],
        lambda: [FallbackReason.ENGINE_FAILED],
        lambda: [_patch_elsewhere()],
        lambda: [_patch_without_cover()],
    ],
    ids=["raises", "nan", "inf", "too few answers", "says failed", "elsewhere", "transparent"],
)
@pytest.mark.parametrize("when_looking", [False, True])
def test_broken_renderer_leaves_a_covered_face(
    answer: Callable[[], list[RenderedFace | FallbackReason]], when_looking: bool
) -> None:
    frame = _noise_frame()
    before = _luma(frame)
    renderer = _Renderer(answer, when_looking=when_looking)
    result = Compositor(renderer).compose(AnalyzedFrame(frame, [_face()]))
    _assert_face_is_covered(before, _luma(result.frame))
    assert [c.reason for c in result.coverings] == [FallbackReason.ENGINE_FAILED]
    assert result.masked is None


def test_faces_that_nobody_looked_at_are_covered() -> None:
    frame = _noise_frame()
    before = _luma(frame)
    result = Compositor(_Renderer(lambda: [_patch()])).compose(LookedAtFrame(AnalyzedFrame(frame, [_face()])))
    _assert_face_is_covered(before, _luma(result.frame))
    assert [c.reason for c in result.coverings] == [FallbackReason.ENGINE_FAILED]


def test_failed_detector_masks_the_whole_frame() -> None:
    frame = _noise_frame()
    analyzed = AnalyzedFrame(frame, [], detector_failed=True)
    result = Compositor(_Renderer(lambda: [])).compose(analyzed)
    assert result.masked is MaskReason.DETECTOR_FAILED
    assert _luma(result.frame).std() < 1.0


def test_failed_covering_masks_the_whole_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **keywords: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("streamer.render.compositor.cover_face", fail)
    result = Compositor(_Renderer(_raise)).compose(AnalyzedFrame(_noise_frame(), [_face()]))
    assert result.masked is MaskReason.COVERING_FAILED
    assert _luma(result.frame).std() < 1.0


def test_a_plain_covering_that_doubles_a_face_does_not_hide_the_synthetic_one() -> None:
    frame = _noise_frame()
    double = TrackedFace(2, BOX + np.array([-8, -8, 8, 8], np.float32), 0.6, FaceSource.HELD)
    answers: list[RenderedFace | FallbackReason] = [_patch(), FallbackReason.NOT_VERIFIED]
    result = Compositor(_Renderer(lambda: answers)).compose(AnalyzedFrame(frame, [_face(), double]))
    alone = Compositor(_Renderer(lambda: [_patch()])).compose(AnalyzedFrame(_noise_frame(), [_face()]))
    x0, y0 = BOX[:2].astype(int)
    middle = np.s_[y0 + 10 : y0 + 70, x0 + 10 : x0 + 70]
    assert np.array_equal(_luma(result.frame)[middle], _luma(alone.frame)[middle])


def test_rendered_face_is_blended_and_the_rest_keeps_its_bits() -> None:
    frame = _noise_frame()
    before = _luma(frame)
    result = Compositor(_Renderer(lambda: [_patch()])).compose(AnalyzedFrame(frame, [_face()]))
    after = _luma(result.frame)
    x0, y0 = BOX[:2].astype(int)
    assert after[y0 + 5 : y0 + 75, x0 + 5 : x0 + 75].std() < 1.0
    changed = before != after
    changed[y0 - 1 : y0 + 81, x0 - 1 : x0 + 81] = False
    assert not changed.any()
    assert [c.reason for c in result.coverings] == [None]


@pytest.mark.parametrize("mode", [ReplaceWith.SOLID, ReplaceWith.PIXELATE, ReplaceWith.BLUR])
def test_plain_coverings_need_no_renderer(mode: ReplaceWith) -> None:
    frame = _noise_frame()
    before = _luma(frame)
    result = Compositor(None, mode).compose(AnalyzedFrame(frame, [_face()]))
    _assert_face_is_covered(before, _luma(result.frame))
    assert [c.reason for c in result.coverings] == [FallbackReason.ASKED]


def test_frame_without_faces_keeps_every_bit() -> None:
    frame = _noise_frame()
    before = _luma(frame)
    result = Compositor(_Renderer(_raise)).compose(AnalyzedFrame(frame, []))
    assert (before == _luma(result.frame)).all()
    assert result.masked is None


def test_ended_tracks_are_released_even_when_the_frame_is_masked() -> None:
    renderer = _Renderer(lambda: [])
    Compositor(renderer).compose(AnalyzedFrame(_noise_frame(), [], [3, 4], detector_failed=True))
    Compositor(renderer).compose(AnalyzedFrame(_noise_frame(), [], [5]))
    assert sorted(renderer.released) == [3, 4, 5]


def test_nobody_else_can_make_an_anonymized_frame() -> None:
    with pytest.raises(TypeError, match="only the compositor"):
        AnonymizedFrame(object(), _noise_frame(), (), None)


def test_failure_messages_carry_nothing_of_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    Compositor(_Renderer(_raise)).compose(AnalyzedFrame(_noise_frame(), [_face()]))
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("size", [(160, 128), (161, 129)], ids=["even", "odd"])
@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv420p10le", "yuvj420p", "yuv444p", "nv12", "gray", "p010le", "rgb24"]
)
def test_outside_the_masks_every_plane_keeps_its_bits(pixel_format: str, size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    video = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
    frame = Frame(0, 0, Fraction(1, 25), video, StreamGeometry(width, height))
    before = [bytes(plane) for plane in video.planes]
    faces = [_face(1), TrackedFace(2, np.array([100, 60, 130, 95], np.float32), 0.9, FaceSource.DETECTED)]
    answers: list[RenderedFace | FallbackReason] = [FallbackReason.NOT_VERIFIED, _patch()]
    result = Compositor(_Renderer(lambda: answers)).compose(AnalyzedFrame(frame, faces))
    assert result.masked is None
    assert [bytes(plane) for plane in result.frame.video.planes] != before
    # Patch, boxes, and the soft rim of the plain covering, with what one chroma sample spans.
    touched = np.zeros((height, width), dtype=bool)
    touched[22:122, 32:142] = True
    for plane, old in zip(result.frame.video.planes, before, strict=True):
        step_x, step_y = round(width / plane.width), round(height / plane.height)
        old_rows = np.frombuffer(old, np.uint8).reshape(plane.height, plane.line_size)
        new_rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        per_sample = plane.line_size // plane.width
        shape = (plane.height, plane.width)
        changed = (
            (old_rows != new_rows)[:, : plane.width * per_sample].reshape(*shape, per_sample).any(axis=2)
        )
        rows, columns = np.nonzero(changed)
        assert touched[np.minimum(rows * step_y, height - 1), np.minimum(columns * step_x, width - 1)].all()
