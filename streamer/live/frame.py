"""A frame of a live source, and the clock that all of the gateway counts in."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from streamer.frame import Frame

# What RTP, MPEG-TS and thereby every push protocol but RTMP count in.
CLOCK = Fraction(1, 90_000)
TICKS_PER_SECOND = 90_000


@dataclass(slots=True)
class LiveFrame(Frame):
    """A frame that remembers where it came from.

    Attributes:
        arrived_seconds: when its packet arrived, monotonic seconds; None for a placeholder.
        connection: number of the connection it came by.
        interval_seconds: usual time between two frames of the source.
    """

    arrived_seconds: float | None = None
    connection: int = 0
    interval_seconds: float = 0.04
