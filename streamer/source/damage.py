"""Which decoded pictures are whole: a decoder paints something over what it lost, and goes on to refer to it.

After a damaged picture, all that is decoded up to the next key frame may refer to it. So may pictures that come out
before it, where pictures are reordered: each therefore waits until all that was decoded before it has come out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import av

# Decoders reorder no more pictures than this (H.264, A.3.1; HEVC, A.4.2): what is later came to nothing.
_MOST_REORDERED = 16


class Decoded(NamedTuple):
    """A picture of the stream.

    Attributes:
        video: None where the decoder made nothing of its packet.
        pts, duration: its time, in units of the stream's time base; None where the file gives none.
        is_whole: True where the decoder had all that the picture was made of.
    """

    video: av.VideoFrame | None
    pts: int | None
    duration: int | None
    is_whole: bool


@dataclass(slots=True)
class _Sent:
    """A packet whose picture has not come out. `suspect`: the decoder failed meanwhile."""

    pts: int | None
    duration: int | None
    is_key: bool
    is_corrupt: bool
    suspect: bool = False


@dataclass(slots=True)
class _Waiting:
    """A picture that waits. `is_entry`: its packet says that decoding may begin there."""

    number: int
    video: av.VideoFrame | None
    pts: int | None
    duration: int | None
    is_damaged: bool
    is_key: bool = False
    is_entry: bool = False


@dataclass(slots=True)
class _Damage:
    """Pictures with numbers from `start` up to but without `end` may be damaged.

    `wave`: where an intra refresh began, which is complete at the next one.
    """

    start: int
    end: int | None = None
    wave: int | None = None


class DamageGuard:
    """Numbers the packets of a decoder and tells which of its pictures are whole.

    The decoder must copy `opaque` from packets to frames (`av.codec.context.Flags.copy_opaque`).
    """

    def __init__(self) -> None:
        self._sent = 0
        self._newest = -1
        self._failures = 0
        self._open: dict[int, _Sent] = {}
        self._waiting: deque[_Waiting] = deque()
        self._damages: list[_Damage] = []
        self._given_pts: int | None = None

    def send(self, packet: Any) -> None:
        """A packet is about to go into the decoder."""
        if packet.size:
            packet.opaque = self._sent
            self._open[self._sent] = _Sent(packet.pts, packet.duration, packet.is_keyframe, packet.is_corrupt)
            self._sent += 1

    def failed(self) -> None:
        """The decoder refused a packet. With several threads it is any of those that are in it."""
        self._failures += 1
        for sent in self._open.values():
            sent.suspect = True

    def take(self, videos: Iterable[av.VideoFrame]) -> list[Decoded]:
        """Pictures came out of the decoder; those that need not wait any longer, in order."""
        for video in videos:
            self._add(video)
        while self._open and self._newest - next(iter(self._open)) > _MOST_REORDERED:
            self._give_up()
        return self._ready()

    def finish(self) -> list[Decoded]:
        """No more pictures come: those that still wait, in order."""
        while self._open:
            self._give_up()
        return self._ready()

    def _add(self, video: av.VideoFrame) -> None:
        number = video.opaque if isinstance(video.opaque, int) else next(iter(self._open), self._newest + 1)
        sent = self._open.pop(number, None)
        is_damaged = bool(video.is_corrupt or (sent is not None and sent.is_corrupt))
        is_entry = sent is not None and sent.is_key
        if is_damaged:
            self._damages.append(_Damage(number))
        while video.key_frame and next(iter(self._open), number) < number:
            # What was decoded before a key frame comes out before it, or, as where a stream is joined, never.
            self._give_up()
        self._waiting.append(
            _Waiting(number, video, video.pts, video.duration, is_damaged, bool(video.key_frame), is_entry)
        )
        self._newest = max(self._newest, number)

    def _give_up(self) -> None:
        """No picture comes of the oldest packet. Of many none has to: a second field, a picture that is not shown."""
        number = next(iter(self._open))
        sent = self._open.pop(number)
        if not sent.suspect:
            return
        self._damages.append(_Damage(number))
        given = self._given_pts
        if self._failures == 0 or sent.pts is None or (given is not None and sent.pts <= given):
            return
        self._failures -= 1
        lost = _Waiting(number, None, sent.pts, sent.duration, is_damaged=True)
        later = [
            place for place, item in enumerate(self._waiting) if item.pts is not None and item.pts > sent.pts
        ]
        self._waiting.insert(later[0] if later else len(self._waiting), lost)

    def _ready(self) -> list[Decoded]:
        ready = []
        while self._waiting and not self._must_wait(self._waiting[0]):
            item = self._waiting.popleft()
            self._given_pts = item.pts if item.pts is not None else self._given_pts
            ready.append(Decoded(item.video, item.pts, item.duration, self._is_whole(item)))
        return ready

    def _must_wait(self, picture: _Waiting) -> bool:
        """True while something decoded before it has not come out, or another may have to stand in before it."""
        if next(iter(self._open), self._sent) < picture.number:
            return True
        pts = picture.pts
        suspects = [sent.pts for sent in self._open.values() if sent.suspect and sent.pts is not None]
        return pts is not None and any(suspect < pts for suspect in suspects)

    def _is_whole(self, picture: _Waiting) -> bool:
        number = picture.number
        for damage in self._damages:
            if picture.is_damaged or damage.end is not None or damage.start >= number:
                continue
            if picture.is_key or (picture.is_entry and damage.wave is not None):
                damage.end = number
            elif picture.is_entry:
                damage.wave = number
        self._damages = [
            item for item in self._damages if item.end is None or number - item.end <= 2 * _MOST_REORDERED
        ]
        return not any(
            item.start <= number and (item.end is None or number < item.end) for item in self._damages
        )
