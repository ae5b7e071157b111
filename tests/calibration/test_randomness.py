"""The keyed generator is the standard's, its integers are unbiased, and labels cannot be confused."""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.errors import CalibrationError
from calibration.randomness import (
    DrawLabel,
    HmacDrbg,
    KeyedRandom,
    SystemRandom,
    standard_normals,
    uniform_doubles,
)

KEY = bytes(range(32))
LABEL = DrawLabel("camera-1", "morning", 7, "ab" * 32, "codebook", Fraction(1))


def test_drbg_matches_the_nist_vector() -> None:
    # NIST CAVP, HMAC_DRBG.rsp, no reseed, SHA-256, COUNT = 0: the second request is the one published.
    drbg = HmacDrbg(
        bytes.fromhex("ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488"),
        bytes.fromhex("659ba96c601dc69fc902940805ec0ca8"),
    )
    drbg.generate(128)
    assert drbg.generate(128).hex() == (
        "e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89"
        "d54fbb978a15b5c443c9ec21036d2460b6f73ebad0dc2aba6e624abf07745bc1"
        "07694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668"
        "961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8"
    )


def test_drbg_gives_the_nonce_of_rfc_6979() -> None:
    # RFC 6979, A.2.5: the deterministic k of ECDSA on P-256 for "sample" is one request of this generator.
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    private = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
    digest = int.from_bytes(hashlib.sha256(b"sample").digest(), "big") % order
    k = HmacDrbg(private, digest.to_bytes(32, "big")).generate(32).hex()
    assert k == "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60"


@given(st.integers(min_value=1, max_value=1 << 90))
def test_randbelow_stays_below(bound: int) -> None:
    assert 0 <= KeyedRandom(KEY, b"test").randbelow(bound) < bound


def test_randbelow_is_even() -> None:
    random = KeyedRandom(KEY, b"evenness")
    counts = Counter(random.randbelow(5) for _ in range(10_000))
    assert set(counts) == set(range(5))
    chi_squared = sum((count - 2000) ** 2 / 2000 for count in counts.values())
    assert chi_squared < 23.5  # 4 degrees of freedom, one in ten thousand


def test_replay_by_key_and_different_keys_differ() -> None:
    first = [KeyedRandom.for_draw(KEY, LABEL).randbelow(1 << 80) for _ in range(3)]
    assert first[0] == first[1] == first[2]
    assert KeyedRandom.for_draw(KEY[::-1], LABEL).randbelow(1 << 80) != first[0]
    assert KeyedRandom.for_draw(KEY, LABEL, "commitment").randbelow(1 << 80) != first[0]


@pytest.mark.parametrize(
    "change",
    [
        {"stream": "camera-2"},
        {"session": "evening"},
        {"track_id": 8},
        {"codebook_sha256": "cd" * 32},
        {"mechanism": "privunit"},
        {"epsilon": Fraction(2)},
        {"stream": "camera-1m", "session": "orning"},
    ],
)
def test_every_field_of_the_label_counts(change: dict[str, object]) -> None:
    other = replace(LABEL, **change)  # type: ignore[arg-type]
    assert KeyedRandom.for_draw(KEY, LABEL).token_bytes(16) != KeyedRandom.for_draw(KEY, other).token_bytes(
        16
    )


def test_short_keys_and_credentials_are_refused() -> None:
    with pytest.raises(CalibrationError, match="32 bytes"):
        KeyedRandom(b"short", b"")
    with pytest.raises(CalibrationError, match="credentials") as caught:
        replace(LABEL, stream="rtsp://admin:hunter2@camera/1")
    assert "hunter2" not in str(caught.value)


def test_state_is_not_shown() -> None:
    assert repr(HmacDrbg(KEY)) == "HmacDrbg(<hidden state>)"
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(KeyedRandom.for_draw(KEY, LABEL))


def test_long_requests_are_split() -> None:
    assert len(KeyedRandom(KEY, b"").token_bytes(200_001)) == 200_001


@pytest.mark.parametrize("random", [SystemRandom(), KeyedRandom(KEY, b"doubles")])
def test_doubles_have_their_moments(random: SystemRandom | KeyedRandom) -> None:
    uniforms = uniform_doubles(random, (50_000,))
    assert uniforms.min() > 0.0
    assert uniforms.max() < 1.0
    assert abs(uniforms.mean() - 0.5) < 0.01
    normals = standard_normals(random, (251, 101))
    assert normals.shape == (251, 101)
    assert abs(normals.mean()) < 0.04
    assert abs(np.var(normals) - 1.0) < 0.06
