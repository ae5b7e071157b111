"""Which faces stay uncovered, and whose identity wanders, in sequences whose truth is known.

Runs the analysis stage that files get (`streamer.job.file_analyzer`: detector, second looks, tracker, look-ahead) and
scores what comes out. A truth face counts when at least 40 % of it is visible. It is covered when boxes hold at least
90 % of its visible mask; where only its box is known, and drawn another detector's way, 75 % of the box.

Judged is not the rate that was found but the exact upper 95 % bound of it (Clopper, Pearson 1934): of n faces none
uncovered is at most 3/n. It takes each face of each frame for a trial of its own. Faces of one track resemble each
other, so the true bound is above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from calibration.audit.rates import CONFIDENCE_ERROR, trials_needed
from calibration.codebook import Codebook
from calibration.scenes import Cutout, make_scene
from calibration.special import clopper_pearson_up
from streamer.audit.pictures import frame_of_picture
from streamer.frame import AnalyzedFrame, FaceSource
from streamer.job import file_analyzer
from streamer.toolkit import Toolkit

# Faces of 12 to 36 px: below what the detector can see without tiles. Shown, not judged.
UNJUDGED_SCENES = ("small",)
MOST_BARE_PER_THOUSAND = 10.0

_COUNTED_VISIBLE = 0.4
_COVERED_MASK = 0.9
_COVERED_BOX = 0.75
_PEOPLE = 24


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
    """Figures of one sequence.

    Attributes:
        faces: truth faces counted.
        bare: those of them not covered; `bare_by_detector`, by the detector's own boxes without tracking and
            look-ahead.
        switches: times a person's track id changed within a shot.
        shared: tracks that followed more than one person, which must be none.
        extra: painted faces that lie on no truth face.
    """

    name: str
    frames: int = 0
    faces: int = 0
    bare: int = 0
    bare_by_detector: int = 0
    switches: int = 0
    shared: int = 0
    extra: int = 0
    track_ids: set[int] = field(default_factory=set)

    @property
    def bare_per_thousand(self) -> float:
        return 1000.0 * self.bare / max(self.faces, 1)

    @property
    def bare_by_detector_per_thousand(self) -> float:
        return 1000.0 * self.bare_by_detector / max(self.faces, 1)


def scene_shots(name: str, cutouts: Sequence[Cutout], size: tuple[int, int], seed: int) -> Iterator[Shot]:
    scene = make_scene(name, cutouts, size=size, seed=seed)
    for number, frame in enumerate(scene.frames()):
        faces = [
            Truth(face.face_id, face.box_xyxy_px, face.mask)
            for face in frame.faces
            if face.visible >= _COUNTED_VISIBLE
        ]
        yield Shot(frame.picture_rgb_u8, faces, sum(number >= cut for cut in scene.cuts))


class Examiner:
    """Runs the product's analysis stage, with the settings of a toolkit, over sequences and scores what comes out."""

    def __init__(self, toolkit: Toolkit) -> None:
        self._toolkit = toolkit

    def run(self, name: str, shots: Iterable[Shot], *, frames_per_second: int = 25) -> Score:
        score = Score(name)
        self._toolkit.begin_stream()
        analyzer = file_analyzer(self._toolkit, frames_per_second)
        waiting: list[tuple[Shot, list[npt.NDArray[np.float32]]]] = []
        judge = _Judge(score)
        for number, shot in enumerate(shots):
            out = analyzer.push(frame_of_picture(shot.picture_rgb_u8, number, frames_per_second))
            waiting.append((shot, [face.box_xyxy_px for face in analyzer.latest_faces]))
            for item in out:
                judge.frame(item, *waiting.pop(0))
        for item in analyzer.flush():
            judge.frame(item, *waiting.pop(0))
        return judge.finish()


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
    return bool(np.count_nonzero(bare) <= (1.0 - _COVERED_MASK) * np.count_nonzero(truth.mask))


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


def codebook_cutouts(codebook: Codebook) -> list[Cutout]:
    """The first people of a codebook."""
    people = (codebook.person(index) for index in range(min(_PEOPLE, codebook.size)))
    return [Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px) for person in people]


def scene_scores(
    examiner: Examiner, codebook: Codebook, names: Sequence[str], seeds: int, height_px: int
) -> Iterator[Score]:
    """Each of the scenes `names` (keys of `SCENES`) in `seeds` variants, 16:9."""
    size = (height_px * 16 // 9 // 2 * 2, height_px // 2 * 2)
    cutouts = codebook_cutouts(codebook)
    for name in names:
        for seed in range(seeds):
            yield examiner.run(f"scene {name} {seed}", scene_shots(name, cutouts, size, seed))


@dataclass(frozen=True)
class Verdict:
    """What was judged, and how it came out.

    Attributes:
        limit_per_thousand: the bar, for `at_most_per_thousand`.
        sequences: what was judged, by name; `faces` and `bare` are theirs together.
        at_most_per_thousand: upper 95 % bound of uncovered faces per 1,000; 1,000 where there is no face.
        broken: one line for each claim that does not hold.
        unresolved: one line for what keeps this run from being evidence. The claim holds when both are empty.
    """

    limit_per_thousand: float
    sequences: list[str]
    faces: int
    bare: int
    at_most_per_thousand: float
    broken: list[str]
    unresolved: list[str]

    @property
    def holds(self) -> bool:
        return not self.broken and not self.unresolved

    def summary(self) -> str:
        """One line: what was judged, and against which bar."""
        if not self.faces:
            return "no face"
        rate = 1000.0 * self.bare / self.faces
        return (
            f"{self.bare} of {self.faces:,} faces uncovered, {rate:.2f} per 1,000 and at most"
            f" {self.at_most_per_thousand:.2f} (95 %, one-sided), which may be {self.limit_per_thousand:g}"
        )


def judge(scores: Sequence[Score], most_bare_per_thousand: float) -> Verdict:
    """Judge the upper bound over all sequences whose faces can be seen at all, and that no track followed two people.

    Args:
        most_bare_per_thousand: more than 0, less than 1,000.
    """
    unjudged = tuple(f"scene {name} " for name in UNJUDGED_SCENES)
    counted = [score for score in scores if not score.name.startswith(unjudged)]
    faces, bare = sum(score.faces for score in counted), sum(score.bare for score in counted)
    at_most = 1000.0 * clopper_pearson_up(bare, faces, CONFIDENCE_ERROR)
    broken = [f"{score.name}: {score.shared} tracks followed two people" for score in scores if score.shared]
    unresolved = []
    if not faces:
        unresolved.append(
            f"no judged face: the scene {UNJUDGED_SCENES[0]!r} is shown, not judged; name another beside it"
        )
    elif 1000.0 * bare / faces > most_bare_per_thousand:
        broken.append(
            f"{1000 * bare / faces:.1f} of 1,000 faces stay uncovered, more than {most_bare_per_thousand:g}"
        )
    elif at_most > most_bare_per_thousand:
        needed = trials_needed(most_bare_per_thousand / 1000.0)
        unresolved.append(
            f"to show at most {most_bare_per_thousand:g} of 1,000 uncovered takes {needed:,} faces where none is, and"
            f" more where some are; here {bare} of {faces:,} are: take more --seeds"
        )
    names = [score.name for score in counted]
    return Verdict(most_bare_per_thousand, names, faces, bare, at_most, broken, unresolved)
