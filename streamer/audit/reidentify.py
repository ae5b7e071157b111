"""Re-identification attacks on pictures that went through the product as tracks of one frame.

Per row (the originals, ours at each epsilon, blur, solid) every probe and every gallery picture is covered, looked at
by each recogniser, and attacked: naively, by a parrot, and by linkage (see `calibration.audit.reid`). The parrot has
several coverings of each gallery picture, as whoever has the product can make as many as he likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.assign import IdentityAssigner
from calibration.audit.reid import (
    AttackResult,
    FloatArray,
    IntArray,
    broken_bars,
    linkage_attack,
    missing_rows,
    naive_attack,
    parrot_attack,
)
from calibration.audit.svg import Series, line_chart
from calibration.bounds import verification_bound
from calibration.mechanisms import CodebookMechanism, UniformMechanism
from streamer.audit.lfw import Portrait, ProbesAndGallery
from streamer.audit.pictures import CentralFace, Covered, FoundFace, cover
from streamer.audit.recognisers import Recogniser
from streamer.errors import InputError, VeilstreamError
from streamer.frame import UInt8Array
from streamer.identity import IdentityKeeper
from streamer.render.compositor import Compositor
from streamer.settings import ReplaceWith
from streamer.toolkit import SyntheticTools, Toolkit

ORIGINAL = "original"
JUDGED_UP_TO_EPSILON = 1.0
LEAST_TAR_ON_ORIGINALS = 0.5

Maker = Callable[[UInt8Array, FoundFace], Covered]


@dataclass(frozen=True)
class Row:
    """One kind of picture.

    Attributes:
        name: as in the table.
        make: covers the face of a picture.
        copies: coverings of each gallery picture; 1 where each would be the same.
        epsilon: None for rows that are not ours.
    """

    name: str
    make: Maker
    copies: int
    epsilon: float | None = None


@dataclass(frozen=True)
class RowCount:
    """How many pictures a row has, in how many stands a synthetic person, and where a face is found again."""

    row: str
    pictures: int
    synthetic: int
    found_again: int


@dataclass(frozen=True)
class ReidOutcome:
    """Everything one run found.

    Attributes:
        faceless: pictures left out because the detector finds no face in them.
        broken: one line per bar that was missed; empty when the claim holds.
    """

    results: list[AttackResult]
    counts: list[RowCount]
    probes: int
    gallery: int
    faceless: int
    broken: list[str]


def synthetic_row(tools: SyntheticTools, epsilon: float, copies: int) -> Row:
    """Ours at an epsilon; 0 draws without looking at the face."""
    mechanism = UniformMechanism() if epsilon == 0 else CodebookMechanism(str(epsilon))
    assigner = IdentityAssigner(mechanism, tools.codebook, session="audit")
    keeper = IdentityKeeper(assigner, tools.codebook, tools.encoder, stream="audit")
    renderer = tools.renderer(keeper)
    compositor = Compositor(renderer)
    track_id = 0

    def make(picture_rgb_u8: UInt8Array, face: FoundFace) -> Covered:
        nonlocal track_id
        track_id += 1
        covered = cover(compositor, picture_rgb_u8, face, track_id)
        renderer.release(track_id)
        return covered

    return Row(f"epsilon {epsilon:g}", make, copies, epsilon)


def plain_row(replace_with: ReplaceWith) -> Row:
    """Blur or solid, which are the same each time."""
    compositor = Compositor(None, replace_with)
    return Row(replace_with.value, lambda picture, face: cover(compositor, picture, face, 1), 1)


def original_row() -> Row:
    """The pictures as they are: what the recognisers can do at all."""
    return Row(ORIGINAL, lambda picture, _face: Covered(picture, synthetic=False), 1)


def rows_for(toolkit: Toolkit, epsilons: Sequence[float], copies: int) -> list[Row]:
    """Every row that must be shown, and one for each epsilon; 0 is always among them."""
    tools = toolkit.synthetic
    if tools is None:
        raise VeilstreamError("re-identification is measured on synthetic replacement")
    ours = [synthetic_row(tools, value, copies) for value in sorted({0.0, *epsilons})]
    return [original_row(), *ours, plain_row(ReplaceWith.BLUR), plain_row(ReplaceWith.SOLID)]


def run_reid(
    pictures: ProbesAndGallery,
    central: CentralFace,
    rows: Sequence[Row],
    recognisers: Sequence[Recogniser],
    on_picture: Callable[[str], None] = lambda _row: None,
) -> ReidOutcome:
    """All attacks on all rows; `on_picture` hears of each picture made. The first row must be the originals."""
    probes, gallery = _with_faces(pictures.probes, central), _with_faces(pictures.gallery, central)
    names = {person: number for number, person in enumerate(sorted({p.person for p, _ in probes + gallery}))}
    who = _People([names[p.person] for p, _ in probes], [names[p.person] for p, _ in gallery])
    if len(set(who.probes) & set(who.gallery)) < 2:
        raise InputError("faces are found in both pictures of fewer than two people")
    results: list[AttackResult] = []
    counts: list[RowCount] = []
    clean: _Codes | None = None
    common_parts: dict[str, FloatArray] = {}
    for row in rows:
        seen = _Seen(row, central, recognisers, on_picture)
        codes = _Codes(seen.all_of(probes, 1), seen.all_of(gallery, row.copies))
        clean = clean or codes
        common_parts = common_parts or _common_parts(clean, recognisers)
        counts.append(RowCount(row.name, seen.pictures, seen.synthetic, seen.found_again))
        for recogniser in recognisers:
            name, common = recogniser.name, common_parts[recogniser.name]
            results += _attacks(row, name, codes.without(name, common), clean.without(name, common), who)
    total = len(pictures.probes) + len(pictures.gallery)
    faceless = total - len(probes) - len(gallery)
    broken = claim_broken(results, rows, recognisers)
    return ReidOutcome(results, counts, len(probes), len(gallery), faceless, broken)


def claim_broken(
    results: Sequence[AttackResult], rows: Sequence[Row], recognisers: Sequence[Recogniser]
) -> list[str]:
    """The bars that are missed, and whatever keeps this run from being evidence."""
    held_out = {recogniser.name for recogniser in recognisers if recogniser.held_out}
    judged = [row.name for row in rows if row.epsilon is not None and row.epsilon <= JUDGED_UP_TO_EPSILON]
    broken = broken_bars([result for result in results if result.recogniser in held_out], judged)
    broken += [f"the row {name!r} is missing" for name in missing_rows(results)]
    if not held_out:
        broken.append(
            "no recogniser that took no part in training: veilstream models fetch attacker-fr-feature"
        )
    for result in results:
        if (result.row, result.attack) == (ORIGINAL, "naive"):
            tar = result.tar_far_1e3.tar.value
            if tar < LEAST_TAR_ON_ORIGINALS:
                broken.append(
                    f"{result.recogniser} knows only {100 * tar:.1f} % of the originals: no evidence"
                )
    return broken


def reid_chart(outcome: ReidOutcome) -> str:
    """SVG: TAR at FAR 0.1 % of the naive and the parrot attack against epsilon, under the bound."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in outcome.results:
        kind, _, value = result.row.partition(" ")
        if kind == "epsilon" and result.attack != "linkage":
            rate = result.tar_far_1e3.tar.value
            lines.setdefault(f"{result.recogniser}, {result.attack}", []).append((float(value), rate))
    top = max((x for points in lines.values() for x, _ in points), default=1.0)
    grid = np.linspace(0.0, max(top, 1.0), 41).tolist()
    bound = Series("bound", tuple((x, verification_bound(x, 1e-3)) for x in grid), dashed=True)
    series = [bound, *(Series(name, tuple(points)) for name, points in lines.items())]
    return line_chart("Re-identification", "epsilon", "TAR at FAR 0.1 %", series)


