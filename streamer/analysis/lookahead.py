"""Frames wait here a little, so that a face found late is covered from before it was found.

What is guaranteed, with `depth` frames of delay:

* every observation is covered on its own frame, whatever the depth;
* a gap of at most `depth` frames between two observations of a track is interpolated on every frame;
* of a longer gap the last `depth` frames are interpolated and the first ones held, as after the last
  observation;
* up to min(depth, `backfill`) frames before a track's first observation are covered;
* after its last observation a track is held for `hold` frames; where a live source lets frames go, for
  `hold_seconds` and at least a few frames;
* none of the last four reaches across a scene cut.

Boxes at frames without an observation grow with the time to the nearest one, because their place is a guess.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from streamer.analysis.boxes import (
    Float64Array,
    as_box,
    clipped,
    drawn_to_border,
    face_size,
    oval_share_inside,
    share_inside,
)
from streamer.analysis.observation import Observation
from streamer.analysis.path import Guess, Seen, TrackPath
from streamer.frame import AnalyzedFrame, FaceSource, Frame, TrackedFace

# A guessed box with this share of it in an observed one is behind it, or the same face; no face of its own to render.
_BEHIND_BOX_SHARE = 0.7
# A guessed oval with this share of it in observed ovals is painted over with them.
_PAINTED_OVAL_SHARE = 0.95
_SHOTS_KEPT = 1000
# A detector that misses a face misses it again in the next frame, more often than not.
LEAST_HELD_FRAMES = 4
_BORDER_REACH = 0.12


@dataclass(slots=True)
class _Waiting:
    """A frame that waits for its future."""

    number: int
    time_seconds: float
    result: AnalyzedFrame


@dataclass(slots=True)
class _Candidate:
    face: TrackedFace
    guess: Guess


class _Shots:
    """Frame numbers at which shots began.

    The oldest are forgotten, so that weeks of video stay flat in memory.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []

    def begin(self, number: int) -> None:
        self._starts.append(number)
        del self._starts[:-_SHOTS_KEPT]

    def same(self, first: int, second: int) -> bool:
        """True when no shot begins after the earlier of two frames, up to and with the later one."""
        return bisect_right(self._starts, first) == bisect_right(self._starts, second)


