"""`hide` keeps cosines under one key, makes them chance across keys, and is undone only with the key."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from calibration.assign import IdentityAssigner
from calibration.claims import HIDDEN, KEYED, PURE, WITH_DELTA, claim_of
from calibration.codebook import Codebook
from calibration.errors import CalibrationError, CodeError
from calibration.hide import KeyedRotation, haar_orthogonal
from calibration.keys import key_fingerprint
from calibration.ledger import FileLedger, verify_ledger
from calibration.mechanisms import CodebookMechanism, GaussianMechanism
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
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(rotation)
    with pytest.raises(CodeError):
        rotation.hide(np.ones(9))


def subject(codebook: Codebook, key: bytes, purpose: str = "door", **options: object) -> IdentityAssigner:
    rotation = KeyedRotation(key, codebook.space.dimension, purpose)
    return IdentityAssigner(rotation, codebook, session="run", **options)  # type: ignore[arg-type]


def shown(codebook: Codebook, key: bytes, faces: np.ndarray, purpose: str = "door") -> list[int]:
    """Who each face wears, one after another."""
    assigner = subject(codebook, key, purpose)
    indices = []
    for track, face in enumerate(faces):
        indices.append(assigner.assign("camera", track, face).index)
        assigner.release(track)
    return indices


def test_one_person_under_one_key_is_one_synthetic_person(codebook: Codebook) -> None:
    faces = np.random.default_rng(1).normal(size=(60, 16))
    again = faces + 1e-4 * np.random.default_rng(2).normal(size=faces.shape)
    first = shown(codebook, KEY, faces)
    assert np.mean(np.equal(first, shown(codebook, KEY, again))) > 0.95
    # Another key or purpose: no more often the same than by chance.
    for key, purpose in ((KEY[::-1], "door"), (KEY, "archive")):
        assert np.mean(np.equal(first, shown(codebook, key, faces, purpose))) < 0.2


def test_it_shows_the_person_nearest_to_the_rotated_code(codebook: Codebook) -> None:
    face = np.random.default_rng(3).normal(size=16)
    rotated = KeyedRotation(KEY, codebook.space.dimension, "door").hide(codebook.space.direction(face))
    nearest = codebook.space.rank(rotated, np.arange(codebook.size))
    assigner = subject(codebook, KEY)
    assert [assigner.assign("camera", track, face).index for track in (1, 2)] == nearest[:2].tolist()


def test_the_ledger_and_the_assignment_state_no_epsilon(codebook: Codebook, tmp_path: Path) -> None:
    ledger = FileLedger(tmp_path / "ledger.jsonl")
    assigner = subject(codebook, KEY, ledger=ledger)
    assignment = assigner.assign("camera", 1, np.random.default_rng(4).normal(size=16))
    assert assignment.epsilon is None
    assert not assignment.replayed
    line = json.loads(ledger.path.read_text())
    assert line["mechanism"] == "hide"
    assert line["epsilon"] is None
    assert line["key"] == key_fingerprint(KEY)
    (scope,) = verify_ledger(ledger.path).scopes
    assert (scope.draws, scope.hidden, scope.epsilon) == (1, 1, 0)
    with pytest.raises(CalibrationError, match="budget would limit nothing"):
        subject(codebook, KEY, budget=1)


def test_claims() -> None:
    """The words are PRIVACY's own; none of them calls a hidden or an approximate draw pure."""
    rotation = KeyedRotation(KEY, 8, "door")
    assert "no epsilon" in claim_of(rotation)
    assert "LDP" not in claim_of(rotation)
    assert "not a pure one" in claim_of(GaussianMechanism(1, 8))
    assert "k*delta" in claim_of(GaussianMechanism(1, 8))
    assert claim_of(CodebookMechanism(1)) == PURE
    assert "computational" in claim_of(CodebookMechanism(1), keyed=True)


def test_the_page_on_privacy_has_the_claim_word_for_word() -> None:
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
    quoted = " ".join(line.removeprefix(">").strip() for line in page.splitlines() if line.startswith(">"))
    for claim in (PURE, WITH_DELTA, KEYED, HIDDEN):
        assert claim in quoted


def test_as_many_known_pairs_as_dimensions_undo_the_rotation_for_everybody(codes: np.ndarray) -> None:
    """Why a key is for one purpose and must be rotated: Procrustes (Schoenemann 1966) needs no key."""
    dimension = 32
    rotation = KeyedRotation(KEY, dimension, "door")
    known = np.random.default_rng(5).normal(size=(dimension, dimension))
    pairs = np.stack([rotation.hide(code) for code in known / np.linalg.norm(known, axis=1, keepdims=True)])
    left, _, right = np.linalg.svd(pairs.T @ (known / np.linalg.norm(known, axis=1, keepdims=True)))
    stranger = codes[0][:dimension] / np.linalg.norm(codes[0][:dimension])
    assert np.allclose((left @ right).T @ rotation.hide(stranger), stranger)
