"""What the tracker knows of one person."""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer.analysis.appearance import distance as appearance_distance
from streamer.analysis.motion import FaceMotion
from streamer.analysis.observation import Observation
from streamer.frame import Float32Array


@dataclass(slots=True)
class Contact:
    """A meeting of two tracks, as one of them keeps it.

    Attributes:
        rival_thumbnail: what the other one looked like before they met.
        deep: True once they were so close, or one of them unseen, that motion cannot tell who is who.
    """

    rival_thumbnail: Float32Array | None
    deep: bool = False


@dataclass(slots=True)
class Track:
    """One person followed without interruption of sight longer than the tracker's patience.

    Attributes:
        missed: detections since the last one that saw this track.
        contacts: faces it touches, by track id.
    """

    track_id: int
    motion: FaceMotion
    started_seconds: float
    seen_seconds: float
    thumbnail: Float32Array | None
    missed: int = 0
    contacts: dict[int, Contact] = field(default_factory=dict)

    def was_seen_beside(self, other: Track) -> bool:
        """False where one began after the other was last seen: nobody can have been exchanged then."""
        return self.started_seconds <= other.seen_seconds and other.started_seconds <= self.seen_seconds

    def look_distance(self, observation: Observation) -> float | None:
        """Appearance distance to an observation, or None where either has no thumbnail."""
        if self.thumbnail is None or observation.thumbnail is None:
            return None
        return appearance_distance(self.thumbnail, observation.thumbnail)
