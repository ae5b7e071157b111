"""Where the randomness of a draw comes from: the system's CSPRNG, or a keyed generator that can be replayed.

`KeyedRandom` is HMAC_DRBG with SHA-256 (NIST SP 800-90A Rev. 1, section 10.1.2) instantiated from the key and
the label of one draw. It is used as a pseudorandom function of that label: the same key and label always give
the same numbers, other labels or keys give independent ones, as far as HMAC-SHA-256 is a PRF. With it the
epsilon claim is computational and holds against those who do not have the key.

It departs from the standard in one point: there is no nonce. The key, at least 256 random bits, is the entropy input,
and the label stands where nonce and personalization string would. A nonce is there to tell instances apart that might
get the same entropy; here the label does that, and two draws of one label are meant to be the same.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationError
from calibration.exact import epsilon_text

Float64Array = npt.NDArray[np.float64]
_MAX_REQUEST_BYTES = 1 << 16  # SP 800-90A, table 2
_CREDENTIALS = re.compile(r"://[^/\s]*@")


class RandomSource(Protocol):
    """Uniform randomness: unbiased, and unpredictable to whoever sees the output video."""

    def randbelow(self, bound: int) -> int:
        """Uniform integer in 0 .. bound - 1."""
        ...

    def token_bytes(self, count: int) -> bytes:
        """`count` uniform bytes."""
        ...


class SystemRandom:
    """The operating system's generator, by way of `secrets`."""

    def randbelow(self, bound: int) -> int:
        return secrets.randbelow(bound)

    def token_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


class HmacDrbg:
    """HMAC_DRBG with SHA-256, no prediction resistance, no reseeding (SP 800-90A Rev. 1, 10.1.2)."""

    def __init__(self, entropy: bytes, nonce: bytes = b"", personalization: bytes = b"") -> None:
        self._key = bytes(32)
        self._value = b"\x01" * 32
        self._update(entropy + nonce + personalization)

    def __repr__(self) -> str:
        return "HmacDrbg(<hidden state>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keyed generator is a secret and is not pickled")

    def _update(self, data: bytes) -> None:
        for marker in (b"\x00", b"\x01"):
            self._key = hmac.digest(self._key, self._value + marker + data, "sha256")
            self._value = hmac.digest(self._key, self._value, "sha256")
            if not data:
                return

    def generate(self, count: int) -> bytes:
        """The next `count` bytes of one request; at most 65,536."""
        if not 0 <= count <= _MAX_REQUEST_BYTES:
            raise ValueError(f"a request is 0 to {_MAX_REQUEST_BYTES} bytes, got {count}")
        blocks = []
        for _ in range(-(-count // 32)):
            self._value = hmac.digest(self._key, self._value, "sha256")
            blocks.append(self._value)
        self._update(b"")
        return b"".join(blocks)[:count]


@dataclass(frozen=True)
class DrawLabel:
    """What one draw is for. With a key, one label is never drawn for two embeddings.

    Attributes:
        stream: name of the source, without credentials.
        session: names the run (for files: something that is the same when the run is to be replayed).
        track_id: the track within the stream.
        codebook_sha256: hex digest of the codebook file.
        mechanism: name of the mechanism.
        epsilon: the epsilon asked for; None where there is none (`hide`).
    """

    stream: str
    session: str
    track_id: int
    codebook_sha256: str
    mechanism: str
    epsilon: Fraction | None

    def __post_init__(self) -> None:
        # What no ledger ever held. `calibration.names` refuses more, and only what is about to be written: what earlier
        # versions wrote must stay readable.
        if _CREDENTIALS.search(self.stream):
            raise CalibrationError("the stream's name carries credentials: name it without them")

    def encode(self, purpose: str) -> bytes:
        """Unambiguous bytes: every field behind its length, so no two labels read the same."""
        fields = (
            "veilstream/1", purpose, self.stream, self.session, str(self.track_id),
            self.codebook_sha256, self.mechanism,
            "none" if self.epsilon is None else epsilon_text(self.epsilon),
        )  # fmt: skip
        parts = [field.encode("utf-8", "surrogatepass") for field in fields]
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


class KeyedRandom:
    """Replayable randomness: HMAC_DRBG seeded by a key and a byte string that names what it is for."""

    def __init__(self, key: bytes, personalization: bytes) -> None:
        if len(key) < 32:
            raise CalibrationError(f"a key has at least 32 bytes, got {len(key)}")
        self._drbg = HmacDrbg(key, b"", personalization)

    @classmethod
    def for_draw(cls, key: bytes, label: DrawLabel, purpose: str = "draw") -> KeyedRandom:
        return cls(key, label.encode(purpose))

    def randbelow(self, bound: int) -> int:
        """By rejection: the top bits of a request, drawn again until below `bound`; no modulo bias."""
        if bound <= 0:
            raise ValueError(f"bound must be positive, got {bound}")
        bits = bound.bit_length()
        size = -(-bits // 8)
        while True:
            value = int.from_bytes(self._drbg.generate(size), "big") >> (8 * size - bits)
            if value < bound:
                return value

    def token_bytes(self, count: int) -> bytes:
        starts = range(0, count, _MAX_REQUEST_BYTES)
        return b"".join(self._drbg.generate(min(_MAX_REQUEST_BYTES, count - start)) for start in starts)


def uniform_doubles(random: RandomSource, shape: tuple[int, ...]) -> Float64Array:
    """Doubles in the open interval (0, 1), from 52 random bits each: (k + 1/2) / 2^52, all of them exact."""
    count = int(np.prod(shape))
    words = np.frombuffer(random.token_bytes(8 * count), dtype="<u8")
    uniforms: Float64Array = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return uniforms.reshape(shape)


def standard_normals(random: RandomSource, shape: tuple[int, ...]) -> Float64Array:
    """Standard normal doubles by Box and Muller (1958)."""
    count = int(np.prod(shape))
    half = (count + 1) // 2
    uniforms = uniform_doubles(random, (2, half))
    radius = np.sqrt(-2.0 * np.log(uniforms[0]))
    angle = (2.0 * np.pi) * uniforms[1]
    normals: Float64Array = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normals[:count].reshape(shape)
