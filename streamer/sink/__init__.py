"""From anonymized frames to a file: an encode thread, and the rest of the input kept or named."""

from streamer.sink.base import FrameSink
from streamer.sink.containers import SYNTHETIC_MARK
from streamer.sink.open import open_sink

__all__ = ["SYNTHETIC_MARK", "FrameSink", "open_sink"]
