"""Re-identification audit: which pictures are compared, what is judged, and what is no evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.audit.rates import Rate, Verification
from calibration.audit.reid import (
    ENROLLED,
    FINE_TUNED,
    NAIVE,
    AttackResult,
    CosineShift,
)
from calibration.scenes import drawn_cutout
from engines.detectors import Detection
from streamer.audit.lfw import ProbesAndGallery, read_matched_pairs
from streamer.audit.pictures import CentralFace, Covered, FoundFace, frame_of_picture, rgb_of_frame
from streamer.audit.recognisers import open_recognisers
from streamer.audit.reidentify import ReidOutcome, RowCount, no_evidence, reid_chart, run_reid
from streamer.audit.rows import Row, original_row
from streamer.errors import InputError

PEOPLE = 8


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    """Pictures of one colour per person; pairs 1-2 of everybody, and 2-3 of the first."""
    colours = np.random.default_rng(3).integers(10, 240, (PEOPLE, 3))
    for number in range(PEOPLE):
        folder = tmp_path / "images" / f"P_{number}"
        folder.mkdir(parents=True)
        for picture in (1, 2, 3):
            rgb = np.full((64, 64, 3), colours[number] + picture, np.uint8)
            cv2.imwrite(str(folder / f"P_{number}_{picture:04d}.jpg"), rgb[:, :, ::-1])
    lines = ["1\t9", *(f"P_{number}\t1\t2" for number in range(PEOPLE)), "P_0\t2\t3", "P_0\t1\tP_1\t1"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


class _Colour:
    """Recognises people by the mean colour of their picture."""

    has_common_part = True

    def __init__(self, name: str = "colour", held_out: bool = True) -> None:
        self.name, self.held_out = name, held_out

    def encode(self, picture_rgb_u8: np.ndarray, face: FoundFace) -> np.ndarray:
        return picture_rgb_u8.mean(axis=(0, 1)).astype(np.float32) + np.float32(1.0)


def _detect(picture_rgb_u8: np.ndarray) -> list[Detection]:
    points = np.array([[20, 20], [40, 20], [30, 30], [22, 40], [38, 40]], np.float32)
    corner = Detection(np.array([0, 0, 8, 8], np.float32), 0.99, points)
    return [corner, Detection(np.array([10, 10, 50, 50], np.float32), 0.9, points)]


def _noise(name: str, epsilon: float | None, synthetic: bool = True) -> Row:
    random = np.random.default_rng(5)

    def make(picture_rgb_u8: np.ndarray, face: FoundFace) -> Covered:
        return Covered(np.full((64, 64, 3), random.integers(0, 255, 3), np.uint8), synthetic)

    return Row(name, make, 2, epsilon)


def test_a_picture_is_never_probe_and_gallery(lfw: Path) -> None:
    pictures = read_matched_pairs(lfw, 100)
    probes, gallery = ({item.path for item in part} for part in (pictures.probes, pictures.gallery))
    assert len(probes) == len(gallery) == PEOPLE
    assert not probes & gallery
    assert len(read_matched_pairs(lfw, 3).probes) == 3


def test_a_list_that_names_a_missing_picture_is_refused(lfw: Path) -> None:
    (lfw / "images" / "P_3" / "P_3_0002.jpg").unlink()
    with pytest.raises(InputError, match="P_3_0002"):
        read_matched_pairs(lfw, 100)
    with pytest.raises(InputError, match="no pictures"):
        read_matched_pairs(lfw / "images" / "P_1", 100)


def _outcome(pictures: ProbesAndGallery, rows: list[Row], held_out: int = 2) -> ReidOutcome:
    plain = [_noise("blur", None), _noise("solid", None)]
    recognisers = [_Colour(f"colour {number}", held_out=number < held_out) for number in range(2)]
    outcome = run_reid(pictures, CentralFace(_detect), [original_row(), *rows, *plain], recognisers)
    assert reid_chart(outcome).startswith("<svg")
    assert outcome.probes == outcome.gallery == PEOPLE
    assert {count.row: count.pictures for count in outcome.counts}["blur"] == 3 * PEOPLE
    originals = [result for result in outcome.results if result.row == "original"]
    assert all(result.tar_far_1e3.tar.value == 1.0 for result in originals if result.attack == "naive")
    return outcome


def test_pictures_that_keep_the_face_miss_the_bars(lfw: Path) -> None:
    pictures = read_matched_pairs(lfw, 100)
    leak = Row("epsilon 0", lambda picture, _face: Covered(picture, synthetic=True), 1, 0.0)
    broken = _outcome(pictures, [leak]).broken
    assert any("naive: TAR" in line for line in broken)
    assert any("cosine shift" in line for line in broken)


def test_rows_above_the_judged_epsilon_are_shown_but_not_judged(lfw: Path) -> None:
    pictures = read_matched_pairs(lfw, 100)
    leak = Row("epsilon 4", lambda picture, _face: Covered(picture, synthetic=True), 1, 4.0)
    outcome = _outcome(pictures, [_noise("epsilon 0", 0.0), leak])
    assert not any("epsilon 4" in line for line in (outcome.judged, *outcome.broken, *outcome.unresolved))
    assert outcome.judged.startswith("epsilon 0, by colour 0, colour 1: ")


def test_each_probe_is_drawn_several_times_and_is_no_more_people_for_it(lfw: Path) -> None:
    pictures = read_matched_pairs(lfw, 100)
    outcome = _outcome(pictures, [replace(_noise("epsilon 0", 0.0), draws=4)])
    assert {count.row: count.pictures for count in outcome.counts}["epsilon 0"] == (4 + 2) * PEOPLE
    found = {one.attack: one for one in outcome.results if one.row == "epsilon 0"}
    for attack in (NAIVE, ENROLLED, FINE_TUNED, "reversal"):
        assert found[attack].tar_far_1e3.tar.trials == 4 * PEOPLE
        assert found[attack].tar_far_1e3.tar.worth < 4 * PEOPLE
    assert found["linkage"].tar_far_1e3.tar.trials == PEOPLE


def test_a_few_people_are_no_evidence(lfw: Path) -> None:
    outcome = _outcome(read_matched_pairs(lfw, 100), [_noise("epsilon 0", 0.0)])
    assert not outcome.holds
    assert any("naive: FAR 0.1 %" in line for line in outcome.unresolved)
    assert any(
        f"598 independent pairs of one person, those here are worth {PEOPLE}" in line
        for line in outcome.unresolved
    )


def test_a_table_without_its_rows_or_two_held_out_recognisers_is_no_evidence(lfw: Path) -> None:
    outcome = _outcome(read_matched_pairs(lfw, 100), [_noise("epsilon 1", 1.0)], held_out=1)
    assert any("'epsilon 0' is missing" in line for line in outcome.unresolved)
    assert any("1 recognisers that took no part" in line for line in outcome.unresolved)


def test_pictures_that_are_plainly_covered_are_no_evidence_of_ours(lfw: Path) -> None:
    pictures = read_matched_pairs(lfw, 100)
    outcome = _outcome(pictures, [_noise("epsilon 0", 0.0, synthetic=False), _noise("epsilon 1", 1.0)])
    (line,) = [line for line in outcome.unresolved if "plainly covered" in line]
    assert line.startswith(f"epsilon 0: a synthetic person stands in 0 of {3 * PEOPLE} pictures")


def _result(row: str, recogniser: str, attack: str, accepted: int) -> AttackResult:
    found = Verification(1e-3, 0.5, Rate(accepted, 1000), resolved=True)
    shift = CosineShift(0.0, 0.0, 0.01, 0.001) if attack == NAIVE else None
    return AttackResult(row, recogniser, attack, 900, found, found, 0.5, shift=shift)


def test_a_run_with_everything_that_is_needed_is_evidence() -> None:
    results = [
        _result(row, recogniser, attack, 900 if row == "original" else 1)
        for row in ("original", "epsilon 0", "blur", "solid")
        for recogniser in ("one", "two")
        for attack in (NAIVE, ENROLLED, FINE_TUNED)
    ]
    counts = [RowCount("epsilon 0", 1000, 980), RowCount("blur", 1000, 0)]
    assert no_evidence(results, counts, ["epsilon 0"], ["one", "two"]) == []
    counts[0].synthetic = 940
    assert len(no_evidence(results, counts, ["epsilon 0"], ["one", "two"])) == 1


def test_the_face_in_the_middle_is_taken_and_must_be_found_at_its_place_again() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    central = CentralFace(_detect)
    face = central.find(picture)
    assert face is not None
    assert face.box_xyxy_px.tolist() == [10, 10, 50, 50]
    assert central.find_again(picture, face) is not None
    elsewhere = FoundFace(np.array([52, 52, 63, 63], np.float32), face.points_xy_px, 0.9)
    assert central.find_again(picture, elsewhere) is None


def test_a_picture_survives_the_way_through_a_frame() -> None:
    cutout = drawn_cutout(1)
    picture = np.ascontiguousarray(cutout.rgba_f32[:, :, :3].clip(0, 255).astype(np.uint8))
    back = rgb_of_frame(frame_of_picture(picture))
    assert back.shape == picture.shape
    assert back.flags.c_contiguous
    assert np.abs(back.astype(int) - picture).mean() < 4.0


def test_recognisers_that_are_not_here_are_named_with_the_way_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = open_recognisers()
    assert [recogniser.name for recogniser in found.ready] == ["sface"]
    assert not found.ready[0].held_out
    assert len(found.missing) == 2
    assert any("veilstream models fetch attacker-fr-feature" in line for line in found.missing)
