"""Screening of the codebook: doubles among its people, doubles of real ones, and what is no evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibration.audit.vectors import unit_rows
from calibration.codebook import Screening, screen_pairs
from engines.detectors import Detection
from streamer.audit.codebook_screen import (
    CodebookFinding,
    CodebookOutcome,
    Limits,
    MeshFace,
    audit_codebook,
    claims_broken,
    gallery_portraits,
)
from streamer.audit.pictures import FoundFace
from streamer.errors import InputError

PEOPLE = 6
CODES = unit_rows(np.random.default_rng(1).normal(size=(2 * PEOPLE, 256))).astype(np.float32)
"""Of the codebook's people, then of as many strangers; they are all but orthogonal."""


def _picture(number: int) -> np.ndarray:
    return np.full((8, 8, 3), number, np.uint8)


@dataclass
class _ByNumber:
    """A recogniser that reads who it is from the picture's colour."""

    name: str
    held_out: bool = True
    has_common_part: bool = False

    def encode(self, picture_rgb_u8: np.ndarray, face: FoundFace) -> np.ndarray:
        code: np.ndarray = CODES[int(picture_rgb_u8[0, 0, 0])]
        return code


def _codebook(**figures: Any) -> Any:
    pairs = {"limit": 0.5, "second_limit": 0.5}
    return SimpleNamespace(
        size=PEOPLE,
        codes_unit=CODES[:PEOPLE],
        meta={"figures": {"pairs": pairs, **figures}},
        person=lambda index: SimpleNamespace(
            appearance_rgb_u8=_picture(index), mesh_xyz_px=np.ones((468, 3), np.float32)
        ),
        screen=lambda limit: screen_pairs(CODES[:PEOPLE], limit),
    )


def _screened(
    codebook: Any, gallery: list[int], *, faceless: int = 0, recognisers: int = 2
) -> CodebookOutcome:
    """The people of these numbers as the gallery, the first `faceless` of them without a face."""
    portraits: Any = [SimpleNamespace(read=lambda number=number: _picture(number)) for number in gallery]
    face = FoundFace(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)
    answers = [None] * faceless + [face] * (len(gallery) - faceless)
    finder: Any = SimpleNamespace(find=lambda _picture: answers.pop(0))
    both = [_ByNumber("first"), _ByNumber("second")][:recognisers]
    return audit_codebook(codebook, both, portraits, finder)


SCREENED = {"gallery": {"limits": {"first": 0.4, "second": 0.4}}}
STRANGERS = list(range(PEOPLE, 2 * PEOPLE))


def test_strangers_pass_and_doubles_do_not() -> None:
    fine = _screened(_codebook(**SCREENED), STRANGERS)
    assert fine.holds
    assert [finding.what for finding in fine.findings] == [
        "stored codes, each other", "pictures, each other", "stored codes, gallery", "pictures, gallery",
        "pictures, each other", "pictures, gallery",
    ]  # fmt: skip
    assert "6 people with each other and with 6 pictures of real people, by first and second" in fine.judged
    assert len(_screened(_codebook(**SCREENED), [*STRANGERS, 2]).broken) == 3


def test_stored_codes_are_held_to_the_gallery_limit_without_slack() -> None:
    """A limit just below what is there: within the slack of pictures, above for the codes themselves."""
    largest = float((CODES[:PEOPLE] @ CODES[PEOPLE:].T).max())
    limits = {"gallery": {"limits": {"first": largest - 0.01, "second": largest}}}
    (line,) = _screened(_codebook(**limits), STRANGERS).broken
    assert line.startswith("stored codes, gallery, first: 1 pairs")


