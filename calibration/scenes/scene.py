"""A scripted shot and its exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from calibration.scenes.background import background
from calibration.scenes.cutout import Cutout, Float32Array, Float64Array, UInt8Array

BoolArray = npt.NDArray[np.bool_]

# A pixel counts as hidden where a head in front is at least this opaque.
_OPAQUE = 0.5


@dataclass(frozen=True)
class Keyframe:
    """Where and how a face is at one moment; between keyframes everything changes evenly.

    Attributes:
        frame: frame number, need not be whole.
        x_px, y_px: middle of the face's box.
        width_px: width of the face.
        roll_degrees: turn in the plane, clockwise.
        squeeze: width over its natural one; below 1 it stands in for a face turned to the side.
        brightness: factor on the face's colours.
        blur_px: standard deviation of a Gaussian blur.
    """

    frame: float
    x_px: float
    y_px: float
    width_px: float
    roll_degrees: float = 0.0
    squeeze: float = 1.0
    brightness: float = 1.0
    blur_px: float = 0.0

    def values(self) -> list[float]:
        """Everything but the frame, in the order of the fields."""
        return [
            self.x_px,
            self.y_px,
            self.width_px,
            self.roll_degrees,
            self.squeeze,
            self.brightness,
            self.blur_px,
        ]


@dataclass(frozen=True)
class Role:
    """One person's way through a shot: there from the first keyframe to the last.

    Attributes:
        face_id: the truth's id, positive.
        depth: people with a smaller depth are in front.
    """

    face_id: int
    cutout: Cutout
    keyframes: tuple[Keyframe, ...]
    depth: float = 0.0

    def __post_init__(self) -> None:
        times = [key.frame for key in self.keyframes]
        if not times or times != sorted(times):
            raise ValueError(f"a role needs keyframes in order of time, got {times}")

    def at(self, number: int) -> Keyframe | None:
        """The pose on a frame, None when the person is not in the shot."""
        times = [key.frame for key in self.keyframes]
        if not times[0] <= number <= times[-1]:
            return None
        table = np.array([key.values() for key in self.keyframes])
        values = [float(np.interp(number, times, column)) for column in table.T]
        return Keyframe(float(number), *values)


@dataclass(frozen=True)
class FaceTruth:
    """What is true of one face in one frame.

    Attributes:
        box_xyxy_px: (4,) float64, upright box of the face (forehead to chin), clipped to the picture.
        visible: share of the face that is neither outside the picture nor behind somebody, 0..1.
        mask: (H, W) bool, the visible pixels of the face.
    """

    face_id: int
    box_xyxy_px: Float64Array
    visible: float
    mask: BoolArray


@dataclass(frozen=True)
class SceneFrame:
    """A picture (H, W, 3) uint8 RGB and the truth about it."""

    picture_rgb_u8: UInt8Array
    faces: list[FaceTruth]


@dataclass(frozen=True)
class Scene:
    """One shot, or several joined by hard cuts.

    Attributes:
        size: (width, height).
        noise: standard deviation of sensor noise, grey levels.
        light: factor on the whole picture.
        pan_px: how far the background moves to the left from frame to frame.
        then: the shot that follows after a cut; its own `then` counts too.
    """

    name: str
    size: tuple[int, int]
    frame_count: int
    roles: Sequence[Role]
    seed: int = 0
    noise: float = 2.0
    light: float = 1.0
    pan_px: float = 0.0
    frames_per_second: int = 25
    then: Scene | None = field(default=None)

    @property
    def cuts(self) -> list[int]:
        """Numbers of the frames that begin a new shot."""
        if self.then is None:
            return []
        return [self.frame_count, *(self.frame_count + cut for cut in self.then.cuts)]

    @property
    def total_frames(self) -> int:
        return self.frame_count + (self.then.total_frames if self.then else 0)

    def frames(self) -> Iterator[SceneFrame]:
        """Every frame, in order; the same ones each time."""
        width, height = self.size
        room = background(self.seed, (width + round(abs(self.pan_px) * self.frame_count) + 1, height))
        for number in range(self.frame_count):
            left = (
                round(self.pan_px * number)
                if self.pan_px >= 0
                else room.shape[1] - width + round(self.pan_px * number)
            )
            yield self._compose(room[:, left : left + width], number)
        if self.then is not None:
            yield from replace(self.then, size=self.size).frames()

    def _compose(self, room_rgb_u8: UInt8Array, number: int) -> SceneFrame:
        canvas = room_rgb_u8.astype(np.float32)
        cast = [(role, pose) for role in self.roles if (pose := role.at(number)) is not None]
        truths: list[FaceTruth] = []
        for role, pose in sorted(cast, key=lambda item: -item[0].depth):
            hidden = _paint(canvas, role.cutout, pose)
            truths = [_less_visible(truth, hidden) for truth in truths]
            truth = _truth(role, pose, self.size)
            if truth is not None:
                truths.append(truth)
        random = np.random.default_rng((self.seed, number))
        canvas *= self.light
        if self.noise > 0.0:
            canvas += np.float32(self.noise) * random.standard_normal(canvas.shape, dtype=np.float32)
        picture = np.clip(np.round(canvas), 0, 255).astype(np.uint8)
        return SceneFrame(picture, sorted(truths, key=lambda truth: truth.face_id))


def _placement(cutout: Cutout, pose: Keyframe, source_scale: float = 1.0) -> Float64Array:
    """Affine (2, 3) from px of the cutout, shrunk by `source_scale` before, to px of the scene."""
    scale = pose.width_px / cutout.face_width_px
    angle = np.deg2rad(pose.roll_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([scale * pose.squeeze, scale])
    shift = np.array([pose.x_px, pose.y_px]) - linear @ cutout.middle_xy_px
    # A picture shrunk by s has its pixel centre p at (p + .5) / s - .5 of the whole one.
    whole_from_small = 1.0 / source_scale
    shift = shift + linear @ np.full(2, 0.5 * (whole_from_small - 1.0))
    return np.concatenate([linear * whole_from_small, shift[:, None]], axis=1)


def _paint(canvas_f32: Float32Array, cutout: Cutout, pose: Keyframe) -> BoolArray:
    """Put the head into the canvas in place. Returns where it hides what is behind it, (H, W)."""
    height, width = canvas_f32.shape[:2]
    source, source_scale = cutout.rgba_f32, 1.0
    scale = pose.width_px / cutout.face_width_px
    if scale < 0.6:
        # A warp alone would skip pixels of a picture that is shrunk much.
        shape = source.shape
        small = (max(2, round(shape[1] * scale)), max(2, round(shape[0] * scale)))
        source = np.asarray(cv2.resize(source, small, interpolation=cv2.INTER_AREA), dtype=np.float32)
        source_scale = small[0] / shape[1]
    matrix = _placement(cutout, pose, source_scale)
    corners = np.array(
        [[0, 0], [source.shape[1], 0], [0, source.shape[0]], [source.shape[1], source.shape[0]]]
    )
    placed = corners @ matrix[:, :2].T + matrix[:, 2]
    reach = 2.0 + 3.0 * pose.blur_px
    left, top = np.maximum(np.floor(placed.min(axis=0) - reach), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(placed.max(axis=0) + reach), (width, height)).astype(int).tolist()
    hidden = np.zeros((height, width), bool)
    if right <= left or bottom <= top:
        return hidden
    matrix = matrix - np.array([[0, 0, left], [0, 0, top]])
    layer = cv2.warpAffine(source, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    if pose.blur_px > 0.05:
        layer = cv2.GaussianBlur(layer, (0, 0), pose.blur_px)
    part = canvas_f32[top:bottom, left:right]
    part *= 1.0 - layer[:, :, 3:]
    part += layer[:, :, :3] * pose.brightness
    hidden[top:bottom, left:right] = layer[:, :, 3] >= _OPAQUE
    return hidden


def _truth(role: Role, pose: Keyframe, size: tuple[int, int]) -> FaceTruth | None:
    """The face before anybody else stands in front of it; None when it is wholly outside the picture."""
    width, height = size
    matrix = _placement(role.cutout, pose)
    outline = role.cutout.outline_xy_px @ matrix[:, :2].T + matrix[:, 2]
    limits = np.array([width, height]) - 0.5
    box = np.concatenate(
        [np.clip(outline.min(axis=0), -0.5, limits), np.clip(outline.max(axis=0), -0.5, limits)]
    )
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, np.round(outline * 16).astype(np.int32), 1, shift=4)
    area = float(cv2.contourArea(outline.astype(np.float32)))
    inside = float(np.count_nonzero(mask))
    if inside == 0.0 or np.any(box[2:] - box[:2] < 1.0):
        return None
    return FaceTruth(role.face_id, box, min(1.0, inside / max(area, 1.0)), mask.astype(bool))


def _less_visible(truth: FaceTruth, hidden: BoolArray) -> FaceTruth:
    before = int(np.count_nonzero(truth.mask))
    mask = truth.mask & ~hidden
    share = np.count_nonzero(mask) / before if before else 0.0
    return replace(truth, mask=mask, visible=truth.visible * float(share))
