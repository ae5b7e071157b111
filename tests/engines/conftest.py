"""Pictures with known synthetic faces in them, and engines that fail on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from calibration.codebook import Codebook, SyntheticPerson
from engines.contract import Engine, EngineInfo, Tensor, TensorSpec
from engines.zoo import registry


@pytest.fixture(scope="session")
def people() -> list[SyntheticPerson]:
    """Some synthetic people of the shipped codebook."""
    codebook = Codebook.load(registry.WEIGHTS_DIRECTORY / "codebook-v1.npz")
    return [codebook.person(index) for index in range(4)]


@dataclass(frozen=True)
class Scene:
    """A picture and where the faces in it are: (N, 468, 2) meshes in its px, from left to right."""

    picture_rgb_u8: npt.NDArray[np.uint8]
    meshes_xy_px: npt.NDArray[np.float64]

    def eyes(self, face: int) -> npt.NDArray[np.float64]:
        """(2, 2) eye centres, image left first."""
        mesh = self.meshes_xy_px[face]
        return np.stack([mesh[[33, 133]].mean(axis=0), mesh[[362, 263]].mean(axis=0)])


def make_scene(
    people: list[SyntheticPerson],
    *,
    size: tuple[int, int] = (640, 360),
    side_px: int = 240,
    turn_degrees: float = 0.0,
) -> Scene:
    """The people side by side, each head picture `side_px` wide, on a soft gradient with noise."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    base = np.stack([90 + columns * 60 / width, 110 + rows * 50 / height, 120 + 0 * rows], axis=-1)
    base = base + np.random.default_rng(7).normal(0, 3, base.shape)
    picture = np.clip(base, 0, 255).astype(np.uint8)
    meshes = []
    for index, person in enumerate(people):
        centre = ((index + 0.5) * width / len(people), height / 2)
        affine = cv2.getRotationMatrix2D((127.5, 127.5), turn_degrees, side_px / 256)
        affine[:, 2] += np.array(centre) - 127.5
        face = cv2.warpAffine(
            person.appearance_rgb_u8, affine, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT
        )
        inside = cv2.warpAffine(np.full((256, 256), 255, np.uint8), affine, size)
        picture = np.where(inside[..., None] > 127, face, picture)
        meshes.append(person.mesh_xyz_px[:, :2].astype(np.float64) @ affine[:, :2].T + affine[:, 2])
    return Scene(np.ascontiguousarray(picture), np.stack(meshes))


class StubEngine(Engine):
    """Gives what a function makes of its inputs: arrays, an exception, or nothing in time."""

    def __init__(self, function: Any, inputs: tuple[TensorSpec, ...] = ()) -> None:
        self._function = function
        self._inputs = inputs
        self.calls = 0
        self.closed = False

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return ()

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.calls += 1
        result: dict[str, Tensor] = self._function(inputs)
        return result

    def describe(self) -> EngineInfo:
        return EngineInfo("stub", "cpu", "fp32", "0" * 64, 1)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stub_engine() -> type[StubEngine]:
    return StubEngine


@pytest.fixture
def scene_of() -> Any:
    return make_scene
