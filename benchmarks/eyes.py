"""Opening and gaze of the eyes of a picture, by the iris model. Apart from what the product itself reads of eyes, so
that its choices (which eye, how often, how smoothed) are among the things measured.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from engines.face.topology import EYE_LEFT, EYE_RIGHT
from engines.landmarks import IRIS_PATCH_PX, IrisLandmarks

Float64Array = npt.NDArray[np.float64]

EYE_WIDTHS = 2.3
# Points of the model's contour: corners, then pairs of (upper, lower) lid points in the middle of the eye.
_CORNERS = (0, 8)
_LID_PAIRS = ((11, 3), (12, 4), (13, 5))


class EyeReader:
    """Reads both eyes of a face."""

    def __init__(self) -> None:
        self._iris = IrisLandmarks.open(threads=1)

    def read(
        self, picture_rgb_u8: npt.NDArray[np.uint8], mesh_xyz_px: npt.NDArray[np.float32]
    ) -> tuple[Float64Array, Float64Array]:
        """Opening over width (2,) of the eyes, image left first, and gaze (2,): iris centre to the right of the middle
        between the corners and below their line, in eye widths, mean of both eyes.
        """
        patches = []
        for eye, mirrored in ((EYE_LEFT, False), (EYE_RIGHT, True)):
            points = mesh_xyz_px[eye, :2].astype(np.float64)
            along = points[0] - points[8] if mirrored else points[8] - points[0]
            width = max(float(np.linalg.norm(along)), 1.0)
            cosine, sine = along / width * (IRIS_PATCH_PX / (EYE_WIDTHS * width))
            turn = np.array([[cosine, sine], [-sine, cosine]])
            if mirrored:
                turn[0] = -turn[0]
            shift = (IRIS_PATCH_PX - 1) / 2 - turn @ points.mean(axis=0)
            side = (IRIS_PATCH_PX, IRIS_PATCH_PX)
            patch = cv2.warpAffine(picture_rgb_u8, np.column_stack([turn, shift]), side)
            patches.append(patch.astype(np.float32) / np.float32(255.0))
        contours, irises = self._iris.run(np.stack(patches))
        contours_xy, centre = contours[:, :, :2].astype(np.float64), irises[:, 0, :2].astype(np.float64)
        first, last = contours_xy[:, _CORNERS[0]], contours_xy[:, _CORNERS[1]]
        width = np.maximum(np.linalg.norm(last - first, axis=1), 1.0)
        gaps = [np.linalg.norm(contours_xy[:, a] - contours_xy[:, b], axis=1) for a, b in _LID_PAIRS]
        gaze = (centre - (first + last) / 2) / width[:, None]
        gaze[1, 0] = -gaze[1, 0]
        return np.mean(gaps, axis=0) / width, gaze.mean(axis=0)
