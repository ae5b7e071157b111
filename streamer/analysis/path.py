"""The path of one track over time: its box on any frame, from the observations around it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

from streamer.analysis.boxes import Float64Array, centre, face_size, from_centre, grown, sides, union
from streamer.analysis.observation import Observation
from streamer.frame import FaceSource, Float32Array

# A guessed box moves out by this many face sizes per second on every side, and by no more than the limit.
_GROWTH_PER_SECOND = 0.6
_GROWTH_LIMIT = 0.5
# Motion is believed for about this long beyond the last observation.
_MOTION_SECONDS = 0.25
_VELOCITY_WINDOW_SECONDS = 0.35
_VELOCITY_OBSERVATIONS = 6
_SMOOTHING_SECONDS = 0.06
_SMOOTHING_REACH_SECONDS = 0.15
_SMOOTH_MARGIN = 0.015
_KEPT_BEHIND = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation on the path."""

    number: int
    time_seconds: float
    observation: Observation


@dataclass(frozen=True, slots=True)
class Guess:
    """A face on a frame, observed or not.

    Attributes:
        box_xyxy_px: (4,) float64, what to cover; not clipped.
        core_xyxy_px: (4,) float64, the same before growth.
    """

    box_xyxy_px: Float64Array
    core_xyxy_px: Float64Array
    score: float
    source: FaceSource
    points_xy_px: Float32Array | None


class TrackPath:
    """Observations of one track, in order of frame numbers."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._numbers: list[int] = []

    @property
    def last_number(self) -> int:
        return self._numbers[-1]

    def add(self, number: int, time_seconds: float, observation: Observation) -> None:
        """Append the observation of a later frame."""
        if self._numbers and number <= self._numbers[-1]:
            raise ValueError(f"frames must come in order: {number} after {self._numbers[-1]}")
        self._seen.append(Seen(number, time_seconds, observation))
        self._numbers.append(number)

    def around(self, number: int) -> tuple[Seen | None, Seen | None]:
        """The last observation at or before a frame, and the first one after it."""
        position = bisect_right(self._numbers, number)
        before = self._seen[position - 1] if position else None
        return before, self._seen[position] if position < len(self._seen) else None

    def forget_before(self, number: int) -> None:
        """Drop observations that no frame from `number` on needs; some stay for smoothing and velocity."""
        surplus = bisect_left(self._numbers, number) - _KEPT_BEHIND
        if surplus > 0:
            del self._seen[:surplus], self._numbers[:surplus]

    def observed(self, seen: Seen) -> Guess:
        """The box on a frame with an observation: smoothed over its neighbours in time, both ways.

        Smoothing never uncovers: the result holds the observation's own cover too. It is made a little larger than
        the smooth box, so that the jitter of a detector mostly stays inside and does not drive the outline.
        """
        smooth = self._smoothed(seen)
        box = union(grown(smooth, _SMOOTH_MARGIN * float(face_size(smooth))), seen.observation.cover)
        item = seen.observation
        return Guess(box, box, item.score, FaceSource.DETECTED, item.points_xy_px)

    def between(self, before: Seen, after: Seen, time_seconds: float) -> Guess:
        """Interpolate a gap; the box grows towards the middle of it."""
        span = after.time_seconds - before.time_seconds
        share = (time_seconds - before.time_seconds) / span
        first, last = before.observation, after.observation
        box = (1.0 - share) * np.asarray(first.cover, np.float64) + share * np.asarray(last.cover, np.float64)
        points = None
        if first.points_xy_px is not None and last.points_xy_px is not None:
            points = ((1.0 - share) * first.points_xy_px + share * last.points_xy_px).astype(np.float32)
        nearest = before if share < 0.5 else after
        grown_box = _grown_with_time(box, min(share, 1.0 - share) * span)
        return Guess(grown_box, box, nearest.observation.score, FaceSource.INTERPOLATED, points)

    def outside(self, seen: Seen, time_seconds: float, source: FaceSource) -> Guess:
        """Extend the path beyond its first or last observation, by its motion there, dying away."""
        elapsed = time_seconds - seen.time_seconds
        # The integral of a velocity that decays with the time constant _MOTION_SECONDS.
        believed = float(np.sign(elapsed)) * _MOTION_SECONDS * (1.0 - np.exp(-abs(elapsed) / _MOTION_SECONDS))
        shift = self._velocity(seen, forwards=elapsed < 0.0) * believed
        box = np.asarray(seen.observation.cover, np.float64) + np.concatenate([shift, shift])
        points = seen.observation.points_xy_px
        moved = None if points is None else (points + shift).astype(np.float32)
        # The place last seen stays covered as well: who stops is not uncovered by a motion that was believed.
        grown_box = _grown_with_time(union(box, seen.observation.cover), abs(elapsed))
        return Guess(grown_box, box, seen.observation.score, source, moved)

    def _velocity(self, seen: Seen, *, forwards: bool) -> Float64Array:
        """Least-squares velocity (2,), px per second, over the observations after (or before) `seen`."""
        at = bisect_left(self._numbers, seen.number)
        near = self._seen[at : at + _VELOCITY_OBSERVATIONS]
        if not forwards:
            near = self._seen[max(0, at + 1 - _VELOCITY_OBSERVATIONS) : at + 1]
        near = [
            item for item in near if abs(item.time_seconds - seen.time_seconds) <= _VELOCITY_WINDOW_SECONDS
        ]
        if len(near) < 2:
            return np.zeros(2)
        times = np.array([item.time_seconds for item in near])
        times -= times.mean()
        centres = np.stack([centre(item.observation.box_xyxy_px) for item in near])
        return np.asarray(times @ (centres - centres.mean(axis=0)) / float(times @ times))

    def _smoothed(self, seen: Seen) -> Float64Array:
        """Local linear fit of centre and sides with Gaussian weights in time:

        No lag, and no pull towards the past.
        """
        at = bisect_left(self._numbers, seen.number)
        near = [
            item
            for item in self._seen[max(0, at - 4) : at + 5]
            if abs(item.time_seconds - seen.time_seconds) <= _SMOOTHING_REACH_SECONDS
        ]
        if len(near) < 3:
            return np.asarray(seen.observation.box_xyxy_px, np.float64)
        offsets = np.array([item.time_seconds - seen.time_seconds for item in near])
        weights = np.exp(-0.5 * (offsets / _SMOOTHING_SECONDS) ** 2)
        boxes = np.stack([item.observation.box_xyxy_px for item in near])
        values = np.concatenate([centre(boxes), sides(boxes)], axis=1)
        mean_offset = float(weights @ offsets / weights.sum())
        mean = weights @ values / weights.sum()
        # A slope needs neighbours on both sides; with one side only it would extrapolate noise.
        if offsets.min() < 0.0 < offsets.max():
            centred = offsets - mean_offset
            slope = (weights * centred) @ (values - mean) / float((weights * centred) @ centred)
            mean = mean - mean_offset * slope
        else:
            return np.asarray(seen.observation.box_xyxy_px, np.float64)
        return from_centre(mean[:2], mean[2:])


def _grown_with_time(box: Float64Array, elapsed_seconds: float) -> Float64Array:
    margin_faces = min(_GROWTH_PER_SECOND * elapsed_seconds, _GROWTH_LIMIT)
    return grown(box, margin_faces * float(face_size(box)))
