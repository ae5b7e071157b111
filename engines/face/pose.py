"""Head pose from a dense mesh: a 3D similarity to the mean face.

Angles, in radians, seen by the viewer: yaw is positive when the face turns towards the right edge of the
picture, pitch when it looks up, roll when it leans clockwise. The camera is taken as weakly perspective, as
the landmark model takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.face.template import CROP_POINTS_PX
from engines.face.topology import POINT_COUNT, RIGID, canonical_mesh, five_points

Float64Array = npt.NDArray[np.float64]

# How far behind the five points, in eye distances, the crop is centred: a head turns about a point inside
# it, and so the near cheek of a turned head stays in the crop.
_PIVOT_DEPTH = 0.5


@dataclass(frozen=True, slots=True)
class Similarity3D:
    """x_dst = scale * rotation @ x_src + translation."""

    scale: float
    rotation: Float64Array
    translation: Float64Array

    def apply(self, points: npt.ArrayLike) -> Float64Array:
        """Moves points (N, 3)."""
        moved: Float64Array = self.scale * (np.asarray(points, dtype=np.float64) @ self.rotation.T)
        return moved + self.translation

    def inverse(self) -> Similarity3D:
        """The way back."""
        rotation = self.rotation.T
        return Similarity3D(1.0 / self.scale, rotation, -(rotation @ self.translation) / self.scale)


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Pose of a head; see the module for the signs. `image_from_canonical` takes the mean face to the
    picture.
    """

    yaw_radians: float
    pitch_radians: float
    roll_radians: float
    image_from_canonical: Similarity3D


def fit_similarity(source: npt.ArrayLike, target: npt.ArrayLike) -> Similarity3D:
    """Least-squares similarity, without reflection, from points (N, 3) to points (N, 3), N >= 3.

    Umeyama, IEEE PAMI 13(4), 1991.

    Raises:
        ValueError: shapes differ, or the source points lie on one place.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"need two point lists of one shape (N >= 3, 3), got {a.shape} and {b.shape}")
    a_mean, b_mean = a.mean(axis=0), b.mean(axis=0)
    spread = float(((a - a_mean) ** 2).sum())
    if not np.isfinite(spread) or spread < 1e-12:
        raise ValueError("the points are not finite or all lie on one place; no pose can be fitted")
    u, singular, vt = np.linalg.svd((a - a_mean).T @ (b - b_mean))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = (vt.T * sign) @ u.T
    scale = float((singular * sign).sum()) / spread
    return Similarity3D(scale, rotation, b_mean - scale * (rotation @ a_mean))


def head_pose(mesh_xyz_px: npt.ArrayLike) -> HeadPose:
    """Pose of a mesh (468, 3), fitted on the points that expressions hardly move.

    Raises:
        ValueError: not a mesh of 468 points, or not finite.
    """
    mesh = np.asarray(mesh_xyz_px, dtype=np.float64)
    if mesh.shape != (POINT_COUNT, 3):
        raise ValueError(f"a mesh has shape ({POINT_COUNT}, 3), got {mesh.shape}")
    fit = fit_similarity(canonical_mesh()[RIGID], mesh[RIGID])
    forward = fit.rotation @ np.array([0.0, 0.0, -1.0])
    right = fit.rotation @ np.array([1.0, 0.0, 0.0])
    down = fit.rotation @ np.array([0.0, 1.0, 0.0])
    return HeadPose(
        yaw_radians=float(np.arctan2(forward[0], -forward[2])),
        pitch_radians=float(np.arctan2(-forward[1], np.hypot(forward[0], forward[2]))),
        # Mean of the two axes that show the roll: the x axis alone tips with yaw and pitch together.
        roll_radians=float(np.arctan2(right[1] - down[0], right[0] + down[1])),
        image_from_canonical=fit,
    )


def crop_from_mesh(mesh_xyz_px: npt.ArrayLike, pose: HeadPose | None = None) -> Float64Array:
    """`crop_from_display` (2, 3) float64 of a mesh (468, 3) in display px, for the 128 px crop.

    Agrees with `engines.face.template.crop_from_points` on frontal faces; scale and centre come from the
    head's pose, so the crop neither grows nor drifts when the head turns.
    """
    fitted = pose if pose is not None else head_pose(mesh_xyz_px)
    similarity = fitted.image_from_canonical
    cosine, sine = np.cos(fitted.roll_radians), np.sin(fitted.roll_radians)
    scale = _crop_scale() / similarity.scale
    linear = scale * np.array([[cosine, sine], [-sine, cosine]])
    anchor = similarity.apply(_pivot()[None])[0, :2]
    return np.column_stack([linear, _crop_centre() - linear @ anchor])


def _canonical_five() -> Float64Array:
    return five_points(canonical_mesh())


def _crop_scale() -> float:
    """Crop px per eye distance, such that a frontal mean face lies on the template."""
    points, template = _canonical_five(), CROP_POINTS_PX
    a, b = points - points.mean(axis=0), template - template.mean(axis=0)
    return float((a * b).sum() / (a * a).sum())


def _pivot() -> Float64Array:
    centre = _canonical_five().mean(axis=0)
    return np.array([centre[0], centre[1], _PIVOT_DEPTH])


def _crop_centre() -> Float64Array:
    centre: Float64Array = CROP_POINTS_PX.mean(axis=0)
    return centre
