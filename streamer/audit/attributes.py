"""What crosses beside the identity code, read by probes: everything the decoder is told of the real face.

Everybody wears the same synthetic person here, so the code says nothing, and whatever differs between two pictures in
the decoder's input came from the real faces: the grid of colours, the drawing of the moving parts, the shape of the
hole, the outline within. The surroundings are left out of these; they are in the output as they were, and whoever reads
the output reads them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from calibration.audit.attributes import (
    LinkResult,
    ProbeResult,
    explained_identity,
    link_tracks,
    probe_identity,
)
from calibration.audit.vectors import FloatArray, IntArray
from calibration.codebook import SyntheticPerson
from engines.decoder import DecoderOutput, FaceDecoder
from streamer.audit.lfw import ProbesAndGallery
from streamer.audit.pictures import CentralFace, FoundFace, cover
from streamer.audit.recognisers import SFaceRecogniser
from streamer.errors import InputError
from streamer.frame import Float32Array, Frame, TrackedFace, UInt8Array, invert_affine
from streamer.identity import IdentityKeeper
from streamer.render.compositor import Compositor, DrawFaces, FaceRenderer, FallbackReason, RenderedFace
from streamer.render.renderer import SyntheticRenderer
from streamer.toolkit import SyntheticTools

# Channels of the decoder's input (see `engines.face.conditioning`), and the side they are brought down to.
_PARTS = {"colour grid": ((8, 9, 10), 8), "drawing": ((11,), 16), "hole": ((6,), 32), "outline": ((7,), 16)}
HOLE_SIZES = "width, height and jaw of the hole"
EVERYTHING = "all of them"
OUTPUT_CODE, FACE_CODE, REST_CODE = "code of the output", "of its face alone", "of all but its face"
_GREY = 127
ORIGINAL_CODE = "code of the original"
LEAST_PEOPLE = 4
LEAST_JUDGED_PEOPLE = 300
"""Fewer people are easier to name: the bars are those of documented runs with 325 people."""
TOLD_PERCENT, FACE_PERCENT, OUTPUT_PERCENT = 10.0, 12.0, 15.0
"""What may be linked at 1 % false links, and what named: by all that the decoder is told, by the drawn face, and by the
output as a whole. The upper 95 % bounds of what docs/benchmarks.md has are 9.4, 10.4 and 17.9."""
LEAST_LINKED_ORIGINALS = 0.5
_MOST_COMPONENTS = 64
_ROWS_PER_COMPONENT = 4


@dataclass(frozen=True)
class AttributeFinding:
    """What the probes read from one part.

    Attributes:
        part: which attributes.
        numbers: how many of them.
        probes: a ridge and a logistic regression, each tried on pictures it was not trained on.
        linked: how well two pictures of people nobody was trained on are linked, by each metric.
        explained: share of the variance of strangers' identity codes that the part explains; 0 is none.
    """

    part: str
    numbers: int
    probes: tuple[ProbeResult, ...]
    linked: tuple[LinkResult, ...]
    explained: float

    @property
    def best_rank1(self) -> float:
        return max(probe.rank1.value for probe in self.probes)

    @property
    def best_link(self) -> LinkResult:
        return max(self.linked, key=lambda link: link.tar.value)


@dataclass(frozen=True)
class AttributeVerdict:
    """How it came out.

    Attributes:
        judged: against which bars.
        broken: one line for each bar that is missed.
        unresolved: one line for what could not be judged, with what that takes. The claim holds when both are empty.
    """

    judged: str
    broken: list[str]
    unresolved: list[str]


def judge(findings: Sequence[AttributeFinding], limit_percent: float | None = None) -> AttributeVerdict:
    """Judge how well people are linked, and named, by each part, at the upper 95 % bound of the rate.

    What is around the drawn face is in the picture as it was: it is reported, not judged.

    Args:
        limit_percent: in place of the bars of documented runs.
    """
    broken: list[str] = []
    unresolved: list[str] = []
    original = next(finding for finding in findings if finding.part == ORIGINAL_CODE)
    if original.best_link.tar.value < LEAST_LINKED_ORIGINALS:
        tar = 100 * original.best_link.tar.value
        unresolved.append(
            f"the recogniser links only {tar:.1f} % of the originals: what it links of ours says nothing"
        )
    people = original.best_link.people
    enough = people >= LEAST_JUDGED_PEOPLE
    if not enough:
        unresolved.append(
            f"to be named, one of {LEAST_JUDGED_PEOPLE} people or more; {people} are here: more --pairs"
        )
    for finding in findings:
        limit = _limit_percent(finding.part, limit_percent)
        if limit is None:
            continue
        rates = {"linked": finding.best_link.tar}
        if enough:
            rates["named"] = max((probe.rank1 for probe in finding.probes), key=lambda rate: rate.value)
        for verb, rate in rates.items():
            where = f"{finding.part}: {rate.successes} of {rate.trials} {verb}, {100 * rate.value:.1f} %"
            at_most = 100 * rate.at_most
            if 100 * (rate.value if enough else rate.low) > limit:
                broken.append(f"{where}, more than {limit:g} %")
            elif at_most > limit:
                unresolved.append(
                    f"{where} and up to {at_most:.1f} %, where {limit:g} % may be: more --pairs"
                )
    return AttributeVerdict(_judged_line(people, limit_percent), broken, unresolved)


def _limit_percent(part: str, asked: float | None) -> float | None:
    """The bar of a part; None for what is not judged."""
    if part in (ORIGINAL_CODE, REST_CODE):
        return None
    if asked is not None:
        return asked
    return {OUTPUT_CODE: OUTPUT_PERCENT, FACE_CODE: FACE_PERCENT}.get(part, TOLD_PERCENT)


def _judged_line(people: int, asked: float | None) -> str:
    bars = (
        f"{TOLD_PERCENT:g} % by what the decoder is told, {FACE_PERCENT:g} % by the face drawn, {OUTPUT_PERCENT:g} %"
        " by the output"
        if asked is None
        else f"{asked:g} %"
    )
    return f"linked at 1 % false links, and named, of {people} people, at the upper 95 % bound at most {bars}"


def audit_attributes(
    pictures: ProbesAndGallery,
    central: CentralFace,
    tools: SyntheticTools,
    encoder: SFaceRecogniser,
    on_picture: Callable[[], None] = lambda: None,
) -> list[AttributeFinding]:
    """A finding per part, for all together, for what a recogniser makes of the output, and for the original's code.

    The last is what there is to be read.

    Raises:
        InputError: too few people with two pictures that can be rendered.
    """
    reader = _Reader(tools, encoder)
    people: list[str] = []
    told: list[dict[str, Float32Array]] = []
    codes: list[Float32Array] = []
    for portrait in (*pictures.probes, *pictures.gallery):
        picture = portrait.read()
        face = central.find(picture)
        parts = None if face is None else reader.parts(picture, face)
        if face is not None and parts is not None:
            people.append(portrait.person)
            told.append(parts)
            codes.append(encoder.encode(picture, face))
        on_picture()
    return _probed(people, told, codes)


def _probed(
    people: Sequence[str], told: Sequence[dict[str, Float32Array]], codes: Sequence[Float32Array]
) -> list[AttributeFinding]:
    """Findings over the people who have at least two pictures."""
    kept = [row for row, person in enumerate(people) if people.count(person) > 1]
    names = {person: number for number, person in enumerate(sorted({people[row] for row in kept}))}
    if len(names) < LEAST_PEOPLE:
        raise InputError(
            f"attributes need {LEAST_PEOPLE} people with two pictures that can be rendered, got {len(names)}"
        )
    who: IntArray = np.array([names[people[row]] for row in kept])
    identity = np.stack([codes[row] for row in kept])
    parts = {part: np.stack([told[row][part] for row in kept]) for part in told[0]}
    return [
        _finding(part, values, identity, who) for part, values in (*parts.items(), (ORIGINAL_CODE, identity))
    ]


def _finding(part: str, attributes: FloatArray, identity: FloatArray, who: IntArray) -> AttributeFinding:
    values = _principal(attributes)
    tracks = np.arange(len(who))
    probes = tuple(probe_identity(values, who, tracks, probe=probe) for probe in ("ridge", "logistic"))
    explained = explained_identity(values, identity, who)
    linked = (link_tracks(values, who), link_tracks(attributes, who, metric="cosine"))
    return AttributeFinding(part, attributes.shape[1], probes, linked, explained)


def _principal(values: FloatArray) -> FloatArray:
    """(n, f) to its strongest principal components, few enough that a probe of n rows can be fitted to them."""
    centred = np.asarray(values, dtype=np.float64) - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    count = max(2, min(_MOST_COMPONENTS, len(values) // _ROWS_PER_COMPONENT))
    return np.asarray(left[:, :count] * singular[:count])


class _Reader:
    """Renders pictures as tracks of one frame; keeps what the decoder was told and what a recogniser makes of them."""

    def __init__(self, tools: SyntheticTools, encoder: SFaceRecogniser) -> None:
        self._encoder = encoder
        self._decoder = _Overheard(tools.decoder)
        renderer = replace(tools, decoder=self._decoder).renderer(_OnePerson(tools.codebook.person(0)))
        self._renderer = _Overseen(renderer)
        self._compositor = Compositor(self._renderer)
        self._track_id = 0

    def parts(self, picture_rgb_u8: UInt8Array, face: FoundFace) -> dict[str, Float32Array] | None:
        """Numbers by part; None when the face was covered instead of rendered."""
        self._track_id += 1
        covered = cover(self._compositor, picture_rgb_u8, face, self._track_id)
        self._renderer.release(self._track_id)
        conditioning = self._decoder.take()
        if conditioning is None:
            return None
        parts = {part: _brought_down(conditioning, *layout) for part, layout in _PARTS.items()}
        return {
            HOLE_SIZES: _hole_sizes(conditioning[6]),
            **parts,
            EVERYTHING: np.concatenate(list(parts.values())),
            **self._output_codes(covered.picture_rgb_u8, face),
        }

    def _output_codes(self, output_rgb_u8: UInt8Array, face: FoundFace) -> dict[str, Float32Array]:
        """What the recogniser makes of the output, of the face drawn in it on grey, and of what is around on grey."""
        is_face = self._renderer.mask(output_rgb_u8.shape[1], output_rgb_u8.shape[0])[..., None]
        views = {
            OUTPUT_CODE: output_rgb_u8,
            FACE_CODE: np.where(is_face, output_rgb_u8, np.uint8(_GREY)),
            REST_CODE: np.where(is_face, np.uint8(_GREY), output_rgb_u8),
        }
        return {name: self._encoder.encode(view, face) for name, view in views.items()}


class _Overseen(FaceRenderer):
    """A renderer that remembers where it drew the last face."""

    def __init__(self, renderer: SyntheticRenderer) -> None:
        self._renderer = renderer
        self._drawn: RenderedFace | None = None

    def look(self, frame: Frame, faces: Sequence[TrackedFace]) -> DrawFaces:
        draw = self._renderer.look(frame, faces)

        def remember() -> list[RenderedFace | FallbackReason]:
            answers = draw()
            self._drawn = answers[0] if isinstance(answers[0], RenderedFace) else None
            return answers

        return remember

    def release(self, track_id: int) -> None:
        self._renderer.release(track_id)

    def mask(self, width_px: int, height_px: int) -> npt.NDArray[np.bool_]:
        """(height, width), true where the last face was drawn, display px."""
        if self._drawn is None:
            raise ValueError("no face has been drawn")
        shown = cv2.warpAffine(
            self._drawn.alpha_f32,
            invert_affine(self._drawn.patch_from_display),
            (width_px, height_px),
            flags=cv2.INTER_LINEAR,
        )
        return np.asarray(shown > 0.5)


class _Overheard(FaceDecoder):
    """A decoder that remembers the last face it was told of, (12, 128, 128)."""

    def __init__(self, decoder: FaceDecoder) -> None:
        self._decoder = decoder
        self._heard: Float32Array | None = None

    def run(self, conditioning: Float32Array) -> DecoderOutput:
        self._heard = conditioning[0].copy()
        return self._decoder.run(conditioning)

    def take(self) -> Float32Array | None:
        """What was heard since the last call."""
        heard, self._heard = self._heard, None
        return heard


class _OnePerson(IdentityKeeper):
    """Gives every track the same synthetic person, without a draw."""

    def __init__(self, person: SyntheticPerson) -> None:
        self._person = person

    def person_for(self, track_id: int, frame: Frame, points_xy_px: Float32Array) -> SyntheticPerson:
        return self._person

    def release(self, track_id: int) -> None:
        return None


def _brought_down(conditioning: Float32Array, channels: tuple[int, ...], side: int) -> Float32Array:
    pictures = [
        cv2.resize(conditioning[channel], (side, side), interpolation=cv2.INTER_AREA) for channel in channels
    ]
    return np.concatenate([np.ravel(picture) for picture in pictures]).astype(np.float32)


def _hole_sizes(hole: Float32Array) -> Float32Array:
    """(3,) width, height, and width a quarter up from the chin, in px of the crop, where all eyes are as far apart."""
    rows = hole.sum(axis=1)
    (inside,) = np.nonzero(rows)
    jaw = inside[0] + round(0.75 * (len(inside) - 1))
    return np.array([rows.max(), hole.sum(axis=0).max(), rows[jaw]], dtype=np.float32)
