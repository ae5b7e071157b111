"""`hide` keeps cosines under one key, makes them chance across keys, and is undone only with the key."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.errors import CodeError
from calibration.hide import KeyedRotation, haar_orthogonal
from calibration.randomness import KeyedRandom

KEY = bytes(range(32))
DIMENSION = 128


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    codes = np.random.default_rng(0).normal(size=(60, DIMENSION))
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def hidden(key: bytes, codes: np.ndarray, purpose: str = "door") -> np.ndarray:
    rotation = KeyedRotation(key, DIMENSION, purpose)
    return np.stack([rotation.hide(code) for code in codes])


def test_same_key_keeps_cosines(codes: np.ndarray) -> None:
    assert np.allclose(hidden(KEY, codes) @ hidden(KEY, codes).T, codes @ codes.T, atol=1e-12)


@pytest.mark.parametrize(("key", "purpose"), [(KEY[::-1], "door"), (KEY, "archive")])
def test_other_key_or_purpose_is_chance(codes: np.ndarray, key: bytes, purpose: str) -> None:
    same_person = np.sum(hidden(KEY, codes) * hidden(key, codes, purpose), axis=1)
    assert abs(same_person.mean()) < 4 / np.sqrt(DIMENSION * len(codes))
    assert np.abs(same_person).max() < 0.45


def test_looks_like_somebody_else_and_the_key_brings_it_back(codes: np.ndarray) -> None:
    rotation = KeyedRotation(KEY, DIMENSION, "door")
    assert abs(float(rotation.hide(codes[0]) @ codes[0])) < 0.45
    assert np.allclose(rotation.reveal(rotation.hide(codes[0])), codes[0])


def test_rotation_is_haar() -> None:
    # Trace of a Haar orthogonal matrix has mean 0 and variance 1; without the sign correction it has not.
    traces = []
    for seed in range(400):
        rotation = haar_orthogonal(KeyedRandom(KEY, str(seed).encode()), 6)
        assert np.allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)
        traces.append(np.trace(rotation))
    assert abs(np.mean(traces)) < 0.2
    assert 0.75 < np.var(traces) < 1.3


def test_claims_nothing() -> None:
    rotation = KeyedRotation(KEY, 8, "door")
    assert rotation.epsilon is None
    assert "hidden" in repr(rotation)
    with pytest.raises(CodeError):
        rotation.hide(np.ones(9))
