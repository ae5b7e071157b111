"""A second look at detections that may be no face: shirts, ornaments, hands.

Coverage comes first, so a detection is given up only when three models that share neither weights nor training say
no: the dense landmark model sees no face in it, another detector finds nothing there, and the detector itself does
not find it again at half the size. Sure detections, small ones, those at the picture's border (a face cut in half
looks like none), and those that continue a sure one from picture to picture (a head that bends or turns away) are never
questioned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engines.detectors.base import Detection, FaceDetector, Floats, PictureU8, intersection_over_union
from engines.errors import EngineError
from engines.landmarks import MESH_PATCH_PX, FaceMesh, patch_from_box_and_points

# Clear faces score above this; below it, boxes of at least this side are looked at again.
SURE_SCORE = 0.985
SMALLEST_DOUBTED_SIDE_PX = 40.0
# Raw presence: faces score above 30, also turned and half hidden ones above this; shirts and walls about -10.
NO_FACE_PRESENCE = -4.0
# Share of a picture's side from its border within which a box counts as cut off.
BORDER_SHARE = 0.01
# A box denied once is not looked at again for this many pictures, as long as it stays where it was and shows what it
# showed: a mean difference, in 8-bit levels, of its cells that noise and a box that shakes do not reach.
LOOKS_SPARED = 4
SAME_PLACE_OVERLAP = 0.7
SAME_LOOK_LEVELS = 10.0
LOOK_CELLS = 8
# A box that overlaps a face of the picture before by this much continues it.
CONTINUES_OVERLAP = 0.3

Detect = Callable[[PictureU8], Sequence[Detection]]


@dataclass(frozen=True, slots=True)
class _Denied:
    """What was denied, what it looked like, and for how many more pictures that holds."""

    box_xyxy_px: Floats
    look: Floats
    left: int


class DoubtingDetector:
    """Detections of one detector, less those that three models deny.

    Args:
        detect: the detector's call, with tiles where asked for.
        again: the same detector on a single picture, for the half-size look.
        other: another detector, with a low threshold.
        mesh: dense landmark model.

    Attributes:
        denied: how many detections were given up so far.
    """

    def __init__(self, detect: Detect, again: FaceDetector, other: FaceDetector, mesh: FaceMesh) -> None:
        self._detect = detect
        self._again = again
        self._other = other
        self._mesh = mesh
        self.denied = 0
        self._remembered: list[_Denied] = []
        self._sure: list[Floats] = []

    def forget(self) -> None:
        """The next picture is of another stream: every answer is to be given anew."""
        self._remembered, self._sure = [], []

    def __call__(self, picture_rgb_u8: PictureU8) -> list[Detection]:
        """Faces in (H, W, 3) uint8 RGB. Raises EngineError as the detector does; a failed second look keeps all."""
        found = list(self._detect(picture_rgb_u8))
        sure = [item for item in found if item.score >= SURE_SCORE or self._continues(item)]
        self._sure = [item.box_xyxy_px for item in sure]
        doubted = [
            item
            for item in found
            if not any(item is other for other in sure) and _is_doubtful(item, picture_rgb_u8.shape[:2])
        ]
        if not doubted:
            self._remembered = []
            return found
        spared = {id(item): left for item in doubted if (left := self._looks_left(picture_rgb_u8, item)) > 0}
        looked_at = [item for item in doubted if id(item) not in spared]
        fresh = self._denied(picture_rgb_u8, looked_at) if looked_at else []
        denied = fresh + [item for item in doubted if id(item) in spared]
        self._remembered = [
            _Denied(
                item.box_xyxy_px,
                _look(picture_rgb_u8, item),
                spared.get(id(item), LOOKS_SPARED + 1) - 1,
            )
            for item in denied
        ]
        self.denied += len(denied)
        return [item for item in found if not any(item is other for other in denied)]

    def _continues(self, item: Detection) -> bool:
        """True where the picture before showed a sure face, or what continued one."""
        return any(_overlap(item.box_xyxy_px, box) >= CONTINUES_OVERLAP for box in self._sure)

    def _looks_left(self, picture_rgb_u8: PictureU8, item: Detection) -> int:
        """For how many more pictures the answer to this box is known; 0 when it must be looked at."""
        for known in self._remembered:
            if _overlap(item.box_xyxy_px, known.box_xyxy_px) >= SAME_PLACE_OVERLAP:
                change = float(np.abs(_look(picture_rgb_u8, item) - known.look).mean())
                return known.left if change < SAME_LOOK_LEVELS else 0
        return 0

    def _denied(self, picture_rgb_u8: PictureU8, doubted: list[Detection]) -> list[Detection]:
        """Those that nobody else sees; none where one of the others cannot say."""
        try:
            return self._seen_by_nobody_else(picture_rgb_u8, doubted)
        except EngineError:
            return []

    def _seen_by_nobody_else(self, picture_rgb_u8: PictureU8, doubted: list[Detection]) -> list[Detection]:
        denied = [item for item in doubted if self._presence(picture_rgb_u8, item) < NO_FACE_PRESENCE]
        if denied:
            others = self._other.detect(picture_rgb_u8)
            denied = [item for item in denied if not _confirmed(item, others, 1.0)]
        if denied:
            half = cv2.resize(picture_rgb_u8, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            repeated = self._again.detect(np.asarray(half, dtype=np.uint8))
            denied = [item for item in denied if not _confirmed(item, repeated, 2.0)]
        return denied

    def _presence(self, picture_rgb_u8: PictureU8, item: Detection) -> float:
        affine = patch_from_box_and_points(item.box_xyxy_px, item.points_xy_px, MESH_PATCH_PX)
        patch = cv2.warpAffine(
            picture_rgb_u8,
            affine,
            (MESH_PATCH_PX, MESH_PATCH_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        _, presence = self._mesh.run(np.asarray(patch, dtype=np.float32)[None] / np.float32(255.0))
        return float(presence[0])


def _overlap(box_xyxy_px: Floats, other_xyxy_px: Floats) -> float:
    area, other_area = (np.prod(box[2:] - box[:2], keepdims=True) for box in (box_xyxy_px, other_xyxy_px))
    return float(intersection_over_union(box_xyxy_px, area[0], other_xyxy_px[None], other_area)[0])


def _look(picture_rgb_u8: PictureU8, item: Detection) -> Floats:
    """(8, 8, 3) float32: coarse colours of a box inside the picture."""
    left, top, right, bottom = (int(edge) for edge in item.box_xyxy_px)
    cells = cv2.resize(
        picture_rgb_u8[top:bottom, left:right], (LOOK_CELLS, LOOK_CELLS), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cells, dtype=np.float32)


def _is_doubtful(item: Detection, picture_size: tuple[int, ...]) -> bool:
    height, width = picture_size
    left, top, right, bottom = (float(edge) for edge in item.box_xyxy_px)
    margin_x, margin_y = BORDER_SHARE * width, BORDER_SHARE * height
    whole = left > margin_x and top > margin_y and right < width - margin_x and bottom < height - margin_y
    return whole and min(right - left, bottom - top) >= SMALLEST_DOUBTED_SIDE_PX


def _confirmed(item: Detection, others: Sequence[Detection], scale: float) -> bool:
    """True when one of the others has its middle in the box and is at least a third as wide."""
    left, top, right, bottom = item.box_xyxy_px
    for other in others:
        x0, y0, x1, y1 = other.box_xyxy_px * scale
        inside = left <= (x0 + x1) / 2 <= right and top <= (y0 + y1) / 2 <= bottom
        if inside and 3.0 * (x1 - x0) >= right - left:
            return True
    return False
