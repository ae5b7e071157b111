"""What travels between the stages: frames in the decoder's own planes, and the faces found in them.

All face geometry is in *display pixels*: upright (rotation metadata applied) and square. `StreamGeometry` is the
only place that knows how display pixels lie in the stored ("native") planes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class StreamGeometry:
    """How the stored picture becomes the displayed one.

    Attributes:
        native_width, native_height: size of the stored luma plane, px.
        rotation_degrees: clockwise turn a player applies for display: 0, 90, 180 or 270.
        sample_aspect: width of a stored pixel over its height.
    """

    native_width: int
    native_height: int
    rotation_degrees: int = 0
    sample_aspect: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if self.native_width <= 0 or self.native_height <= 0:
            raise ValueError(f"a picture needs a size, got {self.native_width}x{self.native_height}")
        if self.rotation_degrees not in (0, 90, 180, 270):
            raise ValueError(f"rotation must be 0, 90, 180 or 270 degrees, got {self.rotation_degrees}")
        if self.sample_aspect <= 0:
            raise ValueError(f"sample aspect must be positive, got {self.sample_aspect}")

    @property
    def _stretch(self) -> tuple[float, float]:
        """Scale of native x and y that makes pixels square, never shrinking either axis."""
        aspect = float(self.sample_aspect)
        return (aspect, 1.0) if aspect >= 1.0 else (1.0, 1.0 / aspect)

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) of the upright picture with square pixels."""
        scale_x, scale_y = self._stretch
        width = max(1, round(self.native_width * scale_x))
        height = max(1, round(self.native_height * scale_y))
        return (height, width) if self.rotation_degrees in (90, 270) else (width, height)

    @property
    def display_from_native(self) -> Float64Array:
        """Affine (2, 3) from native luma px to display px; pixel centres lie on integers."""
        scale_x, scale_y = self._stretch
        offset_x, offset_y = (scale_x - 1.0) / 2.0, (scale_y - 1.0) / 2.0
        right = self.native_width * scale_x - 1.0
        bottom = self.native_height * scale_y - 1.0
        # (x', y') after stretching, then a clockwise turn for display.
        stretched = np.array([[scale_x, 0.0, offset_x], [0.0, scale_y, offset_y], [0.0, 0.0, 1.0]])
        turns = {
            0: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            90: [[0.0, -1.0, bottom], [1.0, 0.0, 0.0]],
            180: [[-1.0, 0.0, right], [0.0, -1.0, bottom]],
            270: [[0.0, 1.0, 0.0], [-1.0, 0.0, right]],
        }
        turn: Float64Array = np.array(turns[self.rotation_degrees], dtype=np.float64)
        return np.asarray(turn @ stretched, dtype=np.float64)

    @property
    def native_from_display(self) -> Float64Array:
        """Inverse of `display_from_native`, (2, 3)."""
        return invert_affine(self.display_from_native)


@dataclass(slots=True)
class Frame:
    """One decoded picture, still in the decoder's pixel format.

    Attributes:
        index: 0-based position in the video stream.
        pts: presentation time stamp in units of `time_base`.
        video: the decoder's frame. Its buffers may still be a reference of the decoder: call
            `video.make_writable()` before writing.
        geometry: how the planes are displayed.
        discontinuity: True when the source knows the picture does not continue the one before it
            (reconnected, resolution changed); tracks end there.
    """

    index: int
    pts: int
    time_base: Fraction
    video: av.VideoFrame
    geometry: StreamGeometry
    discontinuity: bool = False

    @property
    def pts_seconds(self) -> float:
        return float(self.pts * self.time_base)


class FaceSource(Enum):
    """Why the pipeline believes there is a face at a place."""

    DETECTED = "detected"
    INTERPOLATED = "interpolated"
    BACKFILLED = "backfilled"
    HELD = "held"


@dataclass(slots=True)
class TrackedFace:
    """A face of a track in one frame.

    Attributes:
        track_id: positive, unique within a stream, never used again.
        box_xyxy_px: (4,) float32, display px, clipped to the picture.
        score: the detector's score in 0..1 (the nearest detection's, where none was made on this frame).
        source: see `FaceSource`.
        points_xy_px: (5, 2) float32 display px: left eye, right eye, nose, left mouth corner, right mouth corner,
            image left first; None where the detector gave none.
        plain: True where it may be hidden by another face: to be covered, below that one, and not to be rendered.
    """

    track_id: int
    box_xyxy_px: Float32Array
    score: float
    source: FaceSource
    points_xy_px: Float32Array | None = None
    plain: bool = False


@dataclass(slots=True)
class AnalyzedFrame:
    """A frame with every face that must be covered in it.

    Attributes:
        ended_track_ids: tracks whose last appearance was an earlier frame (their identities can be released).
        scene_cut: True when this frame begins a new shot.
        detector_failed: True when no trustworthy detection covers this frame (the detector raised, answered with
            numbers that are not finite, or has been silent too long): the picture must be masked whole.
    """

    frame: Frame
    faces: list[TrackedFace] = field(default_factory=list)
    ended_track_ids: list[int] = field(default_factory=list)
    scene_cut: bool = False
    detector_failed: bool = False


def invert_affine(matrix: Float64Array) -> Float64Array:
    """Inverse of an affine (2, 3). Raises numpy.linalg.LinAlgError when it is singular."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -(linear @ matrix[:, 2:])], axis=1)


def compose_affine(outer: Float64Array, inner: Float64Array) -> Float64Array:
    """Affine (2, 3) that applies `inner`, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.concatenate([linear, outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], axis=1)
