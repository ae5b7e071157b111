"""From a file to frames: a decode thread, exact time stamps, one clear line for a bad file."""

from streamer.source.base import VideoSource
from streamer.source.info import ColorTags, StreamInfo
from streamer.source.open import IMAGE_SUFFIXES, open_source

__all__ = ["IMAGE_SUFFIXES", "ColorTags", "StreamInfo", "VideoSource", "open_source"]
