"""The codebook's screening, done again: are two of its people doubles, and is one of them the double of a real person?

With two recognisers, one that the codebook was made with and one that the product does not use. The limits are those
the codebook states about itself. The stored codes are held to them exactly, among themselves and against real people.
The pictures are encoded anew, since they are what is shown; they are stored compressed, which moves a code, so there
the limits have a slack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.audit.vectors import unit_rows
from calibration.codebook import Codebook, Screening, screen_against, screen_pairs
from engines.detectors import FaceDetector
from engines.face.topology import five_points
from engines.landmarks import FaceMesh
from engines.training.edits import read_face
from streamer.audit.lfw import Portrait
from streamer.audit.pictures import FoundFace
from streamer.audit.recognisers import Recogniser
from streamer.errors import InputError
from streamer.frame import Float32Array, UInt8Array

SUFFIXES = (".jpg", ".jpeg", ".png")
LEAST_AGREEMENT = 0.9
"""Cosine of a stored code to that of its picture: .92 to .99 in the shipped codebook."""
PICTURE_SLACK = 0.06
"""What a cosine of compressed pictures may have above the limit."""
LEAST_WITH_FACE = 0.9
"""Share of a gallery's pictures that a face must be found in."""
_LEAST_SCORE = 0.5


@dataclass(frozen=True)
class Limits:
    """What the codebook states of itself, by the order of the recognisers that made it.

    Attributes:
        pairs: largest cosine of two people.
        gallery: largest cosine to a real person; None for a recogniser that it was not screened with.
    """

    pairs: tuple[float, ...]
    gallery: tuple[float | None, ...]

    @classmethod
    def of(cls, codebook: Codebook) -> Limits:
        """Raises InputError when the codebook states none."""
        figures: Any = codebook.meta.get("figures")
        try:
            pairs = (float(figures["pairs"]["limit"]), float(figures["pairs"]["second_limit"]))
            gallery = figures.get("gallery")
            stated = (
                (gallery["limits"].get("first"), gallery["limits"].get("second")) if gallery else (None, None)
            )
            limits = tuple(None if limit is None else float(limit) for limit in stated)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                "the codebook states no limits of its screening: it cannot be screened again"
            ) from None
        return cls(pairs, limits)


@dataclass(frozen=True)
class CodebookFinding:
    """One screening.

    Attributes:
        what: which codes, and with whom they are compared.
        compared: cosines looked at.
        screening: the limit with its slack, the largest cosine, and the pairs above.
    """

    what: str
    recogniser: str
    compared: int
    screening: Screening


@dataclass(frozen=True)
class CodebookOutcome:
    """Everything found.

    Attributes:
        agreement: smallest cosine of a stored code to the code of the picture.
        gallery: real pictures compared with; `faceless`, those without a face.
        judged: who was compared with whom, by which recognisers.
        broken: one line per claim that does not hold.
        unresolved: one line for whatever keeps this run from being evidence. The claim holds when both are empty.
    """

    people: int
    agreement: float
    findings: list[CodebookFinding]
    gallery: int
    faceless: int
    judged: str
    broken: list[str]
    unresolved: list[str]

    @property
    def holds(self) -> bool:
        return not self.broken and not self.unresolved


def audit_codebook(
    codebook: Codebook,
    recognisers: Sequence[Recogniser],
    gallery: Sequence[Portrait],
    finder: MeshFace,
    on_picture: Callable[[], None] = lambda: None,
) -> CodebookOutcome:
    """Screen again.

    Args:
        recognisers: SFace first, then the second one where it is at hand.
        gallery: pictures of real people; none for the people among themselves alone.
    """
    limits = Limits.of(codebook)
    own = _own_codes(codebook, recognisers, on_picture)
    real, faceless = _gallery_codes(gallery, recognisers, finder, on_picture)
    agreement = float((own[0] * codebook.codes_unit).sum(axis=1).min())
    count = codebook.size * (codebook.size - 1) // 2
    stored = codebook.screen(limits.pairs[0])
    findings = [CodebookFinding("stored codes, each other", recognisers[0].name, count, stored)]
    for at, recogniser in enumerate(recognisers):
        pairs = screen_pairs(own[at], limits.pairs[at] + PICTURE_SLACK)
        findings.append(CodebookFinding("pictures, each other", recogniser.name, count, pairs))
        limit = limits.gallery[at]
        if not len(real[at]) or limit is None:
            continue
        size = codebook.size * len(real[at])
        if at == 0:
            exact = screen_against(codebook.codes_unit, real[at], limit)
            findings.append(CodebookFinding("stored codes, gallery", recogniser.name, size, exact))
        against = screen_against(own[at], real[at], limit + PICTURE_SLACK)
        findings.append(CodebookFinding("pictures, gallery", recogniser.name, size, against))
    names = [recogniser.name for recogniser in recognisers]
    return CodebookOutcome(
        people=codebook.size,
        agreement=agreement,
        findings=findings,
        gallery=len(real[0]),
        faceless=faceless,
        judged=_judged_line(codebook.size, len(real[0]), names),
        broken=claims_broken(agreement, findings),
        unresolved=no_evidence(names, limits, len(gallery), faceless),
    )


