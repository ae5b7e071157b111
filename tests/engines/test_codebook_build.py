"""Codebook building: what the screens let through, who is chosen, and what the written file holds."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from calibration.codebook import Codebook
from engines.appearance.picture import cut
from engines.errors import EngineError
from engines.training import codebook_screens as screens
from engines.training.codebook_build import write_codebook
from engines.training.codebook_faces import Portrait, picture_box, pixel_measures
from engines.training.codebook_gallery import Gallery
from engines.training.codebook_pool import Pool, Record, load_pool, save_pool
from engines.training.codebook_select import balance, select
from engines.training.codebook_sheets import write_sheets

Float = npt.NDArray[np.float32]

GOOD: dict[str, float] = {
    "retinaface_score": 0.99,
    "yunet_score": 0.9,
    "retinaface_second_face": 0.0,
    "yunet_second_face": 0.0,
    "presence": 50.0,
    "yaw": 1.0,
    "pitch": -1.0,
    "mouth_open": 0.01,
    "smile": 0.5,
    "eye_open": 0.3,
    "lids_open": 0.3,
    "child": 0.0,
    "bridge_edge": 0.02,
    "forehead_difference": 8.0,
    "forehead_lines": 1.0,
    "cheek_lines": 1.0,
    "covered": 0.1,
    "light_side": 0.0,
    "light_uneven": 2.0,
    "sharpness": 0.1,
    "older": 1.2,
    "male": 0.1,
    "skin_lightness": 66.0,
}


def unit_codes(count: int, size: int, seed: int = 0) -> Float:
    """Random codes of unit length, far from each other for a large ``size``."""
    codes = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


def portrait(code: Float, *, second: Float | None = None, level: int = 120, **changed: float) -> Portrait:
    picture = np.full((256, 256, 3), level, np.uint8)
    mesh = np.random.default_rng(1).uniform(60, 200, (468, 3)).astype(np.float32)
    box = np.array([0, 0, 256, 256], np.float32)
    return Portrait(
        picture, mesh, code, GOOD | changed, np.zeros(0, np.float32) if second is None else second, box
    )


def pool_of(folder: Path, portraits: list[Portrait]) -> Pool:
    save_pool(folder / "part-000.npz", portraits, [f"person-{i}" for i in range(len(portraits))])
    return load_pool(folder)


@pytest.mark.parametrize("screen", screens.SCREENS, ids=lambda screen: screen.name)
def test_each_screen_refuses_what_lies_outside_its_limits(screen: screens.Screen) -> None:
    assert not screens.failed_screens(GOOD)
    for value in (screen.low - 1.0, screen.high + 1.0):
        if np.isfinite(value):
            assert screens.failed_screens(GOOD | {screen.measure: value}) == [screen.name]


def test_a_measure_that_is_missing_or_not_a_number_fails_its_screen() -> None:
    without = {name: value for name, value in GOOD.items() if name != "lids_open"}
    assert screens.failed_screens(without) == ["eyes open (iris model)"]
    assert screens.failed_screens(GOOD | {"presence": float("nan")}) == ["landmark presence"]


def test_pass_rates_are_per_screen() -> None:
    rates = screens.pass_rates([GOOD, GOOD | {"child": 1.0}, GOOD | {"child": 1.0, "yaw": 20.0}, GOOD])
    assert rates["adult"] == 0.5
    assert rates["frontal in yaw"] == 0.75
    assert rates["sharp"] == 1.0


def test_nobody_chosen_is_the_double_of_another_in_either_recogniser() -> None:
    codes, second = unit_codes(40, 16), unit_codes(40, 16, seed=3)
    limits = screens.PairLimits(0.3, 0.35)
    chosen = screens.choose(codes, second, np.zeros(40, np.int64), 40, limits=limits)
    assert 1 < len(chosen) < 40
    for rows, limit in ((codes, limits.first), (second, limits.second)):
        cosines = rows[chosen] @ rows[chosen].T - 2 * np.eye(len(chosen))
        assert cosines.max() <= limit


def test_the_thinnest_stratum_is_filled_first() -> None:
    codes = unit_codes(60, 512)
    strata = np.array([0] * 50 + [1] * 10, np.int64)
    chosen = screens.choose(codes, np.zeros((60, 0), np.float32), strata, 20)
    assert sorted(strata[chosen].tolist()) == [0] * 10 + [1] * 10


def test_who_is_chosen_already_counts_and_keeps_doubles_away() -> None:
    codes = np.eye(64, dtype=np.float32)[:10]
    codes[9] = codes[0]
    strata = np.array([0] * 5 + [1] * 5, np.int64)
    among = np.ones(10, bool)
    among[[0, 1, 2]] = False
    chosen = screens.choose(codes, np.zeros((10, 0), np.float32), strata, 6, among=among, start=[0, 1])
    assert chosen[:2] == [0, 1]
    assert 9 not in chosen
    assert 2 not in chosen
    assert sorted(strata[chosen].tolist()) == [0, 0, 0, 1, 1, 1]


def test_the_gallery_limit_is_met_by_the_stated_share_of_strangers_only() -> None:
    codes = unit_codes(120, 24)
    people = [f"p{i // 2}" for i in range(120)]
    codes[1::2] = codes[::2]  # both pictures of a person are alike, and must not count
    limit = screens.gallery_limit(codes, people, 0.01)
    strangers = [float(codes[i] @ codes[j]) for i in range(120) for j in range(i) if people[i] != people[j]]
    assert np.mean(np.array(strangers) > limit) == pytest.approx(0.01, abs=0.002)


def test_selection_refuses_failures_doubles_of_real_people_and_names_thrown_out(tmp_path: Path) -> None:
    axes = np.eye(128, dtype=np.float32)
    codes = axes[:6]
    people = [portrait(codes[i], child=float(i == 1)) for i in range(6)]
    pool = pool_of(tmp_path, people)
    alike = axes[20:40] + 0.02  # strangers of the gallery resemble each other more than anybody of the pool
    real = np.concatenate([alike / np.linalg.norm(alike, axis=1, keepdims=True), codes[2:3]])
    gallery = Gallery({"first": real}, tuple(f"real-{i}" for i in range(21)))
    indices, figures = select(pool, size=10, gallery=gallery, refused=frozenset({"person-4"}))
    assert sorted(indices) == [0, 3, 5]
    assert figures["rendered"]["pass_rates"]["adult"] == pytest.approx(5 / 6)
    assert figures["rendered"]["counts"] == {
        "examined": 6,
        "passed": 5,
        "not thrown out by eye": 4,
        "unlike the gallery": 3,
        "chosen": 3,
    }
    assert "composed" not in figures


def test_rendered_people_go_before_composed_ones_and_both_are_counted(tmp_path: Path) -> None:
    codes = np.eye(128, dtype=np.float32)
    close = np.asarray(codes[0] + 0.5 * codes[1], np.float32)
    people = [
        replace(portrait(close / np.linalg.norm(close)), composed=True),
        portrait(codes[0]),
        replace(portrait(codes[2]), composed=True),
    ]
    record = Record(tally=Counter({"composed": 5}), tried=[(np.zeros(512, np.float32), True)])
    save_pool(tmp_path / "a-000.npz", people, ["a", "b", "c"], record)
    save_pool(tmp_path / "a-001.npz", [portrait(codes[3])], ["d"], Record(tally=Counter({"composed": 2})))
    pool = load_pool(tmp_path)
    assert (pool.tally["composed"], len(pool.tried)) == (7, 1)
    indices, figures = select(pool, size=10, gallery=None, refused=frozenset())
    assert [pool.names[i] for i in sorted(indices)] == ["b", "c", "d"]
    assert figures["dropped_before"] == {"composed": 7}
    assert figures["composed"]["counts"]["examined"] == 2
    assert figures["composed"]["counts"]["chosen"] == 1


def test_the_written_file_is_what_the_reader_reads(tmp_path: Path) -> None:
    codes = unit_codes(3, 128)
    (tmp_path / "pool").mkdir()
    people = [
        portrait(codes[0], level=40, male=0.9, older=2.5, skin_lightness=40.0),
        portrait(codes[1], level=120),
        portrait(codes[2], level=200, skin_lightness=80.0),
    ]
    pool = pool_of(tmp_path / "pool", people)
    path = tmp_path / "codebook.npz"
    write_codebook(path, pool, [2, 0], {"origin": "test"})
    book = Codebook.load(path)
    assert book.size == 2
    assert book.meta["origin"] == "test"
    np.testing.assert_allclose(book.codes_unit, codes[[2, 0]], atol=1e-3)
    first, second = book.person(0), book.person(1)
    assert abs(int(first.appearance_rgb_u8.mean()) - 200) <= 2
    assert abs(int(second.appearance_rgb_u8.mean()) - 40) <= 2
    np.testing.assert_allclose(first.mesh_xyz_px, pool.meshes[2], atol=0.1)
    assert book.attributes["sex_apparent"].tolist() == [0, 1]
    assert book.attributes["age_band"].tolist() == [0, 2]
    assert book.attributes["skin_tone"].tolist() == [0, 3]


def test_an_empty_selection_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    pool = pool_of(tmp_path / "pool", [portrait(unit_codes(1, 128)[0])])
    with pytest.raises(EngineError, match="nobody"):
        write_codebook(tmp_path / "codebook.npz", pool, [], {})
    assert not list(tmp_path.glob("*.npz"))


def test_an_empty_pool_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="run `codebook candidates`"):
        load_pool(tmp_path)


def test_balance_counts_every_class() -> None:
    tables = balance([GOOD, GOOD | {"male": 1.0}, GOOD | {"older": 3.0}])
    assert tables["sex_apparent"] == {"female": 2, "male": 1}
    assert tables["age_band"] == {"18 to 34": 2, "35 to 54": 0, "55 and over": 1}
    json.dumps(tables)


def test_a_cut_keeps_points_where_the_picture_says(face_mesh: Float) -> None:
    large = np.zeros((600, 600, 3), np.uint8)
    mesh = face_mesh + np.array([180, 150, 0], np.float32)
    x, y = (round(float(v)) for v in mesh[4, :2])
    cv2.circle(large, (x, y), 5, (255, 255, 255), -1)
    box = picture_box(mesh)
    small = cut(large, box, 256)
    expected = (mesh[4, :2] - box[:2]) * 256 / (box[2] - box[0])
    rows, columns = np.nonzero(small[..., 0] > 128)
    assert abs(columns.mean() - expected[0]) < 1.5
    assert abs(rows.mean() - expected[1]) < 1.5


def test_a_cut_past_the_border_repeats_the_edge() -> None:
    picture = np.full((100, 100, 3), 77, np.uint8)
    assert (cut(picture, np.array([-40, -40, 90, 90], np.float32), 256) == 77).all()


def test_pixel_measures_see_glasses_fringe_and_side_light(face_mesh: Float) -> None:
    plain = np.full((256, 256, 3), (200, 160, 140), np.uint8)
    base = pixel_measures(plain, face_mesh)
    glasses = plain.copy()
    bridge = (face_mesh[6, :2] + face_mesh[168, :2]) / 2
    cv2.line(glasses, (60, int(bridge[1])), (196, int(bridge[1])), (20, 20, 20), 3)
    assert pixel_measures(glasses, face_mesh)["bridge_edge"] > 0.055 > base["bridge_edge"]
    fringe = plain.copy()
    fringe[: int(face_mesh[151, 1])] = (40, 30, 25)
    assert pixel_measures(fringe, face_mesh)["forehead_difference"] > 17.0 > base["forehead_difference"]
    shadow = plain.copy()
    shadow[:, :128] //= 2
    assert pixel_measures(shadow, face_mesh)["light_uneven"] > 9.0 > base["light_uneven"]


def test_lines_on_skin_tell_strands_of_hair_from_wrinkles(face_mesh: Float) -> None:
    skin = np.full((256, 256, 3), (200, 160, 140), np.uint8)
    rows, columns = slice(40, 100), slice(90, 170)
    strands, wrinkles = skin.copy(), skin.copy()
    strands[rows, columns][:, ::8] = (90, 60, 40)
    wrinkles[rows, columns][::8] = (90, 60, 40)
    plain, hairy, old = (
        pixel_measures(picture, face_mesh)["forehead_lines"] for picture in (skin, strands, wrinkles)
    )
    assert plain < 0.5
    assert hairy > 4.0
    assert old < hairy / 3


def test_sheets_hold_every_picture(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (5, 256, 256, 3), dtype=np.uint8)
    paths = write_sheets(tmp_path, "sheet", range(5), lambda i: pictures[i], columns=2, rows=2, tile_px=64)
    assert [path.name for path in paths] == ["sheet-00.png", "sheet-01.png"]
    stored = cv2.imread(str(paths[0]))
    assert stored is not None
    assert stored.shape == (128, 128, 3)


@pytest.fixture
def face_mesh() -> Float:
    """The mean face, upright in a 256 px picture."""
    from engines.face.topology import canonical_mesh

    mesh = canonical_mesh() * 70.0
    mesh[:, :2] += (128.0, 115.0)
    return np.asarray(mesh, np.float32)


def test_a_codebook_can_be_built_from_pictures_without_the_teacher(tmp_path: Path) -> None:
    import argparse
    import sys

    from engines.training import codebook_build

    parser = argparse.ArgumentParser()
    codebook_build.register(parser.add_subparsers())
    (tmp_path / "empty").mkdir()
    options = parser.parse_args(
        ["codebook", "pictures", "--pictures", str(tmp_path / "empty"), "--pool", str(tmp_path / "pool")]
    )
    with pytest.raises(EngineError, match="no pictures"):
        options.run(options)
    assert "engines.training.teacher" not in sys.modules
