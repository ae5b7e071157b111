"""Which faces stay uncovered, and whose identity wanders: `python -m benchmarks.coverage [--data PATH]`.

Runs the analysis stage as files run it (detector, tracker, look-ahead) over synthetic scenes with exact truth
and, with --data, over the pseudo-truth clips. Prints a table and, with --json, writes the same figures.

Columns: `faces`, truth faces counted; `bare/1000`, those of them not covered, per thousand, and in brackets
by the detector's own boxes without tracking and look-ahead; `tracks`; `switches`, times a person's track id
changed within a shot; `shared`, tracks that followed more than one person, which must be 0; `extra`, painted
faces per frame that lie on no truth face.

A truth face counts when at least 40 % of it is visible. It is covered when boxes hold at least 90 % of its
visible mask; in pseudo-truth clips, whose boxes another detector drew its own way, 75 % of its box.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from calibration.codebook import Codebook
from calibration.scenes import SCENES, Cutout, make_scene
from engines.detectors import DETECTORS, FaceDetector, create_detector, detect_tiled
from engines.zoo.registry import model_path
from streamer.analysis import Analyzer, AnalyzerSettings, DetectionCadence, frames_for
from streamer.frame import AnalyzedFrame, FaceSource, Frame, StreamGeometry
from streamer.planes import analysis_picture

_COUNTED_VISIBLE = 0.4
_COVERED_MASK = 0.9
_COVERED_BOX = 0.75
_PEOPLE = 24
_HOLD_SECONDS = 0.4


@dataclass
class Truth:
    """One face: its id, its box, and the pixels to cover where they are known."""

    face_id: int
    box_xyxy_px: npt.NDArray[np.float64]
    mask: npt.NDArray[np.bool_] | None = None


@dataclass
class Shot:
    """A picture (H, W, 3) uint8 RGB, its truth, and the number of the shot it belongs to."""

    picture_rgb_u8: npt.NDArray[np.uint8]
    faces: list[Truth]
    shot: int = 0


@dataclass
class Score:
    """Figures of one sequence; see the module's docstring."""

    name: str
    frames: int = 0
    faces: int = 0
    bare: int = 0
    bare_by_detector: int = 0
    switches: int = 0
    shared: int = 0
    extra: int = 0
    track_ids: set[int] = field(default_factory=set)

    def row(self) -> str:
        per_thousand = 1000.0 / max(self.faces, 1)
        return (
            f"{self.name:<44}{self.frames:>7}{self.faces:>7}{self.bare * per_thousand:>10.1f}"
            f" ({self.bare_by_detector * per_thousand:6.1f}){len(self.track_ids):>8}{self.switches:>10}"
            f"{self.shared:>8}{self.extra / max(self.frames, 1):>8.2f}"
        )


HEADER = (
    f"{'sequence':<44}{'frames':>7}{'faces':>7}{'bare/1000':>10} (detect)"
    f"{'tracks':>8}{'switches':>10}{'shared':>8}{'extra':>8}"
)


