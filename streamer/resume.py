"""What `resume` takes for done: an output that is complete, and that was made of this input as far as can be told."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path

import av

from streamer.errors import VeilstreamError
from streamer.report import input_sha256, sha256_of_file
from streamer.sink.marks import carries_mark
from streamer.source import IMAGE_SUFFIXES, StreamInfo, open_source

# Containers count in units of their own, and some only by the last packet.
_DURATION_SLACK_SECONDS = 0.25
_DURATION_SLACK_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class NotedHashes:
    """Of an input and its output, in hex, as a report holds them."""

    input_sha256: str
    output_sha256: str


def why_not_done(input_path: Path, output_path: Path, noted: NotedHashes | None = None) -> str | None:
    """Why an output that exists must be made anew; None when it need not.

    Outputs appear whole or not at all, so one that carries the mark is complete; that it was made of this input is sure
    only by the hashes of a report. Without these, size and duration are compared.

    Raises:
        OSError: the output cannot be read.
        InputError: the input cannot.
    """
    if noted is not None:
        if sha256_of_file(output_path) != noted.output_sha256:
            return "is not the file that the report tells of"
        changed = input_path.exists() and input_sha256(input_path) != noted.input_sha256
        return "was made of another input than there is now" if changed else None
    is_picture = output_path.suffix.lower() in IMAGE_SUFFIXES
    try:
        # Pictures of some formats have no mark: of them only a copy of the input is known to be no output.
        if not is_picture and not carries_mark(output_path):
            return "is no complete output of veilstream, or of a format without marks"
    except av.error.FFmpegError:
        return "is no complete output of veilstream"
    if output_path.stat().st_size == 0:
        return "is no complete output of veilstream"
    if not input_path.exists():
        return None
    if is_picture and filecmp.cmp(output_path, input_path, shallow=False):
        return "is a copy of the input"
    return _difference(input_path, output_path)


def _difference(input_path: Path, output_path: Path) -> str | None:
    try:
        with open_source(input_path) as source, open_source(output_path) as output:
            before, after = source.stream_info, output.stream_info
    except VeilstreamError:
        # Of an input that cannot be read it cannot be made anew either.
        return None
    if _display_size(before) != _display_size(after):
        return "shows pictures of another size than the input"
    if after.is_image:
        return None
    lasted, lasts = _durations_seconds(input_path), _durations_seconds(output_path)
    # Some containers state how long the picture lasts, others how long the longest track does.
    if not lasted or not lasts or any(_about_equal(one, other) for one in lasted for other in lasts):
        return None
    return f"lasts {max(lasts):.1f} s, the input {max(lasted):.1f} s"


def _durations_seconds(path: Path) -> list[float]:
    """Of the container and of its picture, where known."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [] if container.duration is None else [container.duration / av.time_base]
        if stream.duration is not None and stream.time_base is not None:
            found.append(float(stream.duration * stream.time_base))
    return found


def _about_equal(one_seconds: float, other_seconds: float) -> bool:
    slack = max(_DURATION_SLACK_SECONDS, _DURATION_SLACK_SHARE * one_seconds)
    return abs(one_seconds - other_seconds) <= slack


def _display_size(info: StreamInfo) -> tuple[int, int]:
    """Without the last pixel, which some encoders need to be there."""
    width, height = info.width // 2, info.height // 2
    return (height, width) if info.rotation_degrees % 180 else (width, height)