@dataclass(frozen=True)
class _People:
    probes: list[int]
    gallery: list[int]


@dataclass(frozen=True)
class _Codes:
    """Codes by recogniser: of the probes (n, d), and of `copies` rounds of the gallery (copies * m, d)."""

    probes: dict[str, FloatArray]
    gallery: dict[str, FloatArray]

    def without(self, name: str, common: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Codes of one recogniser, probes and gallery, less a vector (d,)."""
        return self.probes[name] - common, self.gallery[name] - common


class _Seen:
    """Makes the pictures of a row, looks at them with every recogniser, and keeps nothing but codes and counts."""

    def __init__(
        self,
        row: Row,
        central: CentralFace,
        recognisers: Sequence[Recogniser],
        on_picture: Callable[[str], None],
    ) -> None:
        self._row, self._central, self._recognisers, self._on_picture = row, central, recognisers, on_picture
        self.pictures = self.synthetic = self.found_again = 0

    def all_of(self, portraits: Sequence[tuple[Portrait, FoundFace]], copies: int) -> dict[str, FloatArray]:
        codes: dict[str, list[npt.NDArray[np.float32]]] = {item.name: [] for item in self._recognisers}
        for portrait, face in list(portraits) * copies:
            covered = self._row.make(portrait.read(), face)
            # Where the attacker's detector sees no face he still knows the place: it is the one that was covered.
            again = self._central.find_again(covered.picture_rgb_u8, face)
            self.pictures += 1
            self.synthetic += covered.synthetic
            self.found_again += again is not None
            for recogniser in self._recognisers:
                codes[recogniser.name].append(recogniser.encode(covered.picture_rgb_u8, again or face))
            self._on_picture(self._row.name)
        return {name: np.stack(values) for name, values in codes.items()}


def _with_faces(portraits: Sequence[Portrait], central: CentralFace) -> list[tuple[Portrait, FoundFace]]:
    found = ((portrait, central.find(portrait.read())) for portrait in portraits)
    return [(portrait, face) for portrait, face in found if face is not None]


def _common_parts(clean: _Codes, recognisers: Sequence[Recogniser]) -> dict[str, FloatArray]:
    """The mean code of the attacker's clean gallery, for recognisers that need it taken away; zero for others."""
    means = {item.name: clean.gallery[item.name].mean(axis=0) for item in recognisers}
    return {item.name: means[item.name] * float(item.has_common_part) for item in recognisers}


def _attacks(
    row: Row,
    name: str,
    codes: tuple[FloatArray, FloatArray],
    clean: tuple[FloatArray, FloatArray],
    who: _People,
) -> list[AttackResult]:
    """`codes` and `clean`: of probes and gallery, covered and as they were, of the recogniser `name`."""
    people: IntArray = np.array(who.probes)
    gallery_people: IntArray = np.array(who.gallery)
    (probes, gallery), (clean_probes, clean_gallery) = codes, clean
    originals = None if row.name == ORIGINAL else clean_probes
    naive = naive_attack(row.name, name, probes, people, clean_gallery, gallery_people, originals)
    parrot = parrot_attack(row.name, name, gallery, np.tile(gallery_people, row.copies), probes, people)
    # One covering of each picture: two of the same picture would be linked by all that is not covered.
    pool = np.concatenate([probes, gallery[: len(gallery_people)]])
    pool_people = np.concatenate([people, gallery_people])
    return [naive, parrot, linkage_attack(row.name, name, pool, pool_people, np.arange(len(pool)))]
