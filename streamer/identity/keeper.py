"""Keeps one synthetic person per track, and forgets the real face as soon as the draw is made.

A track is looked at while its first frames wait in the look-ahead: at most `FRAMES_PER_TRACK` crops are kept. When the
first verified frame of the track is rendered, the best `CROPS_PER_TRACK` of them go through the identity encoder, the
mechanism draws (one draw, one ledger line), and crops and embedding are dropped.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from calibration.assign import Assignment, IdentityAssigner
from calibration.codebook import Codebook, SyntheticPerson
from calibration.errors import BudgetExhausted, CalibrationError, CodebookExhausted, CodeError, LedgerError
from engines.errors import EngineError
from engines.face.template import RECOGNITION_POINTS_PX, similarity_from_points
from engines.identity import IdentityEncoder
from streamer.frame import Float32Array, Frame, TrackedFace
from streamer.planes import read_patch

CROPS_PER_TRACK = 3
# Crops kept until the draw; a track is drawn for once its first frames are through the look-ahead.
FRAMES_PER_TRACK = 12
CROP_SIDE_PX = 112
# A ledger that fails is not asked again within this time of the video: one that is locked lets each question wait.
LEDGER_REST_SECONDS = 1.0


class IdentityRefusal(Exception):
    """No identity can be given to this track; the face must be masked. `reason` is a word for the report."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Candidates:
    """The first crops of a track that has no identity yet: (frame index, quality, crop (112, 112, 3) RGB in 0..255)."""

    crops: list[tuple[int, float, Float32Array]] = field(default_factory=list)

    def best(self, last_index: int) -> list[Float32Array]:
        """Of the frames up to `last_index`. Frames beyond it may or may not have been seen yet, as threads run."""
        known = sorted((item for item in self.crops if item[0] <= last_index), key=lambda item: -item[1])
        return [crop for _, _, crop in known[:CROPS_PER_TRACK]]


