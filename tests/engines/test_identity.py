"""Codes of one person agree and of two do not; nothing else may come out."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from engines.errors import EngineError
from engines.face.template import RECOGNITION_POINTS_PX, similarity_from_points
from engines.face.topology import five_points
from engines.identity import IdentityEncoder


@pytest.fixture(scope="module")
def encoder() -> IdentityEncoder:
    return IdentityEncoder.open()


@pytest.fixture(scope="module")
def aligned(people: Any) -> Any:
    """(2 n, 112, 112, 3) float32: each person as in the codebook, then each darker, blurred and shifted."""
    faces = []
    for person in people:
        affine = similarity_from_points(five_points(person.mesh_xyz_px)[:, :2], RECOGNITION_POINTS_PX)
        faces.append(cv2.warpAffine(person.appearance_rgb_u8, affine, (112, 112), flags=cv2.INTER_AREA))
    others = [np.roll(cv2.GaussianBlur(face, (0, 0), 1.0) * 0.8, 2, axis=1) for face in faces]
    return np.stack([*faces, *others]).astype(np.float32)


def test_codes_are_of_unit_length(encoder: IdentityEncoder, aligned: Any) -> None:
    codes = encoder.encode(aligned)
    assert codes.shape == (len(aligned), 128)
    assert codes.dtype == np.float32
    assert np.allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)


def test_codes_tell_people_apart(encoder: IdentityEncoder, aligned: Any) -> None:
    codes = encoder.encode(aligned)
    count = len(aligned) // 2
    cosines = codes[:count] @ codes[count:].T
    same = np.diag(cosines)
    assert same.min() > 0.6
    assert cosines[~np.eye(count, dtype=bool)].max() < same.min()


def test_a_batch_gives_what_single_calls_give(encoder: IdentityEncoder, aligned: Any) -> None:
    codes = encoder.encode(aligned[:3])
    for index in range(3):
        assert np.abs(encoder.encode(aligned[index : index + 1])[0] - codes[index]).max() < 1e-4


def test_no_faces_are_no_work(encoder: IdentityEncoder) -> None:
    assert encoder.encode(np.empty((0, 112, 112, 3), np.float32)).shape == (0, 128)


@pytest.mark.parametrize("shape", [(1, 3, 112, 112), (112, 112, 3), (1, 128, 128, 3)])
def test_other_shapes_are_refused(encoder: IdentityEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError, match="expected"):
        encoder.encode(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_code_without_direction_is_an_error(stub_engine: Any, value: float) -> None:
    engine = stub_engine(lambda inputs: {"fc1": np.full((1, 128), value, np.float32)})
    with pytest.raises(EngineError):
        IdentityEncoder(engine).encode(np.zeros((1, 112, 112, 3), np.float32))


def test_errors_hold_no_numbers_of_a_code(stub_engine: Any) -> None:
    """A message ends in logs; a recognition code must not."""
    code = np.full((1, 128), 0.123456, np.float32)
    code[0, 5] = np.nan
    with pytest.raises(EngineError) as caught:
        IdentityEncoder(stub_engine(lambda inputs: {"fc1": code})).encode(
            np.zeros((1, 112, 112, 3), np.float32)
        )
    assert "0.123" not in str(caught.value)
