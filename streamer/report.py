"""The report of a job: what went in, what came out, who was covered how, and at which epsilon.

Nothing biometric enters: no embedding, no landmark, no crop, and no index of a synthetic person.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibration.assign import Assignment
from streamer.errors import InputError, OutputError
from streamer.frame import AnalyzedFrame
from streamer.render.compositor import AnonymizedFrame

REPORT_FORMAT = 1


@dataclass(slots=True)
class TrackRecord:
    """One track: where it was and how it was covered.

    Attributes:
        boxes: (frame index, x0, y0, x1, y1, score) in display px, one per frame the track was covered in.
        synthetic_frames: frames in which a synthetic person stood there.
        fallback_frames: frames in which the fallback stood there, by reason.
    """

    track_id: int
    boxes: list[tuple[int, float, float, float, float, float]] = field(default_factory=list)
    synthetic_frames: int = 0
    fallback_frames: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def as_json(self, assignment: Assignment | None) -> dict[str, Any]:
        return {
            "track": self.track_id,
            "first_frame": self.boxes[0][0],
            "last_frame": self.boxes[-1][0],
            "frames": len(self.boxes),
            "synthetic_frames": self.synthetic_frames,
            "fallback_frames": dict(sorted(self.fallback_frames.items())),
            "sources": dict(sorted(self.sources.items())),
            "epsilon": None
            if assignment is None or assignment.epsilon is None
            else float(assignment.epsilon),
            "boxes_frame_xyxy_px": [[b[0], *(round(v) for v in b[1:5])] for b in self.boxes],
        }


class JobRecorder:
    """Counts what the compositor did, frame by frame."""

    def __init__(self) -> None:
        self.frames = 0
        self.scene_cuts = 0
        self.masked_frames: Counter[str] = Counter()
        self.tracks: dict[int, TrackRecord] = {}

    def record(self, analyzed: AnalyzedFrame, anonymized: AnonymizedFrame) -> None:
        self.frames += 1
        self.scene_cuts += analyzed.scene_cut
        if anonymized.masked is not None:
            self.masked_frames[anonymized.masked.value] += 1
        for covering in anonymized.coverings:
            face = covering.face
            track = self.tracks.setdefault(face.track_id, TrackRecord(face.track_id))
            x0, y0, x1, y1 = (float(v) for v in face.box_xyxy_px)
            track.boxes.append((analyzed.frame.index, x0, y0, x1, y1, face.score))
            track.sources[face.source.value] += 1
            if covering.reason is None:
                track.synthetic_frames += 1
            else:
                track.fallback_frames[covering.reason.value] += 1

    @property
    def faces(self) -> int:
        """Faces covered so far, counted per frame."""
        return sum(len(track.boxes) for track in self.tracks.values())

    def coverage(self) -> dict[str, Any]:
        """Counts over all tracks, for the report."""
        reasons: Counter[str] = Counter()
        sources: Counter[str] = Counter()
        for track in self.tracks.values():
            reasons.update(track.fallback_frames)
            sources.update(track.sources)
        return {
            "frames": self.frames,
            "scene_cuts": self.scene_cuts,
            "tracks": len(self.tracks),
            "faces": self.faces,
            "faces_synthetic": sum(track.synthetic_frames for track in self.tracks.values()),
            "faces_fallback": dict(sorted(reasons.items())),
            "faces_by_source": dict(sorted(sources.items())),
            "frames_masked_whole": dict(sorted(self.masked_frames.items())),
        }

    def mot_lines(self) -> list[str]:
        """Boxes in the MOTChallenge text format: frame (from 1), id, left, top, width, height, score, -1, -1, -1."""
        rows = [(box, track.track_id) for track in self.tracks.values() for box in track.boxes]
        rows.sort(key=lambda row: (row[0][0], row[1]))
        return [
            f"{frame + 1},{track_id},{x0:.1f},{y0:.1f},{x1 - x0:.1f},{y1 - y0:.1f},{score:.3f},-1,-1,-1"
            for (frame, x0, y0, x1, y1, score), track_id in rows
        ]


def is_mot_text(path: Path) -> bool:
    """Whether a file may be replaced by other boxes: none is there, it is empty, or it begins with a box."""
    try:
        with path.open("rb") as file:
            first = file.read(200).partition(b"\n")[0]
    except OSError:
        return not path.exists()
    return not first or (first.count(b",") == 9 and first.endswith(b",-1,-1,-1"))


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def input_sha256(path: Path) -> str:
    """`sha256_of_file` of an input. Raises InputError."""
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}; check its permissions") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically. Raises OutputError."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def try_place(folder: Path) -> None:
    """Make a folder as needed, and try whether a file can be written there. Raises OutputError."""
    trial = folder / f".veilstream-{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"cannot write into {folder}: {reason}; choose another place") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: a temporary file beside it, fsync, rename. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            # As readable for others as the user's umask lets new files be.
            with temporary.open("x", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputError(f"cannot write {path}: {reason}; choose another place or free some space") from None
