"""What every sink offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

from streamer.render.compositor import AnonymizedFrame

_Self = TypeVar("_Self", bound="FrameSink")


class FrameSink(ABC):
    """Takes anonymized frames, and nothing else. A context manager: leaving it without `finish` aborts.

    Attributes:
        notices: one line for each thing that is not in the output as it was in the input.
    """

    notices: list[str]

    @abstractmethod
    def write(self, frame: AnonymizedFrame) -> None:
        """Take the next frame, in order. Raises OutputError; TypeError for another type."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the output and put it in its place. Raises OutputError."""

    @abstractmethod
    def abort(self) -> None:
        """Leave nothing behind. May be called at any time; does nothing after `finish`."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()
