"""Reading the codebook: what is in the file comes out, and nothing damaged passes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from calibration.codebook import Codebook, screen_against, screen_pairs
from calibration.errors import CodebookError

Arrays = dict[str, npt.NDArray[Any]]


def save(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)
    return path


def test_round_trip(tmp_path: Path, codebook_arrays: Arrays) -> None:
    path = save(tmp_path / "c.npz", codebook_arrays)
    book = Codebook.load(path, expected_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert book.size == 40
    assert np.allclose(np.linalg.norm(book.codes_unit, axis=1), 1, atol=1e-6)
    person = book.person(3)
    assert person.appearance_rgb_u8.shape == (256, 256, 3)
    assert person.appearance_rgb_u8.dtype == np.uint8
    red = person.appearance_rgb_u8.reshape(-1, 3).mean(axis=0)
    assert abs(red[0] - 13) < 4
    assert red[2] < 4
    assert np.array_equal(person.mesh_xyz_px, codebook_arrays["mesh_xyz_px"][3].astype(np.float32))
    assert person.style.shape == (512,)
    assert set(book.attributes) == {"age_band", "sex_apparent", "skin_tone"}
    assert book.meta["screens"]["pairwise_cosine"] == 0.6


def _without(name: str) -> Any:
    def change(arrays: Arrays) -> None:
        del arrays[name]

    return change


def _with(name: str, value: Any) -> Any:
    def change(arrays: Arrays) -> None:
        arrays[name] = value(arrays[name])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("styles"), "no array 'styles'"),
        (_with("format_version", lambda a: np.array(2)), "format 2"),
        (_with("codes_unit", lambda a: a * 2), "norm 1"),
        (_with("codes_unit", lambda a: a.astype(np.float32) * np.nan), "norm 1"),
        (_with("codes_unit", lambda a: a[:0]), "at least one"),
        (_with("mesh_xyz_px", lambda a: a[:, :467]), "mesh_xyz_px"),
        (_with("mesh_xyz_px", lambda a: a * np.float16(np.inf)), "not finite"),
        (_with("styles", lambda a: a[:5]), "styles"),
        (_with("images", lambda a: a.astype(np.uint16)), "uint8"),
        (_with("images", lambda a: a[:-1]), "image_offsets"),
        (_with("image_offsets", lambda a: a[::-1].copy()), "image_offsets"),
        (_with("age_band", lambda a: a[:3]), "age_band"),
        (_with("meta_json", lambda a: np.array("{")), "meta_json"),
        (_with("meta_json", lambda a: np.array("[]")), "meta_json"),
    ],
)
def test_damaged_content(tmp_path: Path, codebook_arrays: Arrays, change: Any, message: str) -> None:
    change(codebook_arrays)
    with pytest.raises(CodebookError, match=message):
        Codebook.load(save(tmp_path / "c.npz", codebook_arrays))


def test_pickles_are_refused(tmp_path: Path, codebook_arrays: Arrays) -> None:
    codebook_arrays["styles"] = np.array([object()] * 40, dtype=object)
    with pytest.raises(CodebookError, match="pickles"):
        Codebook.load(save(tmp_path / "c.npz", codebook_arrays))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 and then nothing"])
def test_not_an_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.npz"
    path.write_bytes(content)
    with pytest.raises(CodebookError, match="npz"):
        Codebook.load(path)


def test_truncated_file(tmp_path: Path, codebook_arrays: Arrays) -> None:
    path = save(tmp_path / "c.npz", codebook_arrays)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CodebookError):
        Codebook.load(path)


def test_missing_file_and_wrong_hash(tmp_path: Path, codebook_arrays: Arrays) -> None:
    with pytest.raises(CodebookError, match="cannot read"):
        Codebook.load(tmp_path / "none.npz")
    with pytest.raises(CodebookError, match="sha256"):
        Codebook.load(save(tmp_path / "c.npz", codebook_arrays), expected_sha256="0" * 64)


def test_damaged_picture_is_noticed_when_it_is_used(tmp_path: Path, codebook_arrays: Arrays) -> None:
    codebook_arrays["images"][:40] = 0
    book = Codebook.load(save(tmp_path / "c.npz", codebook_arrays))
    with pytest.raises(CodebookError, match="person 0"):
        book.person(0)
    assert book.person(1).index == 1
    with pytest.raises(CodebookError, match="not 40"):
        book.person(40)


def test_screening_finds_doubles() -> None:
    codes = np.eye(6, dtype=np.float32)
    assert screen_pairs(codes, 0.5).passed
    codes[4] = codes[1]
    found = screen_pairs(codes, 0.5)
    assert not found.passed
    assert found.pairs == ((1, 4, 1.0),)
    assert screen_against(codes, np.eye(6, dtype=np.float32)[5:], 0.5).pairs == ((5, 0, 1.0),)


def test_screening_does_not_pass_what_is_no_number() -> None:
    codes = np.eye(3, dtype=np.float32)
    codes[2, 0] = np.nan
    assert not screen_pairs(codes, 0.5).passed


def test_space_centres_and_ranks(codebook: Codebook) -> None:
    space = codebook.space
    assert space.dimension == codebook.size // 4
    everyone = np.arange(codebook.size)
    for index in (0, 17, 39):
        assert space.rank(space.direction(codebook.codes_unit[index]), everyone)[0] == index
    direction = space.direction(codebook.codes_unit[5])
    assert np.array_equal(np.sort(space.rank(direction, everyone[::3])), everyone[::3])
    # The opposite direction turns the order around: the worst case of the audit has disjoint S.
    assert np.array_equal(space.rank(-direction, everyone), space.rank(direction, everyone)[::-1])


def test_space_has_a_code_for_every_direction(codebook: Codebook) -> None:
    space = codebook.space
    direction = -space.direction(codebook.codes_unit[5])
    code = space.code(direction)
    assert np.isclose(np.linalg.norm(code), 1)
    assert np.allclose(space.direction(code), direction, atol=1e-9)


def test_ties_go_by_index() -> None:
    from calibration.identity_space import IdentitySpace

    space = IdentitySpace(np.zeros(2), np.eye(2), np.ones(2), np.array([[1.0, 0.0]] * 4))
    assert space.rank(np.array([1.0, 0.0]), np.array([3, 1, 2])).tolist() == [1, 2, 3]
