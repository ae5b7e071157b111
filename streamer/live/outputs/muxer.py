"""What an output writes with: one connection, or one run of files."""

from __future__ import annotations

from abc import ABC, abstractmethod

from av.container import OutputContainer
from av.video.stream import VideoStream

from streamer.live.outputs.packets import EncodedPacket, StreamHead, add_stream, packet_for


class Muxer(ABC):
    """Used by one thread, from `open` to `close`."""

    @abstractmethod
    def open(self, head: StreamHead) -> None:
        """Connect. Raises whatever the library raises."""

    @abstractmethod
    def write(self, packet: EncodedPacket) -> None:
        """Write a packet; the first one is a key frame."""

    @abstractmethod
    def close(self) -> None:
        """Complete what was written. Called once, also after a failure."""


class ContainerMuxer(Muxer):
    """One container from beginning to end. Time stamps go out as they are, so that they rise across runs too."""

    def __init__(self) -> None:
        self._open_one: tuple[OutputContainer, VideoStream] | None = None

    @abstractmethod
    def _container(self) -> OutputContainer:
        """Open the container. Raises whatever the library raises."""

    def open(self, head: StreamHead) -> None:
        container = self._container()
        try:
            self._open_one = (container, add_stream(container, head))
            container.start_encoding()
        except BaseException:
            # Its header was not written, so there is nothing to complete.
            self._open_one = None
            container.close()
            raise

    def write(self, packet: EncodedPacket) -> None:
        if self._open_one is None:
            raise ValueError("the output is not open")
        container, stream = self._open_one
        container.mux(packet_for(stream, packet))

    def close(self) -> None:
        opened, self._open_one = self._open_one, None
        if opened is not None:
            opened[0].close()
