"""Clips of synthetic people for the tests of the whole pipeline, made once per test process."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.codebook import Codebook
from calibration.scenes import Cutout, Scene, make_scene, write_clip
from engines.zoo.registry import model_path

SIZE = (480, 272)


@pytest.fixture(scope="session")
def cutouts() -> list[Cutout]:
    """A few of the codebook's people, to stand in for real ones."""
    book = Codebook.load(model_path("codebook-v1"))
    people = [book.person(index) for index in range(0, book.size, max(1, book.size // 6))]
    return [Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px) for person in people]


@pytest.fixture(scope="session")
def walk_scene(cutouts: list[Cutout]) -> Scene:
    """One person who walks across."""
    return make_scene("walk", cutouts, size=SIZE, seed=1)


@pytest.fixture(scope="session")
def cut_scene(cutouts: list[Cutout]) -> Scene:
    """Two shots with a hard cut between them."""
    return make_scene("cut", cutouts, size=SIZE, seed=2)


@pytest.fixture(scope="session")
def walk_clip(walk_scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "walk.mp4"
    write_clip(path, walk_scene.frames(), tone=True)
    return path


@pytest.fixture(scope="session")
def cut_clip(cut_scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "cut.mp4"
    write_clip(path, cut_scene.frames())
    return path
