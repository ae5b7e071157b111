"""Motion of the real face, put onto the synthetic person: head pose, and expression relative to the track's neutral.

What crosses is pose, and differences from the track's own running neutral, attenuated outside the moving parts and
quantised. The static shape of the real face does not: it is in the neutral, which is subtracted; the geometry that
is drawn is the synthetic person's own. (Idea of relative motion transfer: Siarohin et al., First Order Motion Model,
NeurIPS 2019, sec. 3.3.)

All shapes here are in the canonical frame of `engines.face`: unit = distance of the eye centres, y down, z away.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cache

import numpy as np

from engines.face.pose import HeadPose, head_pose
from engines.face.topology import (
    BROW_LEFT,
    BROW_RIGHT,
    CHIN,
    EYE_LEFT,
    EYE_RIGHT,
    LIPS_INNER,
    LIPS_OUTER,
    MOUTH_CORNER_LEFT,
    MOUTH_CORNER_RIGHT,
    OVAL,
    canonical_mesh,
)
from streamer.frame import Float32Array, Float64Array
from streamer.render.smoothing import OneEuroFilter

# Steps in which expression differences cross; about a hundredth of the eye distance at a time.
QUANTUM = 0.01
NEUTRAL_MEMORY_FRAMES = 150
OUTLINE_SCALE_LIMITS = (0.88, 1.16)
OUTLINE_LIFT_LIMIT = 0.12
# An eye this far closed, relative to neutral, tells nothing about how it looks open.
BLINK_RATIO = 0.7

# (upper lid, lower lid) pairs across each eye, and (upper, lower) pairs across the inner lips.
_LID_PAIRS = {
    "left": np.array([[160, 144], [159, 145], [158, 153]]),
    "right": np.array([[385, 380], [386, 374], [387, 373]]),
}
# Upper lid of each eye, and the lower lid's points below, corner to corner.
_LIDS = (
    (np.array([246, 161, 160, 159, 158, 157, 173]), np.array([7, 163, 144, 145, 153, 154, 155])),
    (np.array([466, 388, 387, 386, 385, 384, 398]), np.array([249, 390, 373, 374, 380, 381, 382])),
)
# How far out, in widths of the eye; see `clear_of_lashes`.
_UPPER_LID_OUT, _LOWER_LID_OUT = 0.13, 0.04
_LIP_PAIRS = np.array([[82, 87], [13, 14], [312, 317]])
_EYES = {"left": EYE_LEFT, "right": EYE_RIGHT}
_UPPER_LIP = np.array(
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 191, 80, 81, 82, 13, 312, 311, 310, 415]
)


@dataclass(frozen=True, slots=True)
class FaceMotion:
    """Where the synthetic person's points go, and the smoothed real ones.

    Attributes:
        destination_xyz_px: (468, 3) the synthetic person's mesh in display px, posed and moved.
        real_xyz_px: (468, 3) the real face's smoothed mesh in display px; for the mask alone.
        pose: pose of the real head.
        openness: of the left and the right eye, 0 shut to 1 open.
    """

    destination_xyz_px: Float64Array
    real_xyz_px: Float64Array
    pose: HeadPose
    openness: tuple[float, float] = (1.0, 1.0)


class PersonShape:
    """A synthetic person's neutral shape in the canonical frame, computed once per track."""

    def __init__(self, mesh_xyz_px: Float32Array) -> None:
        mesh = mesh_xyz_px.astype(np.float64)
        self.canonical = head_pose(mesh).image_from_canonical.inverse().apply(mesh)
        self.lid_opening = {side: _gap(self.canonical, pairs) for side, pairs in _LID_PAIRS.items()}


