"""A small codebook file made on the spot: pictures of noise, random codes. No face, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

from calibration.codebook import Codebook

# A time limit per example says more about how busy the machine is than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

PEOPLE = 40
DIMENSION = 16


def make_arrays(
    people: int = PEOPLE, dimension: int = DIMENSION, seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(people, dimension)) + 0.5
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    pictures = []
    for index in range(people):
        picture_bgr = np.zeros((256, 256, 3), np.uint8)
        picture_bgr[:, :, 2] = 10 + index  # red, so that a swap of channels shows
        pictures.append(cv2.imencode(".webp", picture_bgr, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].ravel())
    return {
        "format_version": np.array(1),
        "images": np.concatenate(pictures),
        "image_offsets": np.cumsum([0] + [len(p) for p in pictures]).astype(np.int64),
        "mesh_xyz_px": generator.uniform(0, 256, (people, 468, 3)).astype(np.float16),
        "codes_unit": codes.astype(np.float16),
        "styles": generator.normal(size=(people, 512)).astype(np.float16),
        "age_band": np.zeros(people, np.uint8),
        "sex_apparent": np.zeros(people, np.uint8),
        "skin_tone": np.zeros(people, np.uint8),
        "meta_json": np.array(json.dumps({"screens": {"pairwise_cosine": 0.6}})),
    }


@pytest.fixture
def codebook_arrays() -> dict[str, npt.NDArray[Any]]:
    return make_arrays()


@pytest.fixture(scope="session")
def codebook(tmp_path_factory: pytest.TempPathFactory) -> Codebook:
    path: Path = tmp_path_factory.mktemp("codebook") / "codebook.npz"
    np.savez(path, **make_arrays())
    return Codebook.load(path)