def scene_shots(name: str, cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Iterator[Shot]:
    scene = make_scene(name, cutouts, size=size, seed=seed)
    for number, frame in enumerate(scene.frames()):
        faces = [
            Truth(face.face_id, face.box_xyxy_px, face.mask)
            for face in frame.faces
            if face.visible >= _COUNTED_VISIBLE
        ]
        yield Shot(frame.picture_rgb_u8, faces, sum(number >= cut for cut in scene.cuts))


def clip_shots(truth_path: Path, videos: Path) -> Iterator[Shot]:
    """A clip with boxes in MOT text: frame (from 1), id, x, y, w, h, score."""
    (video_path,) = videos.glob(f"{truth_path.stem}.*")
    truth: dict[int, list[Truth]] = {}
    for line in truth_path.read_text().splitlines():
        number, face_id, x, y, width, height = (float(value) for value in line.split(",")[:6])
        box = np.array([x, y, x + width, y + height])
        truth.setdefault(int(number) - 1, []).append(Truth(int(face_id), box))
    with av.open(str(video_path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            yield Shot(frame.to_ndarray(format="rgb24"), truth.get(number, []))


def folder_shots(folder: Path) -> Iterator[Shot]:
    """Pictures of an OTB sequence, whose truth is one head; its inner half stands in for the face."""
    lines = (folder / "groundtruth_rect.txt").read_text().replace("\t", ",").split()
    for path, line in zip(sorted((folder / "img").glob("*.jpg")), lines, strict=True):
        x, y, width, height = (float(value) for value in line.split(","))
        inner = np.array([x + width / 4, y + height / 4, x + 3 * width / 4, y + 3 * height / 4])
        yield Shot(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), [Truth(1, inner)])


class Examiner:
    """Runs the analysis stage over sequences and scores what comes out."""

    def __init__(
        self, detector: FaceDetector, *, tiles: bool, interval: int, look_ahead_seconds: float
    ) -> None:
        self._detector = detector
        self._tiles = tiles
        self._interval = interval
        self._look_ahead_seconds = look_ahead_seconds

    def run(self, name: str, shots: Iterable[Shot], *, frames_per_second: int = 25) -> Score:
        score = Score(name)
        frames = frames_for(self._look_ahead_seconds, frames_per_second)
        analyzer = Analyzer(
            (lambda picture: detect_tiled(self._detector, picture)) if self._tiles else self._detector.detect,
            lambda frame: analysis_picture(frame.video, frame.geometry),
            AnalyzerSettings(depth_frames=frames, hold_frames=frames_for(_HOLD_SECONDS, frames_per_second)),
            cadence=DetectionCadence(self._interval),
        )
        waiting: list[tuple[Shot, list[npt.NDArray[np.float32]]]] = []
        judge = _Judge(score)
        for number, shot in enumerate(shots):
            out = analyzer.push(_frame(shot.picture_rgb_u8, number, frames_per_second))
            waiting.append((shot, [face.box_xyxy_px for face in analyzer.latest_faces]))
            for item in out:
                judge.frame(item, *waiting.pop(0))
        for item in analyzer.flush():
            judge.frame(item, *waiting.pop(0))
        return judge.finish()


def _frame(picture_rgb_u8: npt.NDArray[np.uint8], number: int, frames_per_second: int) -> Frame:
    height, width = picture_rgb_u8.shape[0] // 2 * 2, picture_rgb_u8.shape[1] // 2 * 2
    even = np.ascontiguousarray(picture_rgb_u8[:height, :width])
    video = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
    return Frame(number, number, Fraction(1, frames_per_second), video, StreamGeometry(width, height))


class _Judge:
    def __init__(self, score: Score) -> None:
        self._score = score
        self._last_track: dict[tuple[int, int], int] = {}
        self._people: dict[int, set[tuple[int, int]]] = {}

    def frame(self, item: AnalyzedFrame, shot: Shot, detected: list[npt.NDArray[np.float32]]) -> None:
        score = self._score
        score.frames += 1
        score.faces += len(shot.faces)
        boxes = [face.box_xyxy_px for face in item.faces]
        score.bare += sum(not _is_covered(truth, boxes) for truth in shot.faces)
        score.bare_by_detector += sum(not _is_covered(truth, detected) for truth in shot.faces)
        score.track_ids.update(face.track_id for face in item.faces)
        score.extra += sum(all(_iou(box, truth.box_xyxy_px) < 0.05 for truth in shot.faces) for box in boxes)
        for truth in shot.faces:
            overlaps = [_iou(box, truth.box_xyxy_px) for box in boxes]
            if not overlaps or max(overlaps) < 0.5:
                continue
            face = item.faces[int(np.argmax(overlaps))]
            # A guessed box may lie over somebody else for a moment; whom a track follows is told by detections.
            if face.source is not FaceSource.DETECTED:
                continue
            rivals = [_iou(face.box_xyxy_px, other.box_xyxy_px) for other in shot.faces if other is not truth]
            if rivals and max(rivals) > 0.6 * max(overlaps):
                continue
            person = (shot.shot, truth.face_id)
            if self._last_track.get(person, face.track_id) != face.track_id:
                score.switches += 1
            self._last_track[person] = face.track_id
            self._people.setdefault(face.track_id, set()).add(person)

    def finish(self) -> Score:
        self._score.shared = sum(len(people) > 1 for people in self._people.values())
        return self._score


def _is_covered(truth: Truth, boxes: Sequence[npt.NDArray[np.float32]]) -> bool:
    if truth.mask is None:
        return any(_share(truth.box_xyxy_px, box) >= _COVERED_BOX for box in boxes)
    bare = truth.mask.copy()
    for box in boxes:
        left, top = np.ceil(np.maximum(box[:2], 0)).astype(int).tolist()
        right, bottom = np.floor(np.maximum(box[2:], 0)).astype(int).tolist()
        bare[top : bottom + 1, left : right + 1] = False
    return np.count_nonzero(bare) <= (1.0 - _COVERED_MASK) * np.count_nonzero(truth.mask)


def _common(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    return float(np.prod(np.maximum(sides, 0.0)))


def _area(box: npt.NDArray[np.floating]) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 1e-6)))