class IdentityKeeper:
    """Gives each track its synthetic person.

    Args:
        assigner: draws, without replacement among the live tracks, and writes the ledger.
        codebook: the synthetic people.
        encoder: identity encoder; may be None when the mechanism needs no code of the real face, and then none is
            ever computed.
        stream: name of the stream in the ledger. It should not tell who is in the picture.
        horizon_frames: how far beyond the rendered frame `observe` has surely been (the depth of the look-ahead). Only
            these frames count, so that the same input gives the same code however the threads run.

    Attributes:
        assignments: what was drawn, by track.
        problems: by the reason of a refusal, what was said of it last: one line that may name the ledger's path.
    """

    def __init__(
        self,
        assigner: IdentityAssigner,
        codebook: Codebook,
        encoder: IdentityEncoder | None,
        *,
        stream: str,
        horizon_frames: int = 0,
    ) -> None:
        if assigner.needs_code and encoder is None:
            raise ValueError("this mechanism needs an identity encoder")
        self._assigner = assigner
        self._codebook = codebook
        self._encoder = encoder if assigner.needs_code else None
        self._stream = stream
        self._horizon_frames = horizon_frames
        self._candidates: dict[int, _Candidates] = {}
        self._people: dict[int, SyntheticPerson] = {}
        self._refusals: dict[int, str] = {}
        self._ledger_failed_seconds: float | None = None
        # `observe` is called by the analysis thread, everything else by the one that renders.
        self._mutex = threading.Lock()
        self.assignments: dict[int, Assignment] = {}
        self.problems: dict[str, str] = {}

    def observe(self, frame: Frame, faces: list[TrackedFace]) -> None:
        """Look at the faces of a frame that is about to wait in the look-ahead."""
        if self._encoder is None:
            return
        for face in faces:
            if face.points_xy_px is None or self._is_settled(face.track_id):
                continue
            with self._mutex:
                candidates = self._candidates.setdefault(face.track_id, _Candidates())
                wanted = len(candidates.crops) < FRAMES_PER_TRACK
            if wanted:
                try:
                    crop = _aligned_crop(frame, face.points_xy_px)
                except ValueError:
                    # Points that fall together: another frame of the track will do.
                    continue
                with self._mutex:
                    if not self._is_settled(face.track_id):
                        candidates.crops.append((frame.index, _quality(face), crop))
            if self._is_settled(face.track_id):
                self._forget(face.track_id)

    def person_for(self, track_id: int, frame: Frame, points_xy_px: Float32Array) -> SyntheticPerson:
        """The person of a track, drawn at the first call.

        Args:
            points_xy_px: (5, 2) display px, used when no better crop was seen before.

        Raises:
            IdentityRefusal: budget spent or codebook exhausted; the answer stays the same for the whole track. Or the
                ledger failed for whatever track less than `LEDGER_REST_SECONDS` before this frame.
            EngineError: the encoder failed; nothing was drawn, and a later call tries again.
            CalibrationError: the ledger cannot be written; nothing was drawn.
        """
        if track_id in self._people:
            return self._people[track_id]
        if track_id in self._refusals:
            raise IdentityRefusal(self._refusals[track_id])
        if self._ledger_rests(frame.pts_seconds):
            raise IdentityRefusal("ledger_failed")
        code_unit = self._encode(track_id, frame, points_xy_px)
        try:
            self._people[track_id] = self._draw(track_id, code_unit)
        except LedgerError as error:
            self._ledger_failed_seconds = frame.pts_seconds
            self.problems["ledger_failed"] = str(error)
            raise
        except CodeError:
            # Not finite, or zero. Nothing was drawn, and the ledger is not to blame.
            raise EngineError("the identity encoder gave no usable code") from None
        finally:
            del code_unit
            # After the track is settled, so that `observe` cannot leave a crop behind.
            self._forget(track_id)
        return self._people[track_id]

    def _ledger_rests(self, seconds: float) -> bool:
        failed = self._ledger_failed_seconds
        # Below 0 where time stamps step back.
        return failed is not None and 0.0 <= seconds - failed < LEDGER_REST_SECONDS

    def _draw(self, track_id: int, code_unit: Float32Array | None) -> SyntheticPerson:
        try:
            assignment = self._assigner.assign(self._stream, track_id, code_unit)
        except BudgetExhausted as error:
            self._refuse(track_id, "budget_spent", str(error))
        except CodebookExhausted as error:
            self._refuse(track_id, "codebook_exhausted", str(error))
        self.assignments[track_id] = assignment
        try:
            return self._codebook.person(assignment.index)
        except CalibrationError:
            # Spent all the same, but no longer worn by anybody. The error may tell who was drawn.
            self._assigner.release(track_id)
            self._refuse(track_id, "codebook_damaged", "a person of the codebook cannot be read")

    def release(self, track_id: int) -> None:
        """The track is over: its synthetic person may be given to another one."""
        self._forget(track_id)
        self._refusals.pop(track_id, None)
        if self._people.pop(track_id, None) is not None:
            self._assigner.release(track_id)

    def _forget(self, track_id: int) -> None:
        with self._mutex:
            self._candidates.pop(track_id, None)

    def _is_settled(self, track_id: int) -> bool:
        return track_id in self._people or track_id in self._refusals

    def _refuse(self, track_id: int, reason: str, problem: str) -> NoReturn:
        self._refusals[track_id] = reason
        self.problems[reason] = problem
        raise IdentityRefusal(reason) from None

    def _encode(self, track_id: int, frame: Frame, points_xy_px: Float32Array) -> Float32Array | None:
        if self._encoder is None:
            return None
        with self._mutex:
            kept = self._candidates.get(track_id, _Candidates())
            crops = kept.best(frame.index + self._horizon_frames)
        crops = crops or [_aligned_crop(frame, points_xy_px)]
        mean = self._encoder.encode(np.stack(crops)).mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), dtype=np.float32)


def _quality(face: TrackedFace) -> float:
    """Larger is better: big, sure, and frontal (the nose midway between the eyes)."""
    assert face.points_xy_px is not None
    left_eye, right_eye, nose = face.points_xy_px[:3]
    eye_distance = float(np.linalg.norm(right_eye - left_eye)) + 1e-6
    off_centre = abs(float(np.linalg.norm(nose - left_eye) - np.linalg.norm(nose - right_eye))) / eye_distance
    side_px = float(min(face.box_xyxy_px[2] - face.box_xyxy_px[0], face.box_xyxy_px[3] - face.box_xyxy_px[1]))
    return face.score * min(side_px, CROP_SIDE_PX) * max(0.0, 1.0 - off_centre)


def _aligned_crop(frame: Frame, points_xy_px: Float32Array) -> Float32Array:
    patch_from_display = similarity_from_points(points_xy_px, RECOGNITION_POINTS_PX)
    patch = read_patch(frame.video, frame.geometry, patch_from_display, CROP_SIDE_PX)
    return np.asarray(patch * np.float32(255.0), dtype=np.float32)
