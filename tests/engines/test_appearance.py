"""Finer appearances: the composition scales, what does not fit is refused, and side files of others are turned away."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from engines.appearance.finer import FINE_PX, FineRenderer, UnlikeTheCodebook, in_colours_of
from engines.appearance.parts import EYES, NOSE_AND_MOUTH, Face, compose
from engines.appearance.picture import PICTURE_PX, finer_px
from engines.appearance.styles import NOBODY, StyleBook
from engines.appearance.teacher import SynthesisTeacher, check_available
from engines.errors import EngineError, ModelHashError, ModelMissingError
from engines.face.topology import canonical_mesh

Picture = npt.NDArray[np.uint8]


def points() -> npt.NDArray[np.float64]:
    """The canonical face in a 256 px picture."""
    return np.asarray(canonical_mesh()[:, :2] * 70.0 + np.array([128.0, 115.0]), np.float64)


def smooth(seed: int, size: int) -> Picture:
    """The same smooth picture at any size."""
    coarse = np.random.default_rng(seed).integers(40, 200, (16, 16, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 255), np.uint8)


def test_a_composition_at_512_px_is_that_at_256_only_finer() -> None:
    wide = points()
    wide[:, 0] = 128 + (wide[:, 0] - 128) * 1.1
    at = {256: points(), 512: points()}
    small, large = (
        compose(
            Face(smooth(1, side), at[side]),
            {EYES: Face(smooth(2, side), wide), NOSE_AND_MOUTH: Face(smooth(3, side), at[side])},
        )
        for side in (256, 512)
    )
    assert np.allclose(small.points_xy_px, large.points_xy_px)
    shrunk = cv2.resize(large.picture_rgb_u8, (256, 256), interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(shrunk - small.picture_rgb_u8)[4:-4, 4:-4]
    assert difference.mean() < 1.0
    assert difference.max() < 12


def test_places_of_a_finer_picture_keep_pixel_centres() -> None:
    assert finer_px(np.array([0.0, 255.0]), 2).tolist() == [0.5, 510.5]
    same = np.array([1.25], np.float32)
    assert finer_px(same, 1).dtype == np.float32
    assert finer_px(same, 1) == same


def test_colours_come_from_the_codebook_and_detail_from_the_finer_picture() -> None:
    """Else the face would flash when one takes the place of the other."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::4] = 80
    fine = in_colours_of(stripes + np.uint8(60), np.full((256, 256, 3), 150, np.uint8))
    assert abs(float(fine[100:400, 100:400].mean()) - 150) < 1.0
    assert float(np.ptp(fine[200, 200:260, 0].astype(int))) > 60


def book(recipes: list[list[int]], models: int = 1) -> StyleBook:
    mesh = np.rint(np.repeat(points()[None], models, 0) * 64).astype(np.int16)
    box = np.tile(np.array([0, 0, 1024, 1024], np.float32), (models, 1))
    return StyleBook("ab", np.ones((models, 512), np.float16), box, mesh, np.array(recipes, np.int16))


def renderer(recipes: list[list[int]], *, moved_px: float = 0.0, cosine: float = 1.0) -> FineRenderer:
    """With a teacher that paints `smooth(1, ...)`, and landmarks and codes that are found as asked for."""
    teacher: Any = SimpleNamespace(render=lambda style: smooth(1, 1024))
    maker = FineRenderer(teacher, book(recipes), None, None)  # type: ignore[arg-type]
    maker.compare = lambda *_: (moved_px / 90.0, cosine)  # type: ignore[method-assign]
    return maker


def render(maker: FineRenderer, index: int = 0) -> Picture:
    mesh = np.column_stack([points(), np.zeros(468)]).astype(np.float32)
    return maker.render(index, smooth(1, PICTURE_PX), mesh, np.ones(128, np.float32))


def test_a_person_of_one_style_is_rendered_larger() -> None:
    fine = render(renderer([[0, NOBODY, NOBODY]]))
    assert fine.shape == (FINE_PX, FINE_PX, 3)
    assert np.abs(fine.astype(int) - smooth(1, FINE_PX)).mean() < 2


def test_a_composed_person_is_composed_again() -> None:
    assert render(renderer([[0, 0, 0]])).shape == (FINE_PX, FINE_PX, 3)


@pytest.mark.parametrize(
    ("moved_px", "cosine"), [(1.5, 1.0), (0.0, 0.85), (float("nan"), 1.0), (0.0, float("nan"))]
)
def test_a_picture_of_somebody_else_or_elsewhere_is_refused(moved_px: float, cosine: float) -> None:
    with pytest.raises(UnlikeTheCodebook, match="came out differently"):
        render(renderer([[0, NOBODY, NOBODY]], moved_px=moved_px, cosine=cosine))