def claims_broken(agreement: float, findings: Sequence[CodebookFinding]) -> list[str]:
    """One line for each screening that fails."""
    broken = []
    # Written so that a cosine that is no number counts as too small.
    if not agreement >= LEAST_AGREEMENT:
        broken.append(
            f"a stored code is not that of its picture: cosine {agreement:.3f}, below {LEAST_AGREEMENT}"
        )
    for finding in findings:
        pairs = finding.screening.pairs
        if pairs:
            broken.append(
                f"{finding.what}, {finding.recogniser}: {len(pairs)} pairs above {finding.screening.limit:.3f},"
                f" the largest {finding.screening.largest:.3f}"
            )
    return broken


def no_evidence(recognisers: Sequence[str], limits: Limits, pictures: int, faceless: int) -> list[str]:
    """Whatever keeps a screening from being evidence, one line each with what is needed.

    Args:
        recognisers: names, in the order of the limits.
        pictures: those of the gallery; 0 where none was asked for.
        faceless: those of them without a face.
    """
    lines = []
    if len(recognisers) < 2:
        lines.append("one recogniser alone, two are needed: veilstream models fetch attacker-fr-feature")
    if not pictures:
        return lines
    if pictures - faceless < LEAST_WITH_FACE * pictures:
        lines.append(
            f"a face is found in {pictures - faceless} of {pictures} gallery pictures; it takes"
            f" {100 * LEAST_WITH_FACE:g} %"
        )
    lines += [
        f"the codebook states no limit for real people by {name}: take one that was screened against a gallery"
        for name, limit in zip(recognisers, limits.gallery, strict=False)
        if limit is None
    ]
    return lines


def _judged_line(people: int, real: int, recognisers: Sequence[str]) -> str:
    whom = f" and with {real:,} pictures of real people" if real else ", with no real people"
    return (
        f"{people:,} people with each other{whom}, by {' and '.join(recognisers)}, against the limits that the codebook"
        " states"
    )


def gallery_portraits(folder: Path, limit: int | None = None) -> list[Portrait]:
    """Pictures below a folder, evenly taken when there are more than `limit`.

    Raises:
        InputError: there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} has no pictures ({', '.join(SUFFIXES)}) in it or below")
    if limit is not None and len(paths) > limit:
        paths = [paths[round(at)] for at in np.linspace(0, len(paths) - 1, limit)]
    return [Portrait(path, path.parent.name) for path in paths]


class MeshFace:
    """The largest face of a picture, its five points taken from the dense mesh.

    Read as those read it who make a codebook (`engines.training.codebook_faces`), to the letter: another box moves a
    code by a few hundredths, and a codebook's limit is a limit of codes read its way.
    """

    def __init__(self, detector: FaceDetector, mesh: FaceMesh) -> None:
        self._detector, self._mesh = detector, mesh

    def find(self, picture_rgb_u8: UInt8Array) -> FoundFace | None:
        found = [face for face in self._detector.detect(picture_rgb_u8) if face.score > _LEAST_SCORE]
        if not found:
            return None
        face = max(found, key=lambda one: float(np.prod(one.box_xyxy_px[2:] - one.box_xyxy_px[:2])))
        reading = read_face(picture_rgb_u8, self._mesh, box_xyxy_px=face.box_xyxy_px)
        return FoundFace(face.box_xyxy_px, five_points(reading.mesh_xyz_px).astype(np.float32), face.score)


def _own_codes(
    codebook: Codebook, recognisers: Sequence[Recogniser], on_picture: Callable[[], None]
) -> list[Float32Array]:
    """Unit codes (K, d) of the codebook's pictures, by recogniser."""
    rows: list[list[Float32Array]] = [[] for _ in recognisers]
    for index in range(codebook.size):
        person = codebook.person(index)
        points = five_points(person.mesh_xyz_px).astype(np.float32)
        box = np.concatenate([person.mesh_xyz_px[:, :2].min(axis=0), person.mesh_xyz_px[:, :2].max(axis=0)])
        face = FoundFace(box.astype(np.float32), points, 1.0)
        for codes, recogniser in zip(rows, recognisers, strict=True):
            codes.append(recogniser.encode(person.appearance_rgb_u8, face))
        on_picture()
    return [unit_rows(np.stack(codes)).astype(np.float32) for codes in rows]


def _gallery_codes(
    gallery: Sequence[Portrait],
    recognisers: Sequence[Recogniser],
    finder: MeshFace,
    on_picture: Callable[[], None],
) -> tuple[list[Float32Array], int]:
    """Unit codes (G, d) by recogniser, and how many pictures have no face."""
    rows: list[list[Float32Array]] = [[] for _ in recognisers]
    found = 0
    for picture, face in _faces(gallery, finder, on_picture):
        found += 1
        for codes, recogniser in zip(rows, recognisers, strict=True):
            codes.append(recogniser.encode(picture, face))
    stacked = [
        unit_rows(np.stack(codes)).astype(np.float32) if codes else np.empty((0, 1), np.float32)
        for codes in rows
    ]
    return stacked, len(gallery) - found


def _faces(
    gallery: Sequence[Portrait], finder: MeshFace, on_picture: Callable[[], None]
) -> Iterator[tuple[UInt8Array, FoundFace]]:
    for portrait in gallery:
        picture = portrait.read()
        face = finder.find(picture)
        on_picture()
        if face is not None:
            yield picture, face
