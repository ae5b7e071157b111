"""Streaming video anonymization: every face becomes a synthetic person, one per track, under a stated epsilon."""

from __future__ import annotations

from streamer.job import JobResult, JobRunner, anonymize_file
from streamer.pipeline import Cancelled
from streamer.settings import AnonymizeSettings, ReplaceWith, make_settings

__all__ = [
    "AnonymizeSettings",
    "Cancelled",
    "JobResult",
    "JobRunner",
    "ReplaceWith",
    "anonymize_file",
    "make_settings",
]