@pytest.mark.parametrize("recipe", [[0, NOBODY, NOBODY], [NOBODY] * 3])
def test_errors_do_not_say_who_was_drawn(recipe: list[int]) -> None:
    """Neither by the index nor by figures that one person of the codebook alone has."""
    messages = set()
    for index, moved_px in ((0, 1.5), (4, 2.75)):
        with pytest.raises(EngineError) as caught:
            render(renderer([recipe] * 5, moved_px=moved_px), index)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_who_has_no_style_is_not_rendered() -> None:
    assert not book([[NOBODY] * 3]).knows(0)
    with pytest.raises(EngineError, match="has no style"):
        render(renderer([[NOBODY] * 3]))


def test_landmarks_and_code_of_the_same_picture_agree_and_of_a_moved_one_do_not() -> None:
    """With the engines themselves, on a codebook person enlarged: the check measures in codebook px."""
    from calibration.codebook import Codebook
    from engines.identity import IdentityEncoder
    from engines.landmarks import FaceMesh
    from engines.zoo.registry import model_path

    codebook = Codebook.load(model_path("codebook-v1"))
    person, code = codebook.person(3), codebook.codes_unit[3]
    maker = FineRenderer(None, book([[0, 0, 0]]), FaceMesh.open(), IdentityEncoder.open())  # type: ignore[arg-type]
    large = cv2.resize(person.appearance_rgb_u8, (FINE_PX, FINE_PX), interpolation=cv2.INTER_CUBIC)
    miss, cosine = maker.compare(np.asarray(large, np.uint8), person.mesh_xyz_px, code)
    assert miss < 0.005
    assert cosine > 0.98
    miss, _ = maker.compare(np.roll(np.asarray(large, np.uint8), 6, axis=1), person.mesh_xyz_px, code)
    assert 0.02 < miss < 0.05  # 3 px of the 256, and the eyes are about 90 px apart
    _, cosine = maker.compare(np.asarray(large, np.uint8), person.mesh_xyz_px, codebook.codes_unit[4])
    assert cosine < 0.6


def test_a_book_of_styles_survives_writing(tmp_path: Path) -> None:
    path = tmp_path / "styles.npz"
    book([[0, 1, 1], [NOBODY] * 3], models=2).save(str(path))
    read = StyleBook.read(path.read_bytes())
    assert read.codebook_sha256 == "ab"
    assert read.knows(0)
    assert not read.knows(1)
    recipe = read.recipe(0)
    assert recipe is not None
    assert set(recipe.donors) == {EYES, NOSE_AND_MOUTH}
    assert np.abs(recipe.base.points_xy_px - points()).max() < 1 / 64


def test_a_damaged_book_is_refused() -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        StyleBook.read(b"nothing")
    stream = io.BytesIO()
    wrong = book([[5, 0, 0]])
    np.savez(stream, **{name: getattr(wrong, name) for name in wrong.__dataclass_fields__})
    with pytest.raises(EngineError, match="do not fit together"):
        StyleBook.read(stream.getvalue())


def test_a_missing_or_exchanged_teacher_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'veilstream\[quality\]'"):
        check_available(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(ModelMissingError, match="veilstream models fetch teacher-synthesis-xml"):
        check_available()
    with pytest.raises(ModelMissingError, match="random_face/data"):
        check_available(tmp_path)
    (tmp_path / "SynthesisNetwork.xml").write_text("<net/>", encoding="utf-8")
    with pytest.raises(ModelHashError):
        check_available(tmp_path)


def test_the_shipped_people_come_out_as_the_codebook_has_them() -> None:
    """Needs the teacher: one person of one style and one who was composed."""
    pytest.importorskip("openvino")
    try:
        check_available()
    except ModelMissingError:
        pytest.skip("needs the teacher: veilstream models fetch teacher-synthesis-xml teacher-synthesis-bin")
    from calibration.codebook import Codebook
    from engines.identity import IdentityEncoder
    from engines.landmarks import FaceMesh
    from engines.zoo.registry import model_path

    codebook = Codebook.load(model_path("codebook-v1"))
    styles = StyleBook.read(model_path("codebook-v1-styles").read_bytes())
    assert styles.codebook_sha256 == codebook.sha256
    assert len(styles.recipes) == codebook.size
    maker = FineRenderer(SynthesisTeacher(), styles, FaceMesh.open(), IdentityEncoder.open())
    composed = styles.recipes[:, 1] != NOBODY
    for index in (int(np.argmin(composed)), int(np.argmax(composed))):
        person = codebook.person(index)
        fine = maker.render(index, person.appearance_rgb_u8, person.mesh_xyz_px, codebook.codes_unit[index])
        small = cv2.resize(fine, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - person.appearance_rgb_u8).mean() < 4
