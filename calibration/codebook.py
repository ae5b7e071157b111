"""Reads the codebook: the public list of synthetic people a track can be given.

The file is a `.npz` without pickles (the format is written by engines/training). It is a privacy object:
fixed before deployment and named by its sha256 in every ledger line. `screen` re-checks that no two people
are doubles of each other; `screen_against` that none is the double of a person in a gallery.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from calibration.errors import CodebookError
from calibration.identity_space import IdentitySpace

FORMAT_VERSION = 1
APPEARANCE_PX = 256
MESH_POINTS = 468
ATTRIBUTES = ("age_band", "sex_apparent", "skin_tone")
_MAX_FILE_BYTES = 1 << 31


@dataclass(frozen=True)
class SyntheticPerson:
    """One entry.

    Attributes:
        index: position in the codebook.
        appearance_rgb_u8: (256, 256, 3) uint8 RGB, frontal and neutral.
        mesh_xyz_px: (468, 3) float32 dense landmarks in px of that picture.
        style: (512,) float32 style code of the generator.
    """

    index: int
    appearance_rgb_u8: npt.NDArray[np.uint8]
    mesh_xyz_px: npt.NDArray[np.float32]
    style: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Screening:
    """Result of a screening by cosine.

    Attributes:
        limit: largest cosine that is allowed.
        largest: largest cosine found.
        pairs: (index, other index, cosine) of each pair above the limit, worst first.
    """

    limit: float
    largest: float
    pairs: tuple[tuple[int, int, float], ...]

    @property
    def passed(self) -> bool:
        return not self.pairs


@dataclass(frozen=True)
class Codebook:
    """The people, their codes and the hash that names them. Pictures are decoded only when asked for.

    Attributes:
        sha256: hex digest of the file.
        codes_unit: (K, d) float32 recognition codes, unit rows.
        attributes: per-person uint8 arrays (K,), by name.
        meta: what the builder recorded (names of attributes, screens, limits, teacher).
    """

    sha256: str
    codes_unit: npt.NDArray[np.float32]
    attributes: Mapping[str, npt.NDArray[np.uint8]]
    meta: Mapping[str, Any]
    _meshes: npt.NDArray[np.float16]
    _styles: npt.NDArray[np.float16]
    _images: npt.NDArray[np.uint8]
    _image_offsets: npt.NDArray[np.int64]

    @classmethod
    def load(cls, path: Path | str, *, expected_sha256: str | None = None) -> Codebook:
        """Read and check a codebook file. Raises CodebookError."""
        path = Path(path)
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise CodebookError(f"codebook {path} is larger than {_MAX_FILE_BYTES >> 20} MiB: refused")
            data = path.read_bytes()
        except OSError as error:
            raise CodebookError(f"cannot read the codebook {path}: {error.strerror}") from None
        sha256 = hashlib.sha256(data).hexdigest()
        if expected_sha256 is not None and sha256 != expected_sha256:
            raise CodebookError(f"codebook {path} has sha256 {sha256}, expected {expected_sha256}")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile):
            # NumPy's own words advise to trust the file.
            raise CodebookError(
                f"codebook {path} is not a readable .npz without pickles; choose another file"
            ) from None
        return cls._from_arrays(arrays, sha256, str(path))

    @classmethod
    def _from_arrays(cls, arrays: dict[str, npt.NDArray[Any]], sha256: str, where: str) -> Codebook:
        version = _take(arrays, "format_version", where, kind="iu", shape=())
        if int(version) != FORMAT_VERSION:
            raise CodebookError(f"codebook {where} has format {int(version)}, not {FORMAT_VERSION}")
        codes = _take(arrays, "codes_unit", where, kind="f", shape=(None, None)).astype(np.float32)
        people = codes.shape[0]
        norms = np.linalg.norm(codes, axis=1, keepdims=True)
        if people < 1 or not np.all(np.abs(norms - 1.0) < 0.01):
            raise CodebookError(f"codebook {where}: codes_unit must be at least one row, all of norm 1")
        meshes = _take(arrays, "mesh_xyz_px", where, kind="f", shape=(people, MESH_POINTS, 3))
        styles = _take(arrays, "styles", where, kind="f", shape=(people, None))
        for name, array in (("mesh_xyz_px", meshes), ("styles", styles)):
            if not np.all(np.isfinite(array)):
                raise CodebookError(f"codebook {where}: {name} has values that are not finite")
        images = _take(arrays, "images", where, kind="u", shape=(None,))
        offsets = _take(arrays, "image_offsets", where, kind="i", shape=(people + 1,)).astype(np.int64)
        if images.dtype != np.uint8:
            raise CodebookError(f"codebook {where}: images must be uint8, not {images.dtype}")
        if offsets[0] != 0 or offsets[-1] != images.size or np.any(np.diff(offsets) <= 0):
            raise CodebookError(f"codebook {where}: image_offsets must rise from 0 to {images.size}")
        return cls(
            sha256=sha256,
            codes_unit=codes / norms,
            attributes={
                name: _take(arrays, name, where, kind="u", shape=(people,))
                for name in ATTRIBUTES
                if name in arrays
            },
            meta=_read_meta(arrays, where),
            _meshes=meshes,
            _styles=styles,
            _images=images,
            _image_offsets=offsets,
        )

    @property
    def size(self) -> int:
        """K."""
        return int(self.codes_unit.shape[0])

    @cached_property
    def space(self) -> IdentitySpace:
        """The identity space fitted on these people."""
        return IdentitySpace.fit(self.codes_unit)

    def person(self, index: int) -> SyntheticPerson:
        """Entry `index`, its picture decoded now. Raises CodebookError when the picture is damaged."""
        if not 0 <= index < self.size:
            raise CodebookError(f"the codebook has people 0 to {self.size - 1}, not {index}")
        encoded = self._images[self._image_offsets[index] : self._image_offsets[index + 1]]
        picture_bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        expected = (APPEARANCE_PX, APPEARANCE_PX, 3)
        if picture_bgr is None or picture_bgr.shape != expected:
            raise CodebookError(f"the codebook's picture of person {index} is not a {APPEARANCE_PX} px image")
        return SyntheticPerson(
            index=index,
            appearance_rgb_u8=np.ascontiguousarray(picture_bgr[:, :, ::-1]).astype(np.uint8, copy=False),
            mesh_xyz_px=self._meshes[index].astype(np.float32),
            style=self._styles[index].astype(np.float32),
        )

    def screen(self, limit: float) -> Screening:
        """Are any two people closer than `limit` in cosine of their codes?"""
        return screen_pairs(self.codes_unit, limit)


def screen_pairs(codes_unit: npt.NDArray[np.floating], limit: float) -> Screening:
    """Every pair i < j of rows of (K, d) unit codes whose cosine is above `limit`."""
    codes = np.asarray(codes_unit, dtype=np.float32)
    each_pair_once = np.triu(np.ones((len(codes), len(codes)), dtype=bool), k=1)
    return _collect(codes @ codes.T, each_pair_once, limit)


def screen_against(
    codes_unit: npt.NDArray[np.floating], gallery_unit: npt.NDArray[np.floating], limit: float
) -> Screening:
    """Every pair of a row of (K, d) and a row of a gallery (G, d) above `limit`; codes of one recogniser."""
    cosines = np.asarray(codes_unit, np.float32) @ np.asarray(gallery_unit, np.float32).T
    return _collect(cosines, np.ones(cosines.shape, dtype=bool), limit)


def _collect(cosines: npt.NDArray[np.float32], considered: npt.NDArray[np.bool_], limit: float) -> Screening:
    # Written so that a cosine that is not a number counts as above the limit.
    above = np.argwhere(considered & ~(cosines <= limit))
    pairs = [(int(i), int(j), float(cosines[i, j])) for i, j in above]
    pairs.sort(key=lambda pair: -pair[2])
    largest = float(cosines[considered].max()) if considered.any() else -1.0
    return Screening(limit=limit, largest=largest, pairs=tuple(pairs))


def _take(
    arrays: dict[str, npt.NDArray[Any]], name: str, where: str, *, kind: str, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """The array `name`, its kind of dtype and its shape checked (None: any length)."""
    if name not in arrays:
        raise CodebookError(f"codebook {where} has no array '{name}'")
    array = arrays[name]
    fits = len(array.shape) == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in kind or not fits:
        raise CodebookError(f"codebook {where}: '{name}' is {array.dtype} {array.shape}, not {shape}")
    return array


def _read_meta(arrays: dict[str, npt.NDArray[Any]], where: str) -> Mapping[str, Any]:
    if "meta_json" not in arrays:
        return {}
    try:
        meta = json.loads(str(arrays["meta_json"]))
    except json.JSONDecodeError as error:
        raise CodebookError(f"codebook {where}: meta_json is not JSON: {error}") from None
    if not isinstance(meta, dict):
        raise CodebookError(f"codebook {where}: meta_json must be an object, not {type(meta).__name__}")
    return meta
