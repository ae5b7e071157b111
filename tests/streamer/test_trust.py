"""A synthetic face is drawn only where a face was verified, and the answer does not flip at a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from engines.face.pose import Similarity3D, head_pose
from engines.face.topology import canonical_mesh
from streamer.frame import FaceSource, TrackedFace
from streamer.render.compositor import FallbackReason
from streamer.render.trust import PRESENCE_ENTER, PRESENCE_KEEP, TrackTrust


def _mesh(yaw_degrees: float = 0.0, pitch_degrees: float = 0.0) -> np.ndarray:
    yaw, pitch = np.radians(yaw_degrees), np.radians(pitch_degrees)
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    posed = Similarity3D(60.0, about_y @ about_x, np.array([200.0, 150.0, 0.0])).apply(canonical_mesh())
    return posed.astype(np.float32)


def _face(mesh: np.ndarray, grow: float = 1.06, shift: float = 0.0, score: float = 0.9) -> TrackedFace:
    low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
    middle, half = (low + high) / 2 + shift * (high - low), (high - low) / 2 * grow
    box = np.concatenate([middle - half, middle + half]).astype(np.float32)
    return TrackedFace(1, box, score, FaceSource.DETECTED)


def _judge(
    trust: TrackTrust, mesh: np.ndarray, presence: float = 40.0, face: TrackedFace | None = None
) -> object:
    return trust.judge(presence, mesh, face or _face(mesh), head_pose(mesh))


def test_a_clear_face_is_trusted() -> None:
    assert _judge(TrackTrust(), _mesh()) is None


def test_low_presence_is_no_face_whatever_the_detector_says() -> None:
    assert _judge(TrackTrust(), _mesh(), presence=-9.0) is FallbackReason.NOT_VERIFIED


@pytest.mark.parametrize(("grow", "shift"), [(1.9, 0.0), (0.6, 0.0), (1.06, 0.3)])
def test_a_mesh_that_does_not_fit_its_box_would_leave_face_bare(grow: float, shift: float) -> None:
    mesh = _mesh()
    assert _judge(TrackTrust(), mesh, face=_face(mesh, grow, shift)) is FallbackReason.NOT_VERIFIED


@pytest.mark.parametrize(("yaw", "pitch"), [(75.0, 0.0), (-75.0, 0.0), (0.0, 60.0)])
def test_faces_turned_too_far_are_oblique(yaw: float, pitch: float) -> None:
    assert _judge(TrackTrust(), _mesh(yaw, pitch)) is FallbackReason.OBLIQUE


def test_what_is_trusted_stays_so_between_the_thresholds_and_what_is_not_does_not_become_so() -> None:
    between = (PRESENCE_ENTER + PRESENCE_KEEP) / 2
    fresh, trusted = TrackTrust(), TrackTrust()
    _judge(trusted, _mesh())
    assert _judge(trusted, _mesh(), presence=between) is None
    assert _judge(fresh, _mesh(), presence=between) is FallbackReason.NOT_VERIFIED
    assert _judge(trusted, _mesh(yaw_degrees=56.0)) is None
    assert _judge(fresh, _mesh(yaw_degrees=56.0)) is FallbackReason.OBLIQUE


def test_what_the_detector_was_never_sure_of_must_show_a_clear_face() -> None:
    """A skull on a shirt: it looks a little like a face to both models, and must not get one."""
    mesh = _mesh()
    unsure, known = TrackTrust(), TrackTrust()
    _judge(known, mesh, presence=-9.0, face=_face(mesh, score=0.95))
    assert _judge(unsure, mesh, presence=5.5, face=_face(mesh, score=0.8)) is FallbackReason.NOT_VERIFIED
    assert _judge(known, mesh, presence=5.5, face=_face(mesh, score=0.8)) is None
