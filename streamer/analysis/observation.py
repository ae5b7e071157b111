"""What a detector saw of one face in one frame, in display px."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamer.analysis.boxes import area, as_box, face_size, intersection, iou, union
from streamer.frame import Float32Array


@dataclass(frozen=True, slots=True)
class Observation:
    """One face in one frame.

    Attributes:
        box_xyxy_px: (4,) float32 as detected.
        score: 0..1.
        points_xy_px: (5, 2) float32 or None.
        cover_xyxy_px: (4,) float32, what must be covered: the box and the boxes of its suppressed duplicates.
        thumbnail: (8, 8, 3) float32 of `appearance.thumbnail`, or None where no picture was at hand.
    """

    box_xyxy_px: Float32Array
    score: float
    points_xy_px: Float32Array | None = None
    cover_xyxy_px: Float32Array | None = None
    thumbnail: npt.NDArray[np.float32] | None = None

    @property
    def cover(self) -> Float32Array:
        return self.box_xyxy_px if self.cover_xyxy_px is None else self.cover_xyxy_px


_NESTED_SHARE = 0.65
_NESTED_SIZE_RATIO = 2.5
_SAME_IOU = 0.45


def without_duplicates(observations: Sequence[Observation], cover_threshold: float) -> list[Observation]:
    """Leave one observation per face, the surest, sorted from sure to unsure.

    A detector's own non-maximum suppression leaves half faces and boxes nested in larger ones. Dropping those
    must not uncover anything: what a dropped observation of at least `cover_threshold` showed joins the
    `cover` of the one that stays. A box much smaller than the one around it is another face (a poster, a
    person behind) and stays.
    """
    kept: list[Observation] = []
    for candidate in sorted(observations, key=lambda item: -item.score):
        for position, other in enumerate(kept):
            if not _same_face(candidate, other):
                continue
            if candidate.score >= cover_threshold:
                kept[position] = replace(other, cover_xyxy_px=as_box(union(other.cover, candidate.cover)))
            break
        else:
            kept.append(candidate)
    return kept


def _same_face(first: Observation, second: Observation) -> bool:
    if iou(first.box_xyxy_px, second.box_xyxy_px)[0, 0] > _SAME_IOU:
        return True
    smaller = min(float(area(first.box_xyxy_px)), float(area(second.box_xyxy_px)))
    share = float(intersection(first.box_xyxy_px, second.box_xyxy_px)[0, 0]) / max(smaller, 1e-9)
    sizes = sorted((float(face_size(first.box_xyxy_px)), float(face_size(second.box_xyxy_px))))
    return share > _NESTED_SHARE and sizes[1] < _NESTED_SIZE_RATIO * sizes[0]
