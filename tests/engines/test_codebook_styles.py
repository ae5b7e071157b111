"""Who was composed of whom is found again from pictures alone, and only what comes out byte by byte is believed."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engines.appearance.parts import EYES, NOSE_AND_MOUTH, Face, compose
from engines.appearance.styles import NOBODY, StyleBook
from engines.errors import EngineError
from engines.face.topology import canonical_mesh
from engines.training import codebook_screens as screens
from engines.training import codebook_styles
from engines.training.codebook_build import write_codebook
from engines.training.codebook_faces import Portrait
from engines.training.codebook_pool import encode_webp, load_pool, save_pool

PEOPLE = 6
MEASURES = {s.measure: 0.0 for s in screens.SCREENS} | {"male": 0.2, "older": 1.0, "skin_lightness": 65.0}


def mesh(number: int) -> npt.NDArray[np.float32]:
    scaled = canonical_mesh() * np.array([70.0 + number, 70.0, 70.0]) + np.array([128.0, 115.0, 0.0])
    return scaled.astype(np.float32)


def portrait(
    picture: npt.NDArray[np.uint8], number: int, style: float, *, composed: bool = False
) -> Portrait:
    return Portrait(
        picture,
        mesh(number),
        np.eye(1, 128, number, dtype=np.float32)[0],
        MEASURES,
        np.zeros(0, np.float32),
        np.array([number, 0, 1024, 1024 - number], np.float32),
        np.full(512, style, np.float32),
        composed,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of six people of the teacher, one composed of 4, 2 and 5, and one whose origin nobody can tell."""
    path = tmp_path_factory.mktemp("styles")
    random = np.random.default_rng(0)
    rendered = []
    for number in range(PEOPLE):
        coarse = random.integers(60, 200, (40, 40, 3)).astype(np.uint8)
        picture = np.asarray(cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)
        rendered.append(portrait(picture, number, number + 1.0))
    (path / "pool").mkdir()
    save_pool(path / "pool" / "a.npz", rendered, [f"p{n}" for n in range(PEOPLE)])
    pool = load_pool(path / "pool")

    def face(number: int) -> Face:
        return Face(pool.picture(number), pool.meshes[number][:, :2].astype(np.float64))

    made = compose(face(4), {EYES: face(2), NOSE_AND_MOUTH: face(5)}).picture_rgb_u8
    changed = made.copy()
    changed[:20] = 0
    both = [portrait(picture, 4, 0.0, composed=True) for picture in (made, changed)]
    save_pool(path / "pool" / "b.npz", both, ["composed", "changed"])
    write_codebook(path / "book.npz", load_pool(path / "pool"), [0, 6, 7], {})
    return path


def options(folder: Path, codebook: str = "book.npz") -> argparse.Namespace:
    return argparse.Namespace(pool=folder / "pool", codebook=folder / codebook, out=folder / "styles.npz")


def test_the_three_are_found_and_what_cannot_be_proven_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert codebook_styles.run(options(folder)) == 0
    book = StyleBook.read((folder / "styles.npz").read_bytes())
    assert book.codebook_sha256 == hashlib.sha256((folder / "book.npz").read_bytes()).hexdigest()
    alone, composed = book.recipe(0), book.recipe(1)
    assert alone is not None
    assert not alone.donors
    assert alone.base.style[0] == 1.0
    assert composed is not None
    assert composed.base.style[0] == 5.0
    assert {name: model.style[0] for name, model in composed.donors.items()} == {
        EYES: 3.0,
        NOSE_AND_MOUTH: 6.0,
    }
    assert np.abs(composed.base.points_xy_px - mesh(4)[:, :2]).max() < 1 / 64
    assert book.recipes[2].tolist() == [NOBODY] * 3
    printed = capsys.readouterr().out
    assert "changed: nobody knows" in printed
    assert "2 of 3 people, 4 styles" in printed


def test_a_codebook_of_another_pool_is_refused(folder: Path) -> None:
    pool = load_pool(folder / "pool")
    pool.images[0] = encode_webp(np.zeros((256, 256, 3), np.uint8))
    write_codebook(folder / "other.npz", pool, [0], {})
    with pytest.raises(EngineError, match="not in the pool"):
        codebook_styles.run(options(folder, "other.npz"))