class LookAhead:
    """Delays frames by `depth_frames` and completes each track's path over them.

    Args:
        depth_frames: frames held back; 0 gives every frame out at once, with no interpolation and no
            backfill.
        depth_seconds: frames wait no longer than this behind the newest one, though fewer than `depth_frames`
            may then wait: a live source whose rate drops must not grow its delay. None sets no limit.
        backfill_frames: frames before a track's first observation that are covered (as far as `depth_frames`
            reaches).
        hold_frames: frames after its last observation on which a track stays covered.
        hold_seconds: and no longer than this, but for `LEAST_HELD_FRAMES`, though fewer frames may have come: of a
            live source too slow for all its frames, `hold_frames` last for seconds. None sets no limit.
    """

    def __init__(
        self,
        *,
        depth_frames: int,
        backfill_frames: int,
        hold_frames: int,
        depth_seconds: float | None = None,
        hold_seconds: float | None = None,
    ) -> None:
        if min(depth_frames, backfill_frames, hold_frames) < 0:
            raise ValueError(f"must not be negative: {depth_frames=} {backfill_frames=} {hold_frames=}")
        self._depth = depth_frames
        self._depth_seconds = depth_seconds
        self._backfill = backfill_frames
        self._hold = hold_frames
        self._hold_seconds = hold_seconds
        self._waiting: deque[_Waiting] = deque()
        self._paths: dict[int, TrackPath] = {}
        self._ended: set[int] = set()
        self._shots = _Shots()
        self._pushed = 0
        self._last_seconds: float | None = None

    def push(
        self,
        frame: Frame,
        assigned: Mapping[int, Observation],
        *,
        ended_track_ids: Iterable[int] = (),
        scene_cut: bool = False,
        detector_failed: bool = False,
    ) -> list[AnalyzedFrame]:
        """Take in the next frame with its tracks' observations.

        Returns the frames that have waited long enough.
        """
        number, seconds = self._pushed, self._clock(frame)
        self._pushed += 1
        if scene_cut:
            self._shots.begin(number)
        self._ended.update(ended_track_ids)
        for track_id, observation in assigned.items():
            self._paths.setdefault(track_id, TrackPath()).add(number, seconds, observation)
        result = AnalyzedFrame(frame, scene_cut=scene_cut, detector_failed=detector_failed)
        self._waiting.append(_Waiting(number, seconds, result))
        ready = []
        while len(self._waiting) > self._depth or self._waited_long(seconds):
            ready.append(self._emit())
        return ready

    def _waited_long(self, newest_seconds: float) -> bool:
        """True while the oldest frame is `depth_seconds` older than the newest one."""
        if self._depth_seconds is None or not self._waiting:
            return False
        return newest_seconds - self._waiting[0].time_seconds > self._depth_seconds - 1e-6

    def flush(self) -> list[AnalyzedFrame]:
        """The stream ended:

        Everything that still waits. Tracks that show on the last frame are not told as ended.
        """
        self._ended.update(self._paths)
        return self.let_out()

    def let_out(self) -> list[AnalyzedFrame]:
        """Everything that still waits, without an end of its tracks."""
        return [self._emit() for _ in range(len(self._waiting))]

    def _clock(self, frame: Frame) -> float:
        """Seconds of the frame, forced to rise: broken time stamps must not turn motion around."""
        seconds = frame.pts_seconds
        if self._last_seconds is not None and not seconds > self._last_seconds:
            seconds = self._last_seconds + 1e-3
        self._last_seconds = seconds
        return seconds

    def _emit(self) -> AnalyzedFrame:
        waiting = self._waiting.popleft()
        result = waiting.result
        size = result.frame.geometry.display_size
        candidates = []
        for track_id, path in self._paths.items():
            guess = self._guess(path, waiting)
            box = None if guess is None else _inside(guess.box_xyxy_px, size)
            if guess is not None and box is not None:
                face = TrackedFace(track_id, as_box(box), guess.score, guess.source, guess.points_xy_px)
                candidates.append(_Candidate(face, guess))
        result.faces = _without_covered(candidates, size)
        result.ended_track_ids = self._forget(waiting.number)
        return result

    def _guess(self, path: TrackPath, waiting: _Waiting) -> Guess | None:
        """The track's box on a waiting frame, or None where it does not reach there."""
        number, seconds = waiting.number, waiting.time_seconds
        before, after = path.around(number)
        if before is not None and not self._shots.same(before.number, number):
            before = None
        if after is not None and not self._shots.same(number, after.number):
            after = None
        if before is not None and before.number == number:
            return path.observed(before)
        if before is not None and after is not None:
            return path.between(before, after, seconds)
        if after is not None and after.number - number <= self._backfill:
            return path.outside(after, seconds, FaceSource.BACKFILLED)
        if before is not None and self._is_held(before, waiting):
            return path.outside(before, seconds, FaceSource.HELD)
        return None

    def _is_held(self, last: Seen, waiting: _Waiting) -> bool:
        frames = waiting.number - last.number
        if frames > self._hold or self._hold_seconds is None:
            return frames <= self._hold
        return frames <= LEAST_HELD_FRAMES or waiting.time_seconds - last.time_seconds <= self._hold_seconds

    def _forget(self, number: int) -> list[int]:
        """Drop what no later frame can show.

        Returns the ended tracks that cannot show on `number` any more.
        """
        gone = []
        for track_id, path in list(self._paths.items()):
            last = path.last_number
            out_of_reach = number > last + self._hold or (
                number > last and not self._shots.same(last, number)
            )
            if track_id in self._ended and out_of_reach:
                del self._paths[track_id]
                self._ended.discard(track_id)
                gone.append(track_id)
            else:
                path.forget_before(number)
        return gone


def _inside(box_xyxy_px: Float64Array, size: tuple[int, int]) -> Float64Array | None:
    """What of the box to cover in a picture of `size`, up to its border where it ends close to it."""
    if clipped(box_xyxy_px, size) is None:
        return None
    return clipped(drawn_to_border(box_xyxy_px, size, _BORDER_REACH * float(face_size(box_xyxy_px))), size)


def _without_covered(candidates: list[_Candidate], size: tuple[int, int]) -> list[TrackedFace]:
    """Settle guessed faces that lie mostly under an observed face of another track.

    A held box behind somebody, or the old and the new track of one face, would otherwise be painted twice. Of the
    observed face an oval is painted, not the box: a guessed one whose own oval lies in such ovals is dropped; of any
    other, what stands out of them is covered plainly. Guesses are judged by their box before growth, so that a box
    grown large in doubt does not escape for its size alone, and covered so: most of them are the face that is observed.
    """
    sure = [item.guess.core_xyxy_px for item in candidates if item.face.source is FaceSource.DETECTED]
    guessed = [item for item in candidates if item.face.source in (FaceSource.HELD, FaceSource.BACKFILLED)]
    if not sure or not guessed:
        return [item.face for item in candidates]
    cores, fronts = np.stack([item.guess.core_xyxy_px for item in guessed]), np.stack(sure)
    in_box, in_oval = share_inside(cores, fronts).max(axis=1), oval_share_inside(cores, fronts)
    dropped = set()
    for item, box_share, oval_share in zip(guessed, in_box, in_oval, strict=True):
        if box_share < _BEHIND_BOX_SHARE:
            continue
        core = _inside(item.guess.core_xyxy_px, size)
        if oval_share >= _PAINTED_OVAL_SHARE or core is None:
            dropped.add(item.face.track_id)
        else:
            item.face.box_xyxy_px, item.face.plain = as_box(core), True
    return [item.face for item in candidates if item.face.track_id not in dropped]
