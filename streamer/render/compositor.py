"""The only maker of anonymized frames. Whatever goes wrong here, what leaves is covered.

Fail closed, in two steps: a face that cannot be rendered is covered by the fallback; a frame in which that cannot be
promised (no detection was possible, or covering itself failed) is masked whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, final

import numpy as np

from streamer.frame import AnalyzedFrame, Float32Array, Float64Array, Frame, TrackedFace, UInt8Array
from streamer.planes import cover_face, mask_whole_frame, write_patch
from streamer.settings import ReplaceWith

_log = logging.getLogger(__name__)
_SEAL = object()
# The part of a box that every patch for its face must cover: `trust` lets the mesh be off by less.
MIDDLE_SHARE = 0.25
OPAQUE = 0.99


class FallbackReason(str, Enum):
    """Why a face got the fallback instead of a synthetic person."""

    ASKED = "asked"
    TOO_SMALL = "too_small"
    NOT_VERIFIED = "not_verified"
    OBLIQUE = "oblique"
    BEHIND_ANOTHER = "behind_another"
    BUDGET_SPENT = "budget_spent"
    CODEBOOK_EXHAUSTED = "codebook_exhausted"
    CODEBOOK_DAMAGED = "codebook_damaged"
    LEDGER_FAILED = "ledger_failed"
    ENGINE_FAILED = "engine_failed"


class MaskReason(str, Enum):
    """Why a frame was masked whole."""

    DETECTOR_FAILED = "detector_failed"
    COVERING_FAILED = "covering_failed"


@dataclass(frozen=True, slots=True)
class RenderedFace:
    """A synthetic face, ready to be blended.

    Attributes:
        patch_rgb: (h, w, 3) float32 in 0..1, or uint8.
        alpha_f32: (h, w) in 0..1; 1 over the whole real face.
        patch_from_display: affine (2, 3) from display px to patch px.
    """

    patch_rgb: Float32Array | UInt8Array
    alpha_f32: Float32Array
    patch_from_display: Float64Array

    def is_usable(self) -> bool:
        """False when any number in it is not finite."""
        return bool(
            np.isfinite(self.patch_rgb).all()
            and np.isfinite(self.alpha_f32).all()
            and np.isfinite(self.patch_from_display).all()
        )

    def covers_middle_of(self, box_xyxy_px: Float32Array) -> bool:
        """True when the patch is opaque over the middle of a face's box, display px.

        A patch that is somewhere else, whatever the cause, would leave the face bare.
        """
        box = box_xyxy_px.astype(np.float64)
        middle, reach = (box[:2] + box[2:]) / 2.0, (box[2:] - box[:2]) / 2.0 * MIDDLE_SHARE
        points = middle + reach * np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])
        x, y = np.rint(self.patch_from_display[:, :2] @ points.T + self.patch_from_display[:, 2:])
        height, width = self.alpha_f32.shape
        if min(x.min(), y.min()) < 0 or x.max() >= width or y.max() >= height:
            return False
        return bool((self.alpha_f32[y.astype(np.intp), x.astype(np.intp)] > OPAQUE).all())


# Draws the faces that were looked at: one answer per face, in order. Reads the frame, never writes to it.
DrawFaces = Callable[[], list[RenderedFace | FallbackReason]]


class FaceRenderer(Protocol):
    """Turns the tracked faces of a frame into synthetic ones, in two steps that two threads may take."""

    def look(self, frame: Frame, faces: Sequence[TrackedFace]) -> DrawFaces:
        """What each face does and who wears it; called frame by frame, in order. Reads the frame, never writes to it.

        What it returns is called in the same order, once, and perhaps in another thread.
        """
        ...

    def release(self, track_id: int) -> None:
        """Forget a track that is over."""
        ...


@dataclass(frozen=True, slots=True)
class Covering:
    """How one face was covered: by a synthetic person (`reason` None) or by the fallback."""

    face: TrackedFace
    reason: FallbackReason | None


@final
class AnonymizedFrame:
    """A frame in which every known face is covered. Only `Compositor` can make one, and sinks accept nothing else.

    Attributes:
        frame: the frame, with its planes rewritten under the masks.
        coverings: one per face.
        masked: why the whole picture was masked, or None.
    """

    __slots__ = ("coverings", "frame", "masked")

    def __init__(
        self, seal: object, frame: Frame, coverings: tuple[Covering, ...], masked: MaskReason | None
    ) -> None:
        if seal is not _SEAL:
            raise TypeError("only the compositor makes an AnonymizedFrame")
        self.frame = frame
        self.coverings = coverings
        self.masked = masked


@dataclass(frozen=True, slots=True)
class LookedAtFrame:
    """A frame whose faces were looked at, for `Compositor.compose`.

    Attributes:
        draw: makes the synthetic faces; with None all faces get the fallback.
    """

    analyzed: AnalyzedFrame
    draw: DrawFaces | None = None


class Compositor:
    """Covers every face of an analyzed frame.

    `look` and `compose` may run in two threads, each of them in the order of the frames.

    Args:
        renderer: makes synthetic faces; None when the user asked for a plain covering.
        replace_with: the covering asked for. With `SYNTHETIC`, faces that cannot be rendered get `SOLID`.
    """

    def __init__(
        self, renderer: FaceRenderer | None, replace_with: ReplaceWith = ReplaceWith.SYNTHETIC
    ) -> None:
        if (renderer is None) == (replace_with is ReplaceWith.SYNTHETIC):
            raise ValueError("a renderer is needed for synthetic faces, and for nothing else")
        self._renderer = renderer
        self._covering = ReplaceWith.SOLID if replace_with is ReplaceWith.SYNTHETIC else replace_with

    def look(self, analyzed: AnalyzedFrame) -> LookedAtFrame:
        """The part of the work that depends on the frames before. Never raises: what fails here is covered later."""
        try:
            self._release(analyzed.ended_track_ids)
            if analyzed.detector_failed or self._renderer is None or not analyzed.faces:
                return LookedAtFrame(analyzed)
            return LookedAtFrame(analyzed, self._renderer.look(analyzed.frame, _far_first(analyzed.faces)))
        except Exception as error:
            _log_failed(analyzed.frame, error)
            return LookedAtFrame(analyzed)

    def compose(self, given: AnalyzedFrame | LookedAtFrame) -> AnonymizedFrame:
        """Cover the faces, in the planes of the frame itself.

        Never gives out a raw face: what it raises, where not even a grey picture could be made, ends the stream.
        """
        looked = self.look(given) if isinstance(given, AnalyzedFrame) else given
        frame = looked.analyzed.frame
        try:
            if looked.analyzed.detector_failed:
                return self._mask(frame, MaskReason.DETECTOR_FAILED)
            return AnonymizedFrame(_SEAL, frame, self._cover_all(frame, looked), None)
        except Exception as error:
            # The exception's text is not logged: it may carry numbers of the picture.
            _log.error(
                "frame %d: covering failed (%s); the frame is masked", frame.index, type(error).__name__
            )
            return self._mask(frame, MaskReason.COVERING_FAILED)

    def _mask(self, frame: Frame, reason: MaskReason) -> AnonymizedFrame:
        frame.video = mask_whole_frame(frame.video)
        return AnonymizedFrame(_SEAL, frame, (), reason)

    def _release(self, track_ids: Sequence[int]) -> None:
        if self._renderer is not None:
            for track_id in track_ids:
                self._renderer.release(track_id)

    def _cover_all(self, frame: Frame, looked: LookedAtFrame) -> tuple[Covering, ...]:
        ordered = _far_first(looked.analyzed.faces)
        if not ordered:
            return ()
        if self._renderer is None:
            answers: list[RenderedFace | FallbackReason] = [FallbackReason.ASKED] * len(ordered)
        else:
            answers = _drawn(frame, ordered, looked.draw)
        frame.video.make_writable()
        coverings = []
        # Plain coverings first: one that is only guessed, or doubles another, must not hide a synthetic face.
        for face, answer in zip(ordered, answers, strict=True):
            if not isinstance(answer, RenderedFace):
                cover_face(frame.video, frame.geometry, face.box_xyxy_px, self._covering.value)
                coverings.append(Covering(face, answer))
        for face, answer in zip(ordered, answers, strict=True):
            if isinstance(answer, RenderedFace):
                write_patch(
                    frame.video,
                    frame.geometry,
                    answer.patch_rgb,
                    answer.alpha_f32,
                    answer.patch_from_display,
                )
                coverings.append(Covering(face, None))
        return tuple(coverings)


def _drawn(
    frame: Frame, faces: Sequence[TrackedFace], draw: DrawFaces | None
) -> list[RenderedFace | FallbackReason]:
    failed = FallbackReason.ENGINE_FAILED
    answers: list[RenderedFace | FallbackReason] = []
    try:
        answers = draw() if draw is not None else answers
    except Exception as error:
        _log_failed(frame, error)
    if len(answers) != len(faces):
        return [failed] * len(faces)
    return [
        answer if not isinstance(answer, RenderedFace) or _is_covering(answer, face) else failed
        for face, answer in zip(faces, answers, strict=True)
    ]


def _log_failed(frame: Frame, error: Exception) -> None:
    _log.error("frame %d: rendering failed (%s); faces are covered", frame.index, type(error).__name__)


def _is_covering(rendered: RenderedFace, face: TrackedFace) -> bool:
    return rendered.is_usable() and rendered.covers_middle_of(face.box_xyxy_px)


def _far_first(faces: Sequence[TrackedFace]) -> list[TrackedFace]:
    """So that where two overlap the nearer one ends on top."""
    return sorted(faces, key=_area)


def _area(face: TrackedFace) -> float:
    x0, y0, x1, y1 = (float(v) for v in face.box_xyxy_px)
    return (x1 - x0) * (y1 - y0)
