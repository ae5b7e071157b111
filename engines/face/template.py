"""The one place of the face templates, and the similarity that brings five points onto them.

Points are in the order left eye, right eye, nose tip, left mouth corner, right mouth corner, image left
first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

CROP_SIDE_PX = 128
RECOGNITION_SIDE_PX = 112

# The 112 px template that the common face recognisers were trained with (ArcFace, arXiv 1801.07698).
RECOGNITION_POINTS_PX: Float64Array = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)

# Smaller than the recognition template in its frame, so that the whole oval and some context lie inside.
CROP_POINTS_PX: Float64Array = (RECOGNITION_POINTS_PX - (56.0, 60.0)) * 0.86 + (64.0, 66.0)

for _template in (RECOGNITION_POINTS_PX, CROP_POINTS_PX):
    _template.setflags(write=False)


def similarity_from_points(points_xy_px: npt.ArrayLike, template_xy_px: npt.ArrayLike) -> Float64Array:
    """Similarity (rotation, uniform scale, shift) that best brings points onto a template.

    Closed-form least squares (Umeyama, IEEE PAMI 13(4), 1991), so it is deterministic and uses every point.

    Args:
        points_xy_px: (N, 2), N >= 2, anywhere.
        template_xy_px: (N, 2), where they should come to lie.

    Returns:
        `template_from_points`, (2, 3) float64.

    Raises:
        ValueError: the points are not finite, or all lie on one place.
    """
    source = np.asarray(points_xy_px, dtype=np.float64)
    target = np.asarray(template_xy_px, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ValueError(f"need two lists of (N >= 2, 2) points, got {source.shape} and {target.shape}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("points must be finite")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    spread = float((a * a).sum())
    if spread < 1e-12:
        raise ValueError("all points lie on one place; no similarity can be fitted")
    # A 2D similarity is one complex factor; least squares gives it directly, without reflections.
    real = float((a * b).sum()) / spread
    imaginary = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    linear = np.array([[real, -imaginary], [imaginary, real]])
    return np.column_stack([linear, target_mean - linear @ source_mean])


def crop_from_points(points_xy_px: npt.ArrayLike) -> Float64Array:
    """`crop_from_display` (2, 3) float64 of a face with these five points (5, 2), in crop px of the 128 px
    crop.

    Good for faces up to about 40 degrees of yaw; a turned head moves the eyes together, and the crop would
    grow. Where the dense landmarks are known, `engines.face.pose.crop_from_mesh` does not have this weakness.
    """
    return similarity_from_points(points_xy_px, CROP_POINTS_PX)


def transform_points(matrix: npt.ArrayLike, points_px: npt.ArrayLike) -> Float64Array:
    """Applies an affine (2, 3) to points (N, 2), or to meshes (N, 3), whose depth is scaled along with the
    picture.
    """
    affine = np.asarray(matrix, dtype=np.float64)
    points = np.asarray(points_px, dtype=np.float64)
    moved: Float64Array = points[:, :2] @ affine[:, :2].T + affine[:, 2]
    if points.shape[1] == 2:
        return moved
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    return np.column_stack([moved, points[:, 2] * scale])