def _share(inner: npt.NDArray[np.floating], outer: npt.NDArray[np.floating]) -> float:
    return _common(inner, outer) / _area(inner)


def _iou(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    common = _common(first, second)
    return common / (_area(first) + _area(second) - common)


def codebook_cutouts(path: Path) -> list[Cutout]:
    """The first people of a codebook."""
    codebook = Codebook.load(path)
    people = (codebook.person(index) for index in range(min(_PEOPLE, codebook.size)))
    return [Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px) for person in people]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, help="folder of the evaluation data, for the pseudo-truth clips")
    parser.add_argument(
        "--codebook", type=Path, help="codebook whose people play in the scenes (default: the shipped one)"
    )
    parser.add_argument("--scenes", nargs="*", choices=list(SCENES), default=list(SCENES))
    parser.add_argument("--seeds", type=int, default=2, help="variants of each scene")
    parser.add_argument("--height", type=int, default=360, help="height of the scenes, px")
    parser.add_argument("--detector", choices=DETECTORS, default="retinaface")
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--detect-every", type=int, default=1)
    parser.add_argument("--look-ahead-seconds", type=float, default=0.4)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    examiner = Examiner(
        create_detector(options.detector, score_threshold=AnalyzerSettings().continue_threshold),
        tiles=options.tiles,
        interval=options.detect_every,
        look_ahead_seconds=options.look_ahead_seconds,
    )
    print(HEADER)
    scores: list[Score] = []
    for score in _scores(examiner, options):
        print(score.row(), flush=True)
        scores.append(score)
    if options.json:
        rows = [{**asdict(score), "track_ids": len(score.track_ids)} for score in scores]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _scores(examiner: Examiner, options: argparse.Namespace) -> Iterator[Score]:
    size = (options.height * 16 // 9 // 2 * 2, options.height // 2 * 2)
    if options.scenes:
        cutouts = codebook_cutouts(options.codebook or model_path("codebook-v1"))
        for name in options.scenes:
            for seed in range(options.seeds):
                yield examiner.run(f"scene {name} {seed}", scene_shots(name, cutouts, size, seed))
    if options.data is not None:
        for truth in sorted((options.data / "detection/video_pseudo_gt").glob("*.txt")):
            yield examiner.run(truth.stem, clip_shots(truth, options.data / "videos"), frames_per_second=13)
        yield examiner.run("otb_girl", folder_shots(options.data / "detection/otb_girl"))


if __name__ == "__main__":
    main()
