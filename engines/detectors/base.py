"""What every face detector gives: boxes, scores and five points, in px of the picture it was shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.contract import Engine, EngineInfo
from engines.errors import EngineError

PictureU8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Boxes of one face overlap more than this, those of neighbours less (intersection over union).
NMS_OVERLAP = 0.4
# More candidates than faces any picture holds; bounds the cost of a picture that fires everywhere.
MAX_CANDIDATES = 2000


@dataclass(frozen=True)
class Detection:
    """One face found.

    Attributes:
        box_xyxy_px: (4,) float32, left, top, right, bottom, inside the picture.
        score: 0 to 1, as the model gives it; scores of different detectors are not comparable.
        points_xy_px: (5, 2) float32 x, y: eye, eye, nose, mouth corner, mouth corner, those on the left of an
            upright picture first. Points may lie outside the picture where the face is cut by its border.
    """

    box_xyxy_px: Floats
    score: float
    points_xy_px: Floats

    def __post_init__(self) -> None:
        if self.box_xyxy_px.shape != (4,) or self.points_xy_px.shape != (5, 2):
            raise ValueError(f"{self.box_xyxy_px.shape = }, {self.points_xy_px.shape = }")


class FaceDetector(ABC):
    """Finds faces in one picture. Not for two threads at a time: input buffers are kept between calls."""

    def __init__(self, engine: Engine, score_threshold: float) -> None:
        if not 0.0 < score_threshold < 1.0:
            raise EngineError(f"a detector's score threshold must lie between 0 and 1, not {score_threshold}")
        self._engine = engine
        self.score_threshold = score_threshold

    def detect(self, picture_rgb_u8: PictureU8) -> list[Detection]:
        """Faces with a score of at least `score_threshold`, best first.

        Args:
            picture_rgb_u8: (H, W, 3) uint8 RGB of any size.

        Raises:
            EngineError: the picture is of another kind, or the engine failed or gave NaN or infinity.
        """
        if picture_rgb_u8.ndim != 3 or picture_rgb_u8.shape[2] != 3 or picture_rgb_u8.dtype != np.uint8:
            kind = f"{picture_rgb_u8.shape} {picture_rgb_u8.dtype}"
            raise EngineError(f"a detector needs an (H, W, 3) uint8 picture, not {kind}")
        height, width = picture_rgb_u8.shape[:2]
        if not height or not width:
            return []
        boxes, scores, points = self._detect(picture_rgb_u8)
        return finish(boxes, scores, points, width, height)

    @abstractmethod
    def _detect(self, picture_rgb_u8: PictureU8) -> tuple[Floats, Floats, Floats]:
        """Candidates above the threshold before suppression: boxes (n, 4), scores (n,), points (n, 5, 2)."""

    def describe(self) -> EngineInfo:
        """What runs the model."""
        return self._engine.describe()

    def close(self) -> None:
        """Let go of the engine."""
        self._engine.close()


def finish(boxes: Floats, scores: Floats, points: Floats, width: int, height: int) -> list[Detection]:
    """Keep the best of boxes that overlap, clip them to the picture, and drop what has no area inside it."""
    kept = suppress(boxes, scores)
    limits = np.array([width, height, width, height], np.float32)
    clipped = np.clip(boxes[kept], 0, limits).astype(np.float32)
    sides = clipped[:, 2:] - clipped[:, :2]
    inside = np.flatnonzero((sides > 1).all(axis=1))
    return [Detection(clipped[i], float(scores[kept[i]]), points[kept[i]].astype(np.float32)) for i in inside]


def suppress(boxes: Floats, scores: Floats, overlap: float = NMS_OVERLAP) -> npt.NDArray[np.int64]:
    """Indices that greedy non-maximum suppression keeps, best score first.

    Args:
        boxes: (n, 4) left, top, right, bottom.
        scores: (n,)
        overlap: a box whose intersection over union with a better one is above this is dropped.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES].astype(np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[
            intersection_over_union(boxes[best], areas[best], boxes[order], areas[order]) <= overlap
        ]
    return np.array(kept, np.int64)


def intersection_over_union(box: Floats, area: Any, others: Floats, areas: Floats) -> Floats:
    """(n,) overlap of one box with n others, all as left, top, right, bottom."""
    top_left = np.maximum(box[:2], others[:, :2])
    bottom_right = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=1)
    ratio: Floats = shared / np.maximum(area + areas - shared, np.float32(1e-6))
    return ratio


class InputBuffer:
    """One (1, 3, H, W) float32 input kept between calls, its sides padded up to a multiple.

    Fresh megabytes at every picture cost page faults; pictures of one stream have one size.
    """

    def __init__(self, multiple: int, mean: tuple[float, float, float], *, bgr: bool) -> None:
        self._multiple = multiple
        self._mean = mean
        self._channels = (2, 1, 0) if bgr else (0, 1, 2)
        self._buffer = np.zeros((1, 3, 0, 0), np.float32)

    def fill(self, picture_rgb_u8: PictureU8) -> Floats:
        """The picture minus the mean at the top left; zeros (the mean colour) right of it and below."""
        height, width = picture_rgb_u8.shape[:2]
        rows, columns = (-(-side // self._multiple) * self._multiple for side in (height, width))
        if self._buffer.shape[2:] != (rows, columns):
            self._buffer = np.zeros((1, 3, rows, columns), np.float32)
        else:
            self._buffer[..., height:, :] = 0
            self._buffer[..., :height, width:] = 0
        for target, source in enumerate(self._channels):
            np.subtract(
                picture_rgb_u8[..., source],
                np.float32(self._mean[target]),
                out=self._buffer[0, target, :height, :width],
            )
        return self._buffer
