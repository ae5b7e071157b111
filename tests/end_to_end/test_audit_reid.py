"""`veilstream audit reid` and `audit coverage` on people who do not exist."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from calibration.keys import new_key_file
from calibration.scenes import Cutout, Keyframe, Role, Scene
from streamer.cli.app import app
from streamer.cli.exit_codes import FAILED, UNDECIDED


@pytest.fixture
def portraits(cutouts: list[Cutout], tmp_path: Path) -> Path:
    """Two pictures each of a few synthetic people, laid out as LFW is."""
    folder = tmp_path / "lfw"
    for person, cutout in enumerate(cutouts[:4]):
        (folder / "images" / f"P_{person}").mkdir(parents=True)
        for picture in (1, 2):
            keys = (Keyframe(0, 125.0 + 4 * picture, 130.0, 90.0, roll_degrees=6.0 * picture - 9.0),)
            scene = Scene("portrait", (250, 250), 1, [Role(1, cutout, keys)], seed=10 * person + picture)
            rgb = next(iter(scene.frames())).picture_rgb_u8
            path = folder / "images" / f"P_{person}" / f"P_{person}_{picture:04d}.jpg"
            cv2.imwrite(str(path), np.ascontiguousarray(rgb[:, :, ::-1]))
    (folder / "pairs.txt").write_text("1\t4\n" + "".join(f"P_{person}\t1\t2\n" for person in range(4)))
    return folder


def test_portraits_are_attacked_and_without_held_out_recognisers_nothing_is_claimed(
    portraits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    runner = CliRunner(env={"COLUMNS": "160", "XDG_CACHE_HOME": str(tmp_path / "empty")})
    arguments = [
        "audit",
        "reid",
        "--lfw",
        str(portraits),
        "--epsilons",
        "1,inf",
        "--copies",
        "2",
        "--out",
        str(out),
    ]
    done = runner.invoke(app, arguments)
    assert done.exit_code == UNDECIDED, done.output
    assert "NOT RESOLVED 0 recognisers that took no part in training, 2 are needed" in done.output
    assert "pip install 'veilstream[audit]'" in done.output
    assert "judged: epsilon 0, epsilon 1, by no recogniser" in done.output
    written = json.loads((out / "reid.json").read_text())
    assert {result["row"] for result in written["results"]} == {
        "original", "epsilon 0", "epsilon 1", "epsilon inf", "blur", "pixelate", "solid",
    }  # fmt: skip
    assert {result["attack"] for result in written["results"]} == {
        "naive", "parrot, enrolled", "parrot, head", "reversal", "linkage",
    }  # fmt: skip
    assert written["portraits"] == written["portraits_asked"] == 8
    assert written["held_out"] == written["broken"] == []
    assert written["unresolved"]
    counts = {count["row"]: count for count in written["counts"]}
    assert counts["epsilon 1"]["pictures"] == 3 * 4 + 2 * 4
    assert counts["epsilon 1"]["synthetic"] >= 15
    # The nearest person is the same each time: there is nothing to copy.
    assert counts["epsilon inf"]["pictures"] == counts["blur"]["pictures"] == 8
    assert (out / "reid.svg").read_text().startswith("<svg")
    # Nothing biometric is written: no list of numbers as long as a code.
    assert _longest_list_of_numbers(written) < 16


def _longest_list_of_numbers(written: object) -> int:
    """Codes have 128 numbers and more."""
    if isinstance(written, dict):
        return max(map(_longest_list_of_numbers, written.values()), default=0)
    if isinstance(written, list):
        numbers = sum(isinstance(item, (int, float)) for item in written)
        return max([numbers, *map(_longest_list_of_numbers, written)])
    return 0


def test_scenes_with_truth_are_covered(tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "160"})
    easy = ["audit", "coverage", "--scenes", "walk", "--seeds", "1", "--height", "240"]
    done = runner.invoke(app, [*easy, "--limit", "50", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "judged: 0 of 75 faces uncovered, 0.00 per 1,000 and at most 39.16" in done.output
    written = json.loads((tmp_path / "coverage.json").read_text())
    (score,) = written["scores"]
    assert score["faces"] == written["faces"] == 75
    assert score["shared"] == 0
    assert (tmp_path / "coverage.svg").read_text().startswith("<svg")


def test_scenes_of_faces_that_are_not_judged_are_no_evidence_of_coverage() -> None:
    runner = CliRunner(env={"COLUMNS": "160"})
    done = runner.invoke(app, ["audit", "coverage", "--scenes", "small", "--seeds", "1", "--height", "120"])
    assert done.exit_code == UNDECIDED, done.output
    assert "NOT RESOLVED no judged face" in done.output


def test_probes_read_what_crosses_beside_the_code(portraits: Path, tmp_path: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "160"})
    arguments = ["audit", "attributes", "--lfw", str(portraits), "--out", str(tmp_path / "out")]
    done = runner.invoke(app, arguments)
    # Four people are too few to say anything.
    assert done.exit_code in (FAILED, UNDECIDED), done.output
    assert "NOT RESOLVED to be named, one of 300 people or more; 4 are here" in done.output
    written = json.loads((tmp_path / "out/attributes.json").read_text())
    findings = {item["part"]: item for item in written["findings"]}
    assert len(written["unresolved"]) > 1
    assert list(findings) == [
        "width, height and jaw of the hole",
        "colour grid",
        "drawing",
        "hole",
        "outline",
        "all of them",
        "code of the output",
        "of its face alone",
        "of all but its face",
        "code of the original",
    ]
    assert findings["colour grid"]["numbers"] == 3 * 8 * 8
    # Two pictures of one codebook person differ by a turn and a shift: the recogniser knows everybody again.
    assert findings["code of the original"]["best_rank1"] == 1.0


def test_hidden_faces_are_compared_with_the_key_and_without(portraits: Path, tmp_path: Path) -> None:
    """Four people are too few to tell a rate from chance: what is compared and written is looked at, not judged."""
    runner = CliRunner(env={"COLUMNS": "160"})
    key = tmp_path / "hide.key"
    new_key_file(key)
    arguments = [
        "audit",
        "hide",
        "--lfw",
        str(portraits),
        "--key-file",
        str(key),
        "--out",
        str(tmp_path / "out"),
    ]
    done = runner.invoke(app, arguments)
    written = json.loads((tmp_path / "out" / "hide.json").read_text())
    assert done.exit_code == (FAILED if written["broken"] else UNDECIDED), done.output
    assert "598 independent pairs of one person, those here are worth" in done.output
    assert "no epsilon" in done.output
    assert "no epsilon" in written["claim"]
    rows = [result["row"] for result in written["results"]]
    assert rows == [
        "real faces to real faces", "real faces, key", "real faces, wrong key", "real faces, no key",
        "outputs of one key", "outputs of two keys", "outputs of two keys, both held",
    ]  # fmt: skip
    assert (written["pictures"], written["synthetic"]) == (8, 16)
    results = dict(zip(rows, written["results"], strict=True))
    # The codebook's own people stand in for real ones: read from the picture, they are known again with the key.
    assert results["real faces, key"]["area"] > 0.6


def test_the_codebook_is_screened_again_from_its_pictures(portraits: Path, tmp_path: Path) -> None:
    """Its own people as the gallery: every one of them is a double."""
    runner = CliRunner(env={"COLUMNS": "160", "XDG_CACHE_HOME": str(tmp_path / "empty")})
    arguments = [
        "audit",
        "codebook",
        "--gallery",
        str(portraits),
        "--pictures",
        "3",
        "--out",
        str(tmp_path / "out"),
    ]
    done = runner.invoke(app, arguments)
    assert done.exit_code == 1, done.output
    assert "pictures, gallery, sface" in done.output
    assert "NOT RESOLVED one recogniser alone" in done.output
    written = json.loads((tmp_path / "out" / "codebook.json").read_text())
    assert written["agreement"] > 0.9
    stored, among, doubles, against = written["findings"]
    assert stored["screening"]["passed"]
    assert among["screening"]["passed"]
    assert doubles["what"] == "stored codes, gallery"
    assert not doubles["screening"]["passed"]
    assert not against["screening"]["passed"]
    assert written["gallery"] == 3