class TrackMotion:
    """Follows one track's face through time."""

    def __init__(self) -> None:
        # Values are in eye distances, time in seconds: at rest a heavy filter, at a head turn's speed nearly none.
        self._filter = OneEuroFilter(minimum_cutoff_hz=1.5, speed_coefficient=8.0, derivative_cutoff_hz=3.0)
        # Lips open and close four times a second in speech, and back and forth their speeds cancel in a slow estimate.
        self._mouth_filter = OneEuroFilter(
            minimum_cutoff_hz=2.2, speed_coefficient=6.0, derivative_cutoff_hz=5.0
        )
        self._neutral = _NeutralShape()
        self._scale_px: float | None = None

    def step(
        self,
        person: PersonShape,
        mesh_xyz_px: Float32Array,
        time_seconds: float,
        openness: tuple[float, float] = (1.0, 1.0),
    ) -> FaceMotion:
        """Take the next mesh (468, 3) display px of the real face.

        Args:
            openness: of the left and the right eye, 0 shut to 1 open.

        Raises:
            ValueError: the mesh is not finite, or so degenerate that no pose can be fitted.
        """
        if not np.isfinite(mesh_xyz_px).all():
            raise ValueError("mesh points must be finite")
        smoothed = self._smooth(mesh_xyz_px.astype(np.float64), time_seconds)
        pose = head_pose(smoothed)
        real = self._with_quick_mouth(
            pose.image_from_canonical.inverse().apply(smoothed), mesh_xyz_px, time_seconds
        )
        neutral = self._neutral.update(real)
        difference = _quantised((real - neutral) * _expression_weights())
        difference = self._lids_in_proportion(difference, neutral, person)
        moved = _with_lids(person.canonical + difference, openness)
        shown = _fitted_to_outline(moved, person.canonical, neutral)
        destination = pose.image_from_canonical.apply(shown)
        return FaceMotion(destination, smoothed, pose, openness)

    def _smooth(self, mesh: Float64Array, time_seconds: float) -> Float64Array:
        if self._scale_px is None:
            self._scale_px = head_pose(mesh).image_from_canonical.scale
        return np.asarray(self._filter(mesh / self._scale_px, time_seconds) * self._scale_px)

    def _with_quick_mouth(
        self, real: Float64Array, mesh_xyz_px: Float32Array, time_seconds: float
    ) -> Float64Array:
        """The smoothed shape with the mouth of the frame itself, less smoothed."""
        shape = head_pose(mesh_xyz_px).image_from_canonical.inverse().apply(mesh_xyz_px)
        quick = self._mouth_filter(shape, time_seconds)
        return np.asarray(real + _mouth_weights() * (quick - real))

    @staticmethod
    def _lids_in_proportion(
        difference: Float64Array, neutral: Float64Array, person: PersonShape
    ) -> Float64Array:
        """Scale the lids' motion so that a real eye that closes closes the synthetic one, whatever their sizes."""
        for side, pairs in _LID_PAIRS.items():
            ratio = person.lid_opening[side] / max(_gap(neutral, pairs), 1e-3)
            difference[_EYES[side]] *= float(np.clip(ratio, 0.5, 2.0))
        return difference


class _NeutralShape:
    """Running mean of a track's face with the mouth closed and at rest, and the eyes open."""

    def __init__(self) -> None:
        self._mean: Float64Array | None = None
        self._frames = 0
        self._smiles: deque[float] = deque(maxlen=NEUTRAL_MEMORY_FRAMES)

    def update(self, real: Float64Array) -> Float64Array:
        closed = real - max(_gap(real, _LIP_PAIRS) - _RESTING_LIP_GAP, 0.0) * _mouth_opening_basis()
        smile, rest = self._smile(closed)
        closed = closed - smile * _smile_basis()
        if self._mean is None:
            self._mean = _with_open_eyes(closed)
        self._frames += 1
        rate = np.full((len(real), 1), 1.0 / min(self._frames, NEUTRAL_MEMORY_FRAMES))
        for side, pairs in _LID_PAIRS.items():
            if _gap(real, pairs) < BLINK_RATIO * _gap(self._mean, pairs):
                rate[_EYES[side]] = 0.0
        self._mean += rate * (closed - self._mean)
        return np.asarray(self._mean + rest * _smile_basis())

    def _smile(self, closed: Float64Array) -> tuple[float, float]:
        """How much of a typical smile there is in the lips, and how much this face shows at rest.

        At rest is what it showed least of late; and who comes in smiling is known by the mean of all faces: no mouth at
        rest smiles more than so much.
        """
        lips = _smile_basis()[LIPS_OUTER]
        smile = float(((closed - canonical_mesh())[LIPS_OUTER] * lips).sum() / (lips**2).sum())
        self._smiles.append(smile)
        return smile, min(float(np.percentile(self._smiles, _REST_PERCENTILE)), _RESTING_SMILE_MOST)


