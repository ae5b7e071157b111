"""Which detections are the same person's from frame to frame.

Two passes in the manner of ByteTrack (Zhang et al., ECCV 2022, section 3): sure detections first, then unsure
ones, which may continue a track but never start one. Faces are small and move more than their own width
between frames at low rates, so association goes by distance in face widths rather than by overlap alone. The
privacy rule comes on top: an identity must not wander from one person to another. Where two faces touch, or a
box suddenly looks different, the tracker asks a coarse colour thumbnail, and in doubt it ends the tracks: a
person who gets a second synthetic identity costs budget, two people who exchange theirs break the promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamer.analysis.association import IMPOSSIBLE, costs, looks_replaced, match
from streamer.analysis.contact import (
    contact_between,
    is_still_owner,
    is_swap_excluded,
    pairs_near_or_in_contact,
)
from streamer.analysis.motion import FaceMotion
from streamer.analysis.observation import Observation, without_duplicates
from streamer.analysis.track import Track

_AMBIGUOUS_COST = 0.15
_UNSURE_GATE_SHARE = 0.6
_THUMBNAIL_BLEND = 0.3


@dataclass(slots=True)
class TrackerStep:
    """What one frame did to the tracks.

    Attributes:
        assigned: track id -> its observation in this frame.
        ended_track_ids: tracks that will never be seen again.
    """

    assigned: dict[int, Observation] = field(default_factory=dict)
    ended_track_ids: list[int] = field(default_factory=list)


class Tracker:
    """Gives every detection a track id. Ids are positive, count up from 1 and are never used again.

    Args:
        start_threshold: detections at least this sure start a track when they continue none.
        continue_threshold: detections at least this sure may continue a track.
        lost_seconds: how long a track that is not seen may still be found again.
    """

    def __init__(
        self, *, start_threshold: float = 0.5, continue_threshold: float = 0.25, lost_seconds: float = 1.0
    ) -> None:
        if not 0.0 < continue_threshold <= start_threshold <= 1.0:
            raise ValueError(f"need 0 < continue <= start <= 1: {continue_threshold=} {start_threshold=}")
        if lost_seconds < 0.0:
            raise ValueError(f"lost_seconds must not be negative: {lost_seconds=}")
        self._start_threshold = start_threshold
        self._continue_threshold = continue_threshold
        self._lost_seconds = lost_seconds
        self._tracks: list[Track] = []
        self._last_id = 0
        self._time_seconds: float | None = None

    @property
    def has_tracks(self) -> bool:
        """True while a track is seen, or may be found again."""
        return bool(self._tracks)

    def end_all(self) -> list[int]:
        """A new shot begins: no track goes on. Returns the ids that ended."""
        ended = [track.track_id for track in self._tracks]
        self._tracks = []
        return ended

    def step(self, observations: Sequence[Observation], time_seconds: float) -> TrackerStep:
        """Take in everything detected in one frame; frames come in order of time, not necessarily evenly."""
        result = TrackerStep()
        self._advance(time_seconds, result)
        faces = without_duplicates(observations, self._start_threshold)
        sure = [item for item in faces if item.score >= self._start_threshold]
        unsure = [item for item in faces if self._continue_threshold <= item.score < self._start_threshold]
        matches = self._match_sure(sure, time_seconds, result)
        free = [track for track in self._tracks if track.track_id not in matches]
        matches.update(self._match(free, unsure, time_seconds, _UNSURE_GATE_SHARE))
        for track in self._tracks:
            if track.track_id in matches:
                self._correct(track, matches[track.track_id], time_seconds)
            else:
                track.missed += 1
        self._settle_contacts(matches, result)
        result.assigned.update(matches)
        taken = {id(item) for item in matches.values()}
        for item in sure:
            if id(item) not in taken:
                result.assigned[self._start(item, time_seconds).track_id] = item
        return result

    def _advance(self, time_seconds: float, result: TrackerStep) -> None:
        step_seconds = 0.0 if self._time_seconds is None else time_seconds - self._time_seconds
        self._time_seconds = time_seconds
        for track in list(self._tracks):
            if time_seconds - track.seen_seconds > self._lost_seconds:
                self._end(track, result)
            else:
                track.motion.predict(step_seconds)

    def _start(self, item: Observation, time_seconds: float) -> Track:
        self._last_id += 1
        track = Track(self._last_id, FaceMotion(item.box_xyxy_px), time_seconds, time_seconds, item.thumbnail)
        self._tracks.append(track)
        return track

    def _end(self, track: Track, result: TrackerStep) -> None:
        self._tracks = [other for other in self._tracks if other is not track]
        result.ended_track_ids.append(track.track_id)

    def _correct(self, track: Track, item: Observation, time_seconds: float) -> None:
        track.motion.correct(item.box_xyxy_px)
        track.seen_seconds, track.missed = time_seconds, 0
        # A thumbnail taken while another face is in the box would learn that face.
        if item.thumbnail is None or track.contacts:
            return
        if track.thumbnail is None:
            track.thumbnail = item.thumbnail
        else:
            track.thumbnail = track.thumbnail + np.float32(_THUMBNAIL_BLEND) * (
                item.thumbnail - track.thumbnail
            )

    def _match_sure(
        self, sure: list[Observation], time_seconds: float, result: TrackerStep
    ) -> dict[int, Observation]:
        """First pass.

        Ends tracks whose place now looks like somebody else, and pairs that might be exchanged.
        """
        matches = self._match(self._tracks, sure, time_seconds, 1.0)
        taken = {id(item) for item in matches.values()}
        for track in list(self._tracks):
            if track.track_id in matches:
                continue
            rest = [item for item in sure if id(item) not in taken]
            if any(looks_replaced(track, item, time_seconds) for item in rest):
                self._end(track, result)
        for track in self._exchangeable(matches, time_seconds):
            matches.pop(track.track_id, None)
            self._end(track, result)
        return matches

    def _match(
        self, tracks: list[Track], items: list[Observation], time_seconds: float, gate_share: float
    ) -> dict[int, Observation]:
        if not tracks or not items:
            return {}
        pairs = match(costs(tracks, items, time_seconds, gate_share))
        return {tracks[row].track_id: items[column] for row, column in pairs}

    def _exchangeable(self, matches: dict[int, Observation], time_seconds: float) -> list[Track]:
        """Tracks whose detection another track could claim almost as well, and appearance does not decide.

        Faces in contact are left to `_settle_contacts`, which judges once they are apart and clean again.
        """
        if len(self._tracks) < 2 or not matches:
            return []
        items = list(matches.values())
        column = {track_id: position for position, track_id in enumerate(matches)}
        cost = costs(self._tracks, items, time_seconds)
        claimed = cost < IMPOSSIBLE
        if claimed.sum() == len(items):
            return []
        doubtful: list[Track] = []
        for row, owner in enumerate(self._tracks):
            place = column.get(owner.track_id)
            if place is None:
                continue
            for rival_row in np.flatnonzero(claimed[:, place]).tolist():
                rival = self._tracks[rival_row]
                if rival is owner or rival.track_id in owner.contacts or not owner.was_seen_beside(rival):
                    continue
                rivals = column.get(rival.track_id)
                gain = cost[rival_row, place] - cost[row, place]
                if rivals is not None:
                    gain += cost[row, rivals] - cost[rival_row, rivals]
                pair = (items[place], None if rivals is None else items[rivals])
                if gain <= _AMBIGUOUS_COST and not is_swap_excluded(owner, rival, pair, deep=True):
                    doubtful += [track for track in (owner, rival) if track not in doubtful]
        return doubtful

    def _settle_contacts(self, matches: dict[int, Observation], result: TrackerStep) -> None:
        """Open, follow and close contacts; end the tracks that may have been exchanged in one."""
        alive = {track.track_id: track for track in self._tracks}
        for track in self._tracks:
            for other_id, contact in list(track.contacts.items()):
                if other_id not in alive:
                    # The other was lost behind or in front of this one: whose face is still here?
                    del track.contacts[other_id]
                    item = matches.get(track.track_id)
                    if item is not None and not is_still_owner(contact, track, item):
                        matches.pop(track.track_id)
                        self._end(track, result)
                        break
        for first, second in pairs_near_or_in_contact(self._tracks):
            if first in self._tracks and second in self._tracks:
                self._settle_pair(first, second, matches, result)

    def _settle_pair(
        self, first: Track, second: Track, matches: dict[int, Observation], result: TrackerStep
    ) -> None:
        items = (matches.get(first.track_id), matches.get(second.track_id))
        contact, apart = contact_between(first, second, both_seen=None not in items)
        if contact is None or not apart:
            return
        if items == (None, None):
            return
        del first.contacts[second.track_id], second.contacts[first.track_id]
        if not is_swap_excluded(first, second, items, deep=contact.deep):
            for track in (first, second):
                matches.pop(track.track_id, None)
                self._end(track, result)
