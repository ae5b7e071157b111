"""What happens to files: frames, time stamps, sound, rotation, colours and tags, before against after.

    python -m benchmarks.fidelity --data FOLDER [--json OUT.json] [--anonymize]

Every file below FOLDER goes through source and sink; with `--anonymize`, through the whole product. Prints a
Markdown table: what differs and what was announced, or the one line with which the file was refused.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from streamer.errors import VeilstreamError
from streamer.frame import AnalyzedFrame
from streamer.render.compositor import Compositor
from streamer.settings import ReplaceWith
from streamer.sink import open_sink
from streamer.source import open_source
from streamer.source.opening import LENIENT_TAGS, is_cover
from streamer.source.orientation import clockwise_turn, display_matrix_of

_FIRST_COLUMNS = ("file", "result", "codec", "frames", "kept", "differs")
_SKIP_SUFFIXES = frozenset({".md", ".txt", ".sh", ".json", ".csv", ".py"})
Process = Callable[[Path, Path], list[str]]


@dataclass(slots=True)
class FileFacts:
    """What can be compared between two files.

    Attributes:
        pts_seconds: of every frame, exact.
        sound: per audio track: codec, and a hash over the payloads of its packets.
        sound_pts_seconds: per audio track, of every packet.
    """

    container: str
    codec: str
    pixel_format: str
    size: tuple[int, int]
    pts_seconds: list[Fraction]
    rotation: int
    sample_aspect: Fraction
    colors: tuple[int, int, int, int]
    bit_depth: int
    video_tracks: int
    sound: list[tuple[str, str]] = field(default_factory=list)
    sound_pts_seconds: list[list[Fraction | None]] = field(default_factory=list)
    subtitles: list[tuple[str, str]] = field(default_factory=list)
    chapters: list[tuple[Fraction, Fraction, str | None]] = field(default_factory=list)
    languages: list[str | None] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


def facts_of(path: Path) -> FileFacts:
    """Read a whole file."""
    pts: list[Fraction] = []
    first: av.VideoFrame | None = None
    with av.open(str(path), **LENIENT_TAGS) as container:
        stream = next(item for item in container.streams.video if not is_cover(item))
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.FFmpegError):
                for frame in packet.decode():
                    first = first or frame
                    pts.append(Fraction(frame.pts or 0) * Fraction(frame.time_base or stream.time_base or 1))
        if first is None:
            raise ValueError(f"{path} has no frame")
        described = av.VideoFormat(first.format.name)
        facts = FileFacts(
            container=container.format.name,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=first.format.name,
            size=(first.width, first.height),
            pts_seconds=pts,
            rotation=clockwise_turn(display_matrix_of(first)),
            sample_aspect=stream.sample_aspect_ratio or Fraction(1),
            # Untagged YUV is limited: whether a stream says so is no difference.
            colors=(first.color_range or 1, first.color_primaries, first.color_trc, first.colorspace),
            bit_depth=described.components[0].bits,
            video_tracks=len(container.streams.video),
            languages=[item.metadata.get("language", "und") for item in container.streams.audio],
            tags=dict(container.metadata),
        )
        for chapter in container.chapters():
            base = Fraction(chapter["time_base"])
            title = chapter["metadata"].get("title")
            facts.chapters.append((chapter["start"] * base, chapter["end"] * base, title))
    _read_side_streams(path, facts)
    return facts


def _read_side_streams(path: Path, facts: FileFacts) -> None:
    with av.open(str(path), **LENIENT_TAGS) as container:
        streams = [*container.streams.audio, *container.streams.subtitles]
        digests = {item.index: hashlib.sha256() for item in streams}
        stamps: dict[int, list[Fraction | None]] = {item.index: [] for item in streams}
        if streams:
            with contextlib.suppress(av.error.FFmpegError):
                for packet in container.demux(streams):
                    if packet.size:
                        digests[packet.stream_index].update(bytes(packet))
                        base = Fraction(packet.time_base)
                        stamps[packet.stream_index].append(None if packet.pts is None else packet.pts * base)
        for item in streams:
            name = "unknown" if item.codec_context is None else item.codec_context.codec.canonical_name
            entry = (name, digests[item.index].hexdigest())
            if item.type == "audio":
                facts.sound.append(entry)
                facts.sound_pts_seconds.append(stamps[item.index])
            else:
                facts.subtitles.append(entry)


def pass_through(source_path: Path, output_path: Path) -> list[str]:
    """Source to sink with nothing between; gives the notices of both."""
    compositor = Compositor(None, ReplaceWith.SOLID)
    with (
        open_source(source_path) as source,
        open_sink(output_path, source.stream_info, copy_from=source_path) as sink,
    ):
        for frame in source:
            sink.write(compositor.compose(AnalyzedFrame(frame)))
        sink.finish()
        return [*source.notices, *sink.notices]


def anonymize(source_path: Path, output_path: Path) -> list[str]:
    """The whole product, with its defaults."""
    import streamer

    report = streamer.anonymize_file(source_path, output_path)
    return list(getattr(report, "notices", []))


def compare(before: FileFacts, after: FileFacts) -> tuple[list[str], list[str]]:
    """What is equal, and what differs, by name."""
    checks: dict[str, tuple[Any, Any]] = {
        "frames": (len(before.pts_seconds), len(after.pts_seconds)),
        "pts": (before.pts_seconds, after.pts_seconds),
        "codec": (before.codec, after.codec),
        "size": (before.size, after.size),
        "depth": (before.bit_depth, after.bit_depth),
        "format": (before.pixel_format, after.pixel_format),
        "rotation": (before.rotation, after.rotation),
        "aspect": (before.sample_aspect, after.sample_aspect),
        "colours": (before.colors, after.colors),
    }
    if before.sound or after.sound:
        checks["sound"] = (before.sound, after.sound)
        checks["sound pts"] = (before.sound_pts_seconds, after.sound_pts_seconds)
        checks["languages"] = (before.languages, after.languages)
    if before.subtitles or after.subtitles:
        checks["subtitles"] = (before.subtitles, after.subtitles)
    if before.chapters or after.chapters:
        checks["chapters"] = (before.chapters, after.chapters)
    kept = [name for name, (a, b) in checks.items() if a == b]
    differs = [f"{name}: {_difference(a, b)}" for name, (a, b) in checks.items() if a != b]
    if after.video_tracks != 1:
        differs.append(f"{after.video_tracks} video tracks in the output")
    return kept, differs


def _difference(before: Any, after: Any) -> str:
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        if before and isinstance(before[0], list):
            return "; ".join(_difference(a, b) for a, b in zip(before, after, strict=True) if a != b)
        places = [index for index, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        at = places[0]
        first = f"{_text(before[at])} -> {_text(after[at])}"
        return f"{len(places)} of {len(before)}, first at {at}: {first}"
    if isinstance(before, list) and isinstance(after, list):
        return f"{len(before)} -> {len(after)} entries"
    return f"{_text(before)} -> {_text(after)}"


def _text(value: Any) -> str:
    if isinstance(value, Fraction):
        return f"{float(value):.6f}"
    if isinstance(value, tuple):
        return "(" + ", ".join(_text(item) for item in value) + ")"
    return str(value)[:40]


@dataclass(slots=True)
class Row:
    """What happened to one file."""

    file: str
    result: str
    codec: str = ""
    frames: str = ""
    kept: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def examine(path: Path, name: str, folder: Path, process: Process) -> Row:
    """Send one file through and compare."""
    output = folder / path.name
    start = time.perf_counter()
    try:
        notices = process(path, output)
    except VeilstreamError as error:
        left = [item.name for item in folder.iterdir()]
        row = Row(name, f"refused: {str(error).replace(str(path.parent), '').lstrip('/')}")
        if left or "\n" in str(error):
            row.differs.append(f"left behind {left}, or more than a line")
        return row
    seconds = time.perf_counter() - start
    before, after = facts_of(path), facts_of(output)
    kept, differs = compare(before, after)
    output.unlink()
    codec = before.codec if before.codec == after.codec else f"{before.codec} -> {after.codec}"
    result = "all kept" if not differs else "done"
    frames = f"{len(after.pts_seconds)}"
    return Row(name, result, codec, frames, kept, differs, notices, after.tags, seconds)


def examine_all(data: Path, process: Process) -> Iterator[Row]:
    """One row for every file below a folder."""
    for path in sorted(data.rglob("*")):
        if path.is_file() and path.suffix.lower() not in _SKIP_SUFFIXES:
            with tempfile.TemporaryDirectory() as folder:
                yield examine(path, str(path.relative_to(data)), Path(folder), process)


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| file | result | codec | frames | differs | announced |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (row.file, row.result, row.codec, row.frames, "; ".join(row.differs), "; ".join(row.notices))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with videos and pictures")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument(
        "--anonymize", action="store_true", help="the whole product, not only source and sink"
    )
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"{options.data} is not a folder")
    rows = []
    for row in examine_all(options.data, anonymize if options.anonymize else pass_through):
        rows.append(row)
        print(f"{row.seconds:6.1f} s  {row.file}: {row.result}", file=sys.stderr)
    print(markdown(rows))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
