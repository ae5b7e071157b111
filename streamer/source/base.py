"""What every source of frames offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from streamer.frame import Frame, StreamGeometry
from streamer.source.info import StreamInfo

_Self = TypeVar("_Self", bound="VideoSource")


class VideoSource(ABC):
    """A finite sequence of frames, to be iterated once. A context manager: leaving it closes the file.

    Attributes:
        geometry: the same for every frame.
        stream_info: what the container says.
        notices: one line for each thing that could not be taken as it was; complete once iteration has ended.
        damaged: packets that could not be decoded.
        masked: damaged pictures that are masked whole; complete once iteration has ended.
    """

    geometry: StreamGeometry
    stream_info: StreamInfo
    notices: list[str]
    damaged: int
    masked: int = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames in display order, pts strictly increasing."""

    @abstractmethod
    def close(self) -> None:
        """Stop decoding and let go of the file. May be called at any time, and again."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
