"""The analysis stage: frames in; frames with every face that must be covered out, a little later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamer.analysis.appearance import thumbnail
from streamer.analysis.boxes import BoxArray, as_box
from streamer.analysis.cadence import DetectionCadence
from streamer.analysis.lookahead import LookAhead
from streamer.analysis.observation import Observation
from streamer.analysis.scenecut import SceneCutDetector
from streamer.analysis.stillness import StillnessGate
from streamer.analysis.tracker import Tracker
from streamer.frame import (
    AnalyzedFrame,
    FaceSource,
    Float32Array,
    Float64Array,
    Frame,
    TrackedFace,
    UInt8Array,
)

_log = logging.getLogger(__name__)
# A face that is not seen for longer begins a new track, for which a new person is drawn.
LOST_SECONDS = 1.0


class DetectionLike(Protocol):
    """What is read of a detection; `engines.detectors.Detection` has it. Coordinates in analysis px."""

    @property
    def box_xyxy_px(self) -> Float32Array: ...

    @property
    def score(self) -> float: ...

    @property
    def points_xy_px(self) -> Float32Array | None: ...


Detect = Callable[[UInt8Array], Sequence[DetectionLike]]
"""(H, W, 3) RGB uint8 analysis picture -> faces in it."""

MakePicture = Callable[[Frame], tuple[UInt8Array, Float64Array]]
"""Frame -> (H, W, 3) RGB uint8 analysis picture and its display_from_analysis, affine (2, 3)."""


class UntrustworthyDetectionError(ValueError):
    """A detector answered with numbers that cannot be a face's place."""


@dataclass(frozen=True, slots=True)
class AnalyzerSettings:
    """How faces are found and followed; see `streamer.settings.AnalysisSettings` for what a user sees of it.

    Attributes:
        score_threshold: detections at least this sure are covered and start tracks.
        continue_threshold: detections at least this sure may continue a track.
        depth_frames: frames held back for the look-ahead; 0 for none.
        depth_seconds: and no longer than this, for live sources (see `LookAhead`).
        hold_frames: frames a face stays covered after it was last seen; raised to twice the detection
            interval.
        hold_seconds: and no longer than this but for a few frames, for live sources (see `LookAhead`).
        lost_seconds: how long an unseen track may still be found again.
        stale_after_frames: with no successful detection for more than this many frames, frames are to be
            masked.
    """

    score_threshold: float = 0.5
    continue_threshold: float = 0.25
    depth_frames: int = 12
    depth_seconds: float | None = None
    hold_frames: int = 12
    hold_seconds: float | None = None
    lost_seconds: float = LOST_SECONDS
    stale_after_frames: int = 30

    def __post_init__(self) -> None:
        if min(self.depth_frames, self.hold_frames) < 0 or self.stale_after_frames < 1:
            raise ValueError(f"frames must not be negative: {self}")


def frames_for(seconds: float, frames_per_second: float, *, limit: int = 120) -> int:
    """Frames that span at least `seconds`; at most `limit`, which bounds the memory of waiting frames."""
    return min(limit, max(0, int(np.ceil(seconds * frames_per_second - 1e-6))))


