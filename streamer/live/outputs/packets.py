"""What travels from an encoder to the outputs that share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from streamer.live.frame import CLOCK


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What a muxer must know before the first packet.

    Attributes:
        codec: "h264" or "hevc".
        template: an opened encoder's stream; its parameters are copied into each container.
    """

    codec: str
    width: int
    height: int
    template: VideoStream


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One encoded picture. Nothing in it changes any more: any number of threads may send it.

    Attributes:
        data: the picture's NAL units; those of a key frame begin with the parameter sets.
        pts: in units of `CLOCK`. Pictures are not reordered, so it is the decoding time too.
        arrived_seconds: when the camera's packet came in, monotonic; None for a placeholder.
    """

    head: StreamHead
    data: bytes
    pts: int
    duration: int
    is_key: bool
    arrived_seconds: float | None


def add_stream(container: OutputContainer, head: StreamHead) -> VideoStream:
    """The stream of a container that is to carry these packets."""
    stream = container.add_stream_from_template(head.template)
    assert isinstance(stream, VideoStream)
    stream.time_base = CLOCK
    return stream


def packet_for(stream: VideoStream, packet: EncodedPacket, origin: int = 0) -> Packet[Any]:
    """A packet for a muxer, `origin` ticks earlier."""
    copy: Packet[Any] = av.Packet(packet.data)
    copy.stream = stream
    copy.time_base = CLOCK
    copy.pts = copy.dts = packet.pts - origin
    copy.duration = packet.duration
    copy.is_keyframe = packet.is_key
    return copy