@pytest.mark.parametrize(
    ("figures", "missing"),
    [({}, ("first", "second")), ({"gallery": {"limits": {"first": None, "second": 0.9}}}, ("first",))],
)
def test_a_codebook_without_a_limit_for_real_people_is_not_passed(
    figures: dict[str, Any], missing: tuple[str, ...]
) -> None:
    outcome = _screened(_codebook(**figures), list(range(PEOPLE)))
    assert not outcome.holds
    assert [
        name for name in ("first", "second") if any(f"by {name}" in line for line in outcome.unresolved)
    ] == list(missing)
    # The second limit is the second recogniser's, whatever the first has.
    tried = [finding.recogniser for finding in outcome.findings if finding.what == "pictures, gallery"]
    assert tried == [name for name in ("first", "second") if name not in missing]


def test_a_gallery_without_faces_is_no_evidence() -> None:
    outcome = _screened(_codebook(**SCREENED), STRANGERS, faceless=PEOPLE)
    assert not outcome.holds
    assert "a face is found in 0 of 6 gallery pictures" in outcome.unresolved[0]
    assert _screened(_codebook(**SCREENED), 20 * [PEOPLE], faceless=2).holds
    assert not _screened(_codebook(**SCREENED), 20 * [PEOPLE], faceless=3).holds


def test_without_a_gallery_the_people_are_screened_among_themselves() -> None:
    outcome = _screened(_codebook(), [])
    assert outcome.holds
    assert "with no real people" in outcome.judged
    (line,) = _screened(_codebook(), [], recognisers=1).unresolved
    assert line.startswith("one recogniser alone")


def test_the_largest_sure_face_of_a_gallery_picture_is_taken() -> None:
    def found(side: float, score: float) -> Detection:
        return Detection(
            np.array([5, 5, 5 + side, 5 + side], np.float32), score, np.zeros((5, 2), np.float32)
        )

    mesh = np.random.default_rng(2).uniform(40, 150, (468, 3)).astype(np.float32)
    model: Any = SimpleNamespace(run=lambda patches: (mesh[None], np.ones(1, np.float32)))

    def taken(*detections: Detection) -> FoundFace | None:
        detector: Any = SimpleNamespace(detect=lambda _picture: list(detections))
        return MeshFace(detector, model).find(np.zeros((100, 100, 3), np.uint8))

    face = taken(found(20, 0.9), found(40, 0.8), found(80, 0.4))
    assert face is not None
    assert face.box_xyxy_px.tolist() == [5, 5, 45, 45]
    assert face.points_xy_px.shape == (5, 2)
    assert taken(found(80, 0.4)) is None


def test_limits_that_are_missing_or_damaged_are_refused() -> None:
    assert Limits.of(_codebook(**SCREENED)).gallery == (0.4, 0.4)
    for meta in (
        {},
        {"figures": {"pairs": {"limit": 0.5}}},
        {"figures": {**_codebook().meta["figures"], "gallery": [1]}},
    ):
        with pytest.raises(InputError, match="no limits"):
            Limits.of(SimpleNamespace(meta=meta))  # type: ignore[arg-type]


def test_doubles_and_stale_codes_break_the_codebook() -> None:
    def finding(*pairs: tuple[int, int, float]) -> CodebookFinding:
        return CodebookFinding("among the people", "toy", 3, Screening(0.5, 0.6, pairs))

    assert claims_broken(0.99, [finding()]) == []
    assert "2 pairs above 0.500" in claims_broken(0.99, [finding((0, 1, 0.6), (1, 2, 0.55))])[0]
    for agreement in (0.5, float("nan")):
        assert "not that of its picture" in claims_broken(agreement, [finding()])[0]


def test_a_gallery_is_taken_evenly_and_must_have_pictures(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"p{number}").mkdir()
        (tmp_path / f"p{number}" / "1.jpg").touch()
    taken = [portrait.person for portrait in gallery_portraits(tmp_path, 4)]
    assert taken == ["p0", "p3", "p6", "p9"]
    assert len(gallery_portraits(tmp_path)) == 10
    with pytest.raises(InputError, match="no pictures"):
        gallery_portraits(tmp_path / "p0" / "none")
