"""Composed people: the parts come from the donors, the rest from the base, and nobody taken is resembled."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engines.appearance.parts import Face, compose
from engines.errors import EngineError
from engines.face.topology import EYE_LEFT, canonical_mesh
from engines.training import codebook_screens as screens
from engines.training.codebook_compose import Parents, parents_of
from engines.training.codebook_faces import Portrait
from engines.training.codebook_gallery import Gallery
from engines.training.codebook_pool import Pool, load_pool, save_pool
from engines.training.codebook_prospects import Crowd, Prospects

Float = npt.NDArray[np.float32]
MEASURES = {"male": 0.2, "older": 1.0, "skin_lightness": 65.0, "skin_yellowness": 15.0, "light_side": 0.0}
PASSING = {
    s.measure: float(np.clip(0.0 if s.measure == "yaw" else s.low + 0.01, s.low, s.high))
    if np.isfinite(s.low)
    else s.high - 0.01
    for s in screens.SCREENS
}


def points(scale: float = 70.0) -> npt.NDArray[np.float64]:
    """The canonical face in a 256 px picture."""
    return np.asarray(canonical_mesh()[:, :2] * scale + np.array([128.0, 115.0]), np.float64)


def plain(level: int, at: npt.NDArray[np.float64]) -> Face:
    return Face(np.full((256, 256, 3), level, np.uint8), at)


def test_a_donor_gives_detail_and_the_base_its_colour() -> None:
    at = points()
    ring = np.rint(at[EYE_LEFT].mean(0)).astype(int)
    donor = plain(200, at)
    cv2.circle(donor.picture_rgb_u8, (int(ring[0]), int(ring[1])), 4, (0, 0, 0), -1)
    made = compose(plain(100, at), {"eyes": donor}).picture_rgb_u8
    assert made[ring[1], ring[0]].max() < 45  # the donor's pupil
    cheek = np.rint(at[50] + np.array([0, 12])).astype(int)
    assert abs(int(made[cheek[1], cheek[0], 0]) - 100) <= 3  # the base's tone, not the donor's
    assert np.abs(made[200:].astype(int) - 100).max() <= 2


def test_the_base_is_bent_to_the_donors_shape_near_the_part_only() -> None:
    base, wide = points(), points()
    eyes = np.unique(EYE_LEFT)
    wide[eyes, 0] -= 6.0
    made = compose(plain(100, base), {"eyes": plain(100, wide)}).points_xy_px
    moved = made - base
    assert moved[eyes, 0].mean() < -4.0
    chin = moved[152]
    assert np.abs(chin).max() < 0.5


def test_what_is_composed_of_one_person_is_that_person() -> None:
    noise = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8), (0, 0), 3
    )
    same = Face(np.asarray(noise, np.uint8), points())
    made = compose(same, {"eyes": same, "nose and mouth": same})
    np.testing.assert_allclose(made.points_xy_px, same.points_xy_px, atol=1e-6)
    assert np.abs(made.picture_rgb_u8.astype(int) - same.picture_rgb_u8).mean() < 1.5


def pool_of(folder: Path, codes: Float, *, styles: Float | None = None, **changed: object) -> Pool:
    mesh = np.concatenate([points(), np.zeros((468, 1))], 1).astype(np.float32)
    people = []
    for index, code in enumerate(codes):
        measures = (
            PASSING | MEASURES | {name: float(np.asarray(values)[index]) for name, values in changed.items()}
        )
        style = np.zeros(512, np.float32) if styles is None else styles[index]
        picture = np.full((256, 256, 3), 120, np.uint8)
        box = np.array([0, 0, 256, 256], np.float32)
        people.append(Portrait(picture, mesh, code, measures, np.zeros(0, np.float32), box, style))
    save_pool(folder / "part-000.npz", people, [f"p{i}" for i in range(len(people))])
    return load_pool(folder)


def test_parents_are_alike_and_the_foretold_code_is_far_from_everybody(tmp_path: Path) -> None:
    codes = np.eye(128, dtype=np.float32)[:12]
    pool = pool_of(tmp_path, codes, male=[0.0] * 6 + [0.9] * 6)
    taken = np.asarray(codes[0] + codes[1], np.float32)
    crowd = Crowd(None, screens.PairLimits(0.5, 0.5))
    crowd.add({"first": taken[None] / np.linalg.norm(taken), "second": np.zeros((1, 0), np.float32)})
    parents = Parents(pool, parents_of(pool, frozenset({"p5"})))
    random = np.random.default_rng(0)
    for _ in range(40):
        base, eyes, mouth = parents.draw(random, crowd)
        assert len({base, eyes, mouth}) == 3
        assert 5 not in (base, eyes, mouth)
        assert len({i < 6 for i in (base, eyes, mouth)}) == 1
        assert {base, eyes} != {0, 1}


def test_too_few_alike_is_one_clear_line(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, np.eye(128, dtype=np.float32)[:4])
    with pytest.raises(EngineError, match="alike"):
        Parents(pool, range(4))


def test_a_crowd_names_the_group_that_is_resembled(tmp_path: Path) -> None:
    axes = np.eye(128, dtype=np.float32)
    alike = axes[20:60] + 0.02
    gallery = Gallery(
        {"first": alike / np.linalg.norm(alike, axis=1, keepdims=True)}, tuple(map(str, range(40)))
    )
    crowd = Crowd(gallery, screens.PairLimits(0.5, 0.5))
    crowd.fill(pool_of(tmp_path, axes[:3]), frozenset({"p2"}))
    none = np.zeros((1, 0), np.float32)
    assert crowd.too_close({"first": axes[1:2], "second": none}) == "codebook"
    assert crowd.too_close({"first": axes[2:3], "second": none}) is None
    assert crowd.too_close({"first": axes[30:31], "second": none}) == "gallery"


def test_odds_follow_what_styles_did_before(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    styles = random.standard_normal((600, 512)).astype(np.float32)
    codes = random.standard_normal((600, 128)).astype(np.float32)
    codes[:, 0] += 3 * styles[:, 0]
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    child = 0.3 + 0.3 * styles[:, 1]
    pool = pool_of(tmp_path, codes, styles=styles, child=child)
    crowd = Crowd(None, screens.PairLimits(0.5, 0.5))
    crowd.add({"first": np.eye(128, dtype=np.float32)[:1], "second": np.zeros((1, 0), np.float32)})
    prospects = Prospects(pool, crowd)
    asked = np.zeros((3, 512), np.float32)
    asked[1, 1] = 3.0  # foretold to look like a child
    asked[2, 0] = 6.0  # foretold to resemble the one who is taken
    plain_odds, child_odds, double_odds = prospects.odds(asked)
    assert child_odds < plain_odds / 2
    assert double_odds < plain_odds / 2
