"""Single pictures through the product's own path: found, given to a track of one frame, covered."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from engines.detectors import Detection
from engines.detectors.doubt import Detect
from engines.face.template import transform_points
from streamer.frame import (
    AnalyzedFrame,
    FaceSource,
    Float32Array,
    Frame,
    StreamGeometry,
    TrackedFace,
    UInt8Array,
)
from streamer.planes import analysis_picture
from streamer.render.compositor import Compositor

_SAME_PLACE_IOU = 0.3


@dataclass(frozen=True)
class FoundFace:
    """A face as the detector gave it: box (4,) and points (5, 2), display px."""

    box_xyxy_px: Float32Array
    points_xy_px: Float32Array
    score: float


@dataclass(frozen=True)
class Covered:
    """What came out: the picture (H, W, 3) uint8 RGB, and whether a synthetic person stands in it."""

    picture_rgb_u8: UInt8Array
    synthetic: bool


def frame_of_picture(picture_rgb_u8: UInt8Array, number: int = 0, frames_per_second: int = 25) -> Frame:
    """A picture (H, W, 3) uint8 RGB as a decoded 4:2:0 frame; an odd last row or column is cut off."""
    height, width = picture_rgb_u8.shape[0] // 2 * 2, picture_rgb_u8.shape[1] // 2 * 2
    even = np.ascontiguousarray(picture_rgb_u8[:height, :width])
    video = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p")
    return Frame(number, number, Fraction(1, frames_per_second), video, StreamGeometry(width, height))


def rgb_of_frame(frame: Frame) -> UInt8Array:
    """The inverse of `frame_of_picture`, up to the colour subsampling."""
    return np.ascontiguousarray(frame.video.to_ndarray(format="rgb24"), dtype=np.uint8)


class CentralFace:
    """Finds the one face that a portrait is about: the nearest to the middle for its size."""

    def __init__(self, detect: Detect) -> None:
        self._detect = detect

    def find(self, picture_rgb_u8: UInt8Array) -> FoundFace | None:
        frame = frame_of_picture(picture_rgb_u8)
        small, display_from_small = analysis_picture(frame.video, frame.geometry)
        height, width = small.shape[:2]
        found = self._detect(small)
        if not found:
            return None
        middle = np.array([width / 2.0, height / 2.0])
        return _in_display(min(found, key=lambda one: _off_centre(one, middle)), display_from_small)

    def find_again(self, picture_rgb_u8: UInt8Array, before: FoundFace) -> FoundFace | None:
        """The face of a covered picture at the place of `before`; None when the detector sees none there."""
        face = self.find(picture_rgb_u8)
        return (
            face
            if face is not None and _iou(face.box_xyxy_px, before.box_xyxy_px) > _SAME_PLACE_IOU
            else None
        )


def cover(
    compositor: Compositor, picture_rgb_u8: UInt8Array, face: FoundFace, track_id: int, number: int = 0
) -> Covered:
    """One picture as frame `number` of a track. A new track has a new `track_id`: with one that was used before, the
    draw of its first use is seen again.
    """
    tracked = TrackedFace(
        track_id, face.box_xyxy_px.copy(), face.score, FaceSource.DETECTED, face.points_xy_px.copy()
    )
    done = compositor.compose(AnalyzedFrame(frame_of_picture(picture_rgb_u8, number), [tracked]))
    synthetic = done.masked is None and all(item.reason is None for item in done.coverings)
    return Covered(rgb_of_frame(done.frame), synthetic)


def _in_display(detection: Detection, display_from_small: npt.NDArray[np.float64]) -> FoundFace:
    corners = transform_points(display_from_small, detection.box_xyxy_px.reshape(2, 2))
    points = transform_points(display_from_small, detection.points_xy_px)
    return FoundFace(corners.reshape(4).astype(np.float32), points.astype(np.float32), float(detection.score))


def _off_centre(detection: Detection, middle_px: npt.NDArray[np.float64]) -> float:
    box = detection.box_xyxy_px.astype(np.float64)
    side = max(float(np.prod(box[2:] - box[:2])), 1.0)
    return float(np.linalg.norm((box[:2] + box[2:]) / 2.0 - middle_px)) / float(np.sqrt(side))


def _iou(first: Float32Array, second: Float32Array) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.maximum(sides, 0.0)))
    return common / (float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - common)
