"""Whether a mesh can be believed, and a face rendered from it. With hysteresis, so that an answer does not flip.

A detector fires on shirts and ornaments; a synthetic person must not grow there. The landmark model's own presence
score decides, together with how well its mesh agrees with the detector's box.
"""

from __future__ import annotations

import numpy as np

from engines.face.pose import HeadPose
from streamer.frame import FaceSource, Float32Array, Float64Array, TrackedFace
from streamer.render.compositor import FallbackReason

MINIMUM_SIDE_PX = 20.0
# Raw presence scores: faces from 2.5 up (clear ones above 30), false detections below -2 (docs/models).
PRESENCE_ENTER, PRESENCE_KEEP = 3.0, 0.0
# What a track needs that the detector never scored so high: a skull on a shirt had up to 5.5 at a score of .8, a hazy
# face in its first frames no more than that, at .95.
FAIR_SCORE = 0.9
PRESENCE_ENTER_UNSURE = 15.0
YAW_ENTER_RADIANS, YAW_KEEP_RADIANS = np.radians(52.0), np.radians(60.0)
PITCH_ENTER_RADIANS, PITCH_KEEP_RADIANS = np.radians(38.0), np.radians(45.0)
# How far the mesh's centre may be off, in box sides, and its size as a share of the box's: measured on faces of eight
# clips, .00 to .08 and .89 to .98. A mesh that sits on half of a face would leave the other half bare. Boxes that were
# not detected but guessed (interpolated, held) are grown on purpose.
CENTRE_TOLERANCE = 0.16
SIZE_RATIO = (0.78, 1.25)
SIZE_RATIO_OF_GUESSED = (0.6, 1.25)


class TrackTrust:
    """Remembers what a track was answered last."""

    def __init__(self) -> None:
        self._trusted = False
        self._was_fair = False

    def judge(
        self, presence: float, mesh_xyz_px: Float32Array, face: TrackedFace, pose: HeadPose
    ) -> FallbackReason | None:
        """None when the face can be rendered, else the reason why not.

        Args:
            presence: raw presence score of the landmark model.
            mesh_xyz_px: (468, 3) display px.
            face: where the detector or the tracker says it is.
        """
        self._was_fair = self._was_fair or face.score >= FAIR_SCORE
        reason = self._reason(presence, mesh_xyz_px, face, pose)
        self._trusted = reason is None
        return reason

    def _reason(
        self, presence: float, mesh_xyz_px: Float32Array, face: TrackedFace, pose: HeadPose
    ) -> FallbackReason | None:
        enter = PRESENCE_ENTER if self._was_fair else PRESENCE_ENTER_UNSURE
        if presence < (PRESENCE_KEEP if self._trusted else enter):
            return FallbackReason.NOT_VERIFIED
        ratio = SIZE_RATIO if face.source is FaceSource.DETECTED else SIZE_RATIO_OF_GUESSED
        if not _agrees(mesh_xyz_px, face.box_xyxy_px, ratio):
            return FallbackReason.NOT_VERIFIED
        yaw_limit = YAW_KEEP_RADIANS if self._trusted else YAW_ENTER_RADIANS
        pitch_limit = PITCH_KEEP_RADIANS if self._trusted else PITCH_ENTER_RADIANS
        if abs(pose.yaw_radians) > yaw_limit or abs(pose.pitch_radians) > pitch_limit:
            return FallbackReason.OBLIQUE
        return None


def box_side_px(box_xyxy_px: Float32Array) -> float:
    """Shorter side of a box."""
    return float(min(box_xyxy_px[2] - box_xyxy_px[0], box_xyxy_px[3] - box_xyxy_px[1]))


def _agrees(mesh_xyz_px: Float32Array, box_xyxy_px: Float32Array, size_ratio: tuple[float, float]) -> bool:
    """True when the mesh lies where the box is, and is about as large."""
    mesh = _bounds(mesh_xyz_px)
    box = np.asarray(box_xyxy_px, dtype=np.float64)
    size = np.maximum(box[2:] - box[:2], 1.0)
    offset = np.abs((mesh[:2] + mesh[2:]) - (box[:2] + box[2:])) / 2.0 / size.max()
    ratio = np.sqrt(np.prod(mesh[2:] - mesh[:2]) / np.prod(size))
    return bool(offset.max() <= CENTRE_TOLERANCE and size_ratio[0] <= ratio <= size_ratio[1])


def _bounds(mesh_xyz_px: Float32Array) -> Float64Array:
    points = mesh_xyz_px[:, :2].astype(np.float64)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
