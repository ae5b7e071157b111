"""Dense face landmarks and irises (MediaPipe Face Mesh and Iris).

Kartynnik, Ablavatski, Grishchenko, Grundmann: Real-time Facial Surface Geometry from Monocular Video on
Mobile GPUs (2019); Ablavatski, Vakunov, Grishchenko, Raveendran, Zhdanovich: Real-time Pupil Tracking from
Monocular Video for Digital Puppetry (2020)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engines.backends import BackendName
from engines.contract import Engine, EngineInfo, checked_infer
from engines.errors import EngineError
from engines.zoo.registry import open_model

Floats = npt.NDArray[np.float32]

MESH_PATCH_PX = 192
MESH_POINTS = 468
IRIS_PATCH_PX = 64
# Side of the patch in sides of the box. Measured on 100 rendered faces with known landmarks: median error
# of the mouth is .065 of the eye distance at 1.25, .075 at 1.5 and .137 at 1.75, and the presence score is
# highest at 1.25.
PATCH_BOX_SCALE = 1.25


class FaceMesh:
    """468 points and a presence score for each face patch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, *, backend: BackendName = "auto", threads: int = 1) -> FaceMesh:
        """With the registry's model."""
        return cls(open_model("face-mesh", backend=backend, threads=threads))

    def run(self, patches_rgb_f32: Floats) -> tuple[Floats, Floats]:
        """All faces of a frame in one call.

        Args:
            patches_rgb_f32: (N, 192, 192, 3) float32 RGB in 0..1, cut by `patch_from_box_and_points`.

        Returns:
            points_xyz_px: (N, 468, 3) float32 in px of the patch; z has the scale of x, smaller is nearer.
            presence: (N,) float32 raw score, no probability: see docs/models for its range.

        Raises:
            EngineError: wrong shape or dtype, or the engine failed or gave numbers that are not finite.
        """
        _check(patches_rgb_f32, (MESH_PATCH_PX, MESH_PATCH_PX, 3))
        count = len(patches_rgb_f32)
        if not count:
            return np.empty((0, MESH_POINTS, 3), np.float32), np.empty(0, np.float32)
        inputs = {"input_1": np.ascontiguousarray(patches_rgb_f32)}
        points, presence = checked_infer(self._engine, inputs, ("conv2d_20", "conv2d_30"))
        return points.reshape(count, MESH_POINTS, 3), presence.reshape(count)

    def describe(self) -> EngineInfo:
        """What runs the model."""
        return self._engine.describe()


class IrisLandmarks:
    """Contour and iris points of an eye patch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, *, backend: BackendName = "auto", threads: int = 1) -> IrisLandmarks:
        """With the registry's model."""
        return cls(open_model("iris", backend=backend, threads=threads))

    def run(self, eyes_rgb_f32: Floats) -> tuple[Floats, Floats]:
        """All eyes of a frame in one call.

        Args:
            eyes_rgb_f32: (N, 64, 64, 3) float32 RGB in 0..1: an eye centred in 2.3 times its width. The eye
                on the right of the picture must be mirrored, and its points mirrored back.

        Returns:
            contour_xyz_px: (N, 71, 3) float32 in px of the patch, lids, halo and brow.
            iris_xyz_px: (N, 5, 3) float32: centre, then four points of the rim.

        Raises:
            EngineError: as `FaceMesh.run`.
        """
        _check(eyes_rgb_f32, (IRIS_PATCH_PX, IRIS_PATCH_PX, 3))
        count = len(eyes_rgb_f32)
        if not count:
            return np.empty((0, 71, 3), np.float32), np.empty((0, 5, 3), np.float32)
        inputs = {"input_1": np.ascontiguousarray(eyes_rgb_f32)}
        wanted = ("output_eyes_contours_and_brows", "output_iris")
        contour, iris = checked_infer(self._engine, inputs, wanted)
        return contour.reshape(count, 71, 3), iris.reshape(count, 5, 3)

    def describe(self) -> EngineInfo:
        """What runs the model."""
        return self._engine.describe()


def patch_from_box_and_points(
    box_xyxy_px: npt.NDArray[Any], points_xy_px: npt.NDArray[Any] | None, size: int = MESH_PATCH_PX
) -> npt.NDArray[np.float64]:
    """Similarity (2, 3) `patch_from_display` of the square patch the face mesh wants.

    The square is 1.25 times the longer side of the box, about the box's centre, and turned so that the eyes
    lie level; the mesh model is trained on upright faces.

    Args:
        box_xyxy_px: (4,) left, top, right, bottom in display px.
        points_xy_px: (5, 2) points of the detector in display px, eyes first, or None for an upright patch.
        size: side of the patch in px.
    """
    box = np.asarray(box_xyxy_px, np.float64)
    centre = (box[:2] + box[2:]) / 2
    side = max(float((box[2:] - box[:2]).max()), 1.0) * PATCH_BOX_SCALE
    along = np.array([1.0, 0.0])
    if points_xy_px is not None:
        eyes = np.asarray(points_xy_px[1], np.float64) - np.asarray(points_xy_px[0], np.float64)
        length = float(np.hypot(*eyes))
        # Eyes that fall together (a profile) tell no direction.
        if length > 0.02 * side:
            along = eyes / length
    scale = size / side
    turn = scale * np.array([[along[0], along[1]], [-along[1], along[0]]])
    return np.concatenate([turn, ((size - 1) / 2 - turn @ centre)[:, None]], axis=1)


def _check(array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape or array.dtype != np.float32:
        raise EngineError(
            f"expected (N, {', '.join(map(str, shape))}) float32, not {array.shape} {array.dtype}"
        )