class Analyzer:
    """Analysis picture -> scene cut -> detector, when due -> tracker -> look-ahead.

    Fail closed: when the detector raises, or answers with what is not a finite box and score, the frame goes
    on with `detector_failed` set, for the compositor to mask it whole, and the detector is asked again on the
    next frame. Frames that lie between two due detections rely on the last one; they are flagged too while it
    is a failed one or more than `stale_after_frames` old.

    Args:
        detect: finds faces in an analysis picture, e.g. `detector.detect`.
        make_picture: makes the analysis picture of a frame.
        cadence: on which frames to detect; every frame where left out.
    """

    def __init__(
        self,
        detect: Detect,
        make_picture: MakePicture,
        settings: AnalyzerSettings | None = None,
        *,
        cadence: DetectionCadence | None = None,
    ) -> None:
        self._settings = settings or AnalyzerSettings()
        self._detect = detect
        self._make_picture = make_picture
        self._cadence = cadence or DetectionCadence()
        self._cuts = SceneCutDetector()
        self._stillness = StillnessGate()
        self._tracker = Tracker(
            start_threshold=self._settings.score_threshold,
            continue_threshold=self._settings.continue_threshold,
            lost_seconds=self._settings.lost_seconds,
        )
        self._look_ahead = LookAhead(
            depth_frames=self._settings.depth_frames,
            depth_seconds=self._settings.depth_seconds,
            backfill_frames=self._settings.depth_frames,
            hold_frames=max(self._settings.hold_frames, 2 * (self._cadence.largest_interval - 1)),
            hold_seconds=self._settings.hold_seconds,
        )
        self._display_size: tuple[int, int] | None = None
        self._since_success = 0
        self._looked_seconds = 0.0
        self._relies_on_failure = False
        self._latest: list[TrackedFace] = []
        self._failures = 0
        self._detect_seconds: float | None = None

    @property
    def latest_faces(self) -> list[TrackedFace]:
        """Faces detected in the frame pushed last, with their tracks, before the look-ahead."""
        return list(self._latest)

    @property
    def failures(self) -> int:
        """Detections that failed so far."""
        return self._failures

    @property
    def last_detect_seconds(self) -> float | None:
        """Time the detector took on the frame pushed last, None where it did not run:

        For the cadence of live use.
        """
        return self._detect_seconds

    def push(self, frame: Frame) -> list[AnalyzedFrame]:
        """Take in the next frame.

        Returns the frames that are ready, in order. The frame's planes are only read.
        """
        self._latest, self._detect_seconds = [], None
        ended: list[int] = []
        assigned: dict[int, Observation] = {}
        cut = self._breaks_off(frame)
        try:
            picture, display_from_analysis = self._make_picture(frame)
            cut = self._cuts.is_cut(picture) or cut
            if cut:
                ended += self._tracker.end_all()
            if self._cadence.is_due(scene_cut=cut) and not self._nothing_new(picture, frame.pts_seconds):
                observations = self._observe(picture, display_from_analysis)
                step = self._tracker.step(observations, frame.pts_seconds)
                assigned, ended = step.assigned, ended + step.ended_track_ids
                self._since_success, self._relies_on_failure = 0, False
                self._looked_seconds = frame.pts_seconds
                self._remember(picture, faces=bool(observations))
            else:
                self._since_success += 1
        except Exception as error:  # whatever goes wrong here must end in a masked frame, not in a bare one
            self._note_failure(error, frame)
            if cut:
                ended += self._tracker.end_all()
        self._latest = [_detected_face(track_id, item) for track_id, item in assigned.items()]
        failed = self._relies_on_failure or self._since_success > self._settings.stale_after_frames
        return self._look_ahead.push(
            frame, assigned, ended_track_ids=ended, scene_cut=cut, detector_failed=failed
        )

    def flush(self) -> list[AnalyzedFrame]:
        """The stream ended: the frames that still wait, in order."""
        return self._look_ahead.flush()

    def let_out(self) -> list[AnalyzedFrame]:
        """The next frame is late: the frames that still wait, in order. Tracks go on."""
        return self._look_ahead.let_out()

    def _breaks_off(self, frame: Frame) -> bool:
        """True where the source itself says that a frame does not continue the one before."""
        size = frame.geometry.display_size
        broken = frame.discontinuity or (self._display_size is not None and size != self._display_size)
        self._display_size = size
        if broken:
            self._cuts.reset()
        return broken

    def _nothing_new(self, picture_rgb_u8: UInt8Array, seconds: float) -> bool:
        """True when the detector saw this very picture, without a face, within the time of the look-ahead.

        A face that is found at the next look, a cadence's interval away, is then found in time for the look-ahead to
        cover it on every frame since the last one. The interval may rise before that look.
        """
        settings = self._settings
        unseen_frames = self._since_success + self._cadence.largest_interval
        if self._relies_on_failure or unseen_frames > min(settings.depth_frames, settings.stale_after_frames):
            return False
        if settings.depth_seconds is not None:
            elapsed_seconds = seconds - self._looked_seconds
            unseen_seconds = elapsed_seconds * unseen_frames / (self._since_success + 1)
            # Below 0 where time stamps step back: then nothing is known.
            if not 0.0 <= unseen_seconds < settings.depth_seconds - 1e-6:
                return False
        return self._stillness.is_still(picture_rgb_u8)

    def _remember(self, picture_rgb_u8: UInt8Array, *, faces: bool) -> None:
        if faces or self._tracker.has_tracks:
            self._stillness.forget()
        else:
            self._stillness.looked_at(picture_rgb_u8)

    def _observe(self, picture_rgb_u8: UInt8Array, display_from_analysis: Float64Array) -> list[Observation]:
        began = time.perf_counter()
        found = self._detect(picture_rgb_u8)
        self._detect_seconds = time.perf_counter() - began
        least = self._settings.continue_threshold
        observations = [_observation(item, picture_rgb_u8, display_from_analysis, least) for item in found]
        return [item for item in observations if item is not None]

    def _note_failure(self, error: Exception, frame: Frame) -> None:
        self._failures += 1
        self._since_success += 1
        if not self._relies_on_failure:
            _log.warning(
                "detection failed on frame %d (%s); frames are masked whole",
                frame.index,
                type(error).__name__,
            )
        self._relies_on_failure = True
        self._stillness.forget()
        self._cadence.failed()


def _observation(
    found: DetectionLike, picture_rgb_u8: UInt8Array, display_from_analysis: Float64Array, least_score: float
) -> Observation | None:
    """A detection in display px, None where it is too unsure.

    Raises UntrustworthyDetectionError where it is nonsense.
    """
    box = np.asarray(found.box_xyxy_px, dtype=np.float64)
    score = float(found.score)
    if box.shape != (4,) or not np.all(np.isfinite(box)) or not np.isfinite(score):
        raise UntrustworthyDetectionError(
            f"a detection needs a finite box (4,) and score, got {box.shape = }, {score = }"
        )
    if score < least_score or np.any(box[2:] <= box[:2]):
        return None
    points = None if found.points_xy_px is None else np.asarray(found.points_xy_px, dtype=np.float64)
    if points is not None and (points.shape != (5, 2) or not np.all(np.isfinite(points))):
        points = None
    return Observation(
        box_xyxy_px=as_box(_mapped_box(box, display_from_analysis)),
        score=min(score, 1.0),
        points_xy_px=None if points is None else _mapped(points, display_from_analysis).astype(np.float32),
        thumbnail=thumbnail(picture_rgb_u8, box),
    )


def _mapped(points_xy_px: Float64Array, affine: Float64Array) -> Float64Array:
    return np.asarray(points_xy_px @ affine[:, :2].T + affine[:, 2])


def _mapped_box(box_xyxy_px: BoxArray, affine: Float64Array) -> Float64Array:
    """The upright box around a mapped box.

    Exact for the scale and shift that an analysis picture differs by.
    """
    left, top, right, bottom = np.asarray(box_xyxy_px, np.float64)
    corners = _mapped(np.array([[left, top], [right, top], [left, bottom], [right, bottom]]), affine)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _detected_face(track_id: int, item: Observation) -> TrackedFace:
    return TrackedFace(track_id, item.box_xyxy_px, item.score, FaceSource.DETECTED, item.points_xy_px)