_RESTING_LIP_GAP = 0.015
# In typical smiles: 250 synthetic neutral faces lie within .15 of their mean, three quarters of 150 portraits that do
# not pose for a camera below .1, official portraits at 1.2.
_RESTING_SMILE_MOST = 0.35
_REST_PERCENTILE = 20.0
# Where a typical smile takes the corners of the mouth (the one on the left; mirrored on the right), and how far from
# them it reaches. Mean of 238 people's smiles; this form explains .9 of what their lips do.
_SMILE_CORNER = np.array([-0.077, -0.050, 0.073])
_SMILE_REACH = 0.2


def _gap(shape: Float64Array, pairs: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    """Mean opening between upper and lower points."""
    return float((shape[pairs[:, 1], 1] - shape[pairs[:, 0], 1]).mean())


def _with_open_eyes(shape: Float64Array) -> Float64Array:
    """A first frame may show a blink; an eye much narrower than the mean face's takes the mean face's lids."""
    result = shape.copy()
    mean_face = canonical_mesh()
    for side, pairs in _LID_PAIRS.items():
        if _gap(shape, pairs) < BLINK_RATIO * _gap(mean_face, pairs):
            eye = _EYES[side]
            result[eye] = mean_face[eye] - mean_face[eye].mean(axis=0) + shape[eye].mean(axis=0)
    return np.asarray(result)


def _with_lids(shape: Float64Array, openness: tuple[float, float]) -> Float64Array:
    """Let the upper lids down onto the lower ones."""
    result = shape.copy()
    for (upper, lower), share in zip(_LIDS, openness, strict=True):
        result[upper] += (1.0 - share) * (shape[lower] - shape[upper])
    return np.asarray(result)


def clear_of_lashes(mesh_xyz_px: Float32Array, openness: tuple[float, float]) -> Float64Array:
    """The synthetic person's mesh (468, 3) as the source of a warp that shuts the eyes so far.

    The mesh finds the edges of lids to some px only, often inside the eye, and what of the iris lies beyond them stays
    to be seen when they meet. So the lids' points are taken further out the more an eye shuts, up to where it is skin.
    """
    result = mesh_xyz_px.astype(np.float64)
    for (upper, lower), eye, share in zip(_LIDS, (EYE_LEFT, EYE_RIGHT), openness, strict=True):
        gaps = result[upper, :2] - result[lower, :2]
        sizes = np.linalg.norm(gaps, axis=1, keepdims=True)
        middle = gaps.mean(axis=0)
        # Towards the corners, where the lids meet anyway, less and less.
        out = middle / max(float(np.linalg.norm(middle)), 1e-6) * sizes / max(float(sizes.max()), 1e-6)
        width = float(np.linalg.norm(result[eye[8], :2] - result[eye[0], :2]))
        result[upper, :2] += (1.0 - share) * _UPPER_LID_OUT * width * out
        result[lower, :2] -= (1.0 - share) * _LOWER_LID_OUT * width * out
    return np.asarray(result)


def _fitted_to_outline(shown: Float64Array, person: Float64Array, neutral: Float64Array) -> Float64Array:
    """Scale and lift the person's head so that its outline lies about where the real one is.

    The outline of the real head is in the picture anyway (it is where the context begins); the closer the synthetic
    one comes, the narrower the strip that has to be invented. Two numbers, none of them of the features' layout.
    """
    real_middle, real_radius = _outline(neutral)
    person_middle, person_radius = _outline(person)
    scale = float(np.clip(real_radius / person_radius, *OUTLINE_SCALE_LIMITS))
    lift = float(np.clip(real_middle - scale * person_middle, -OUTLINE_LIFT_LIMIT, OUTLINE_LIFT_LIMIT))
    return np.asarray(shown * scale + np.array([0.0, lift, 0.0]))


def _outline(shape: Float64Array) -> tuple[float, float]:
    """Height of the outline's middle, and its mean radius. Means over all its points, so that they do not shake."""
    points = shape[OVAL, :2]
    middle = points.mean(axis=0)
    return float(middle[1]), float(np.linalg.norm(points - middle, axis=1).mean())


def _quantised(difference: Float64Array) -> Float64Array:
    return np.asarray(np.round(difference / QUANTUM) * QUANTUM)


@cache
def _expression_weights() -> Float64Array:
    """(468, 1): 1 where expressions happen (lids, brows, lips, chin), falling smoothly to 0 at the outline.

    The outline's landmarks slide along the silhouette when a head turns; that is no expression and must not cross.
    """
    points = canonical_mesh()[:, :2]
    weight = np.zeros(len(points))
    regions = (
        (EYE_LEFT, 0.30, 0.20),
        (EYE_RIGHT, 0.30, 0.20),
        (BROW_LEFT, 0.30, 0.20),
        (BROW_RIGHT, 0.30, 0.20),
        (LIPS_OUTER, 0.50, 0.35),
        (np.array([CHIN]), 0.40, 0.30),
    )
    for indices, sigma_x, sigma_y in regions:
        offset = points - points[indices].mean(axis=0)
        weight = np.maximum(
            weight, np.exp(-0.5 * ((offset[:, 0] / sigma_x) ** 2 + (offset[:, 1] / sigma_y) ** 2))
        )
    for indices in (EYE_LEFT, EYE_RIGHT, BROW_LEFT, BROW_RIGHT, LIPS_OUTER, LIPS_INNER):
        weight[indices] = 1.0
    return weight[:, None]


@cache
def _mouth_weights() -> Float64Array:
    """(468, 1): 1 at the lips, falling to 0 at the nose and the jaw's outline."""
    points = canonical_mesh()[:, :2]
    offset = (points - points[LIPS_OUTER].mean(axis=0)) / (0.5, 0.35)
    weight = np.exp(-0.5 * (offset**2).sum(axis=1))
    weight[LIPS_OUTER] = weight[LIPS_INNER] = 1.0
    return np.asarray(weight[:, None])


@cache
def _smile_basis() -> Float64Array:
    """(468, 3) displacement of a typical smile: the corners of the mouth go out, up and back, and take the cheeks."""
    mean_face = canonical_mesh()
    basis = np.zeros_like(mean_face)
    for corner, side in ((MOUTH_CORNER_LEFT, 1.0), (MOUTH_CORNER_RIGHT, -1.0)):
        away = ((mean_face[:, :2] - mean_face[corner, :2]) ** 2).sum(axis=1)
        near = np.exp(-0.5 * away / _SMILE_REACH**2)
        basis += near[:, None] * _SMILE_CORNER * np.array([side, 1.0, 1.0])
    return basis


@cache
def _mouth_opening_basis() -> Float64Array:
    """(468, 3) displacement per unit of lip gap: the jaw takes the lower lip and the chin down and a little back."""
    mean_face = canonical_mesh()
    mouth_y = mean_face[LIPS_INNER, 1].mean()
    below = np.clip((mean_face[:, 1] - mouth_y) / 0.05, 0.0, 1.0)
    lateral = np.exp(-0.5 * (mean_face[:, 0] / 0.45) ** 2)
    weight = below * lateral
    weight[np.concatenate([LIPS_INNER, LIPS_OUTER])] = lateral[np.concatenate([LIPS_INNER, LIPS_OUTER])]
    weight[_UPPER_LIP] = 0.0
    basis = np.zeros_like(mean_face)
    basis[:, 1] = weight
    basis[:, 2] = 0.3 * weight
    return basis
