"""The kinds of pictures that are attacked: originals, ours at each epsilon, and plain coverings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calibration.assign import IdentityAssigner
from calibration.exact import MAX_EPSILON
from calibration.hide import KeyedRotation
from calibration.mechanisms import CodebookMechanism, Mechanism, UniformMechanism
from streamer.audit.pictures import Covered, FoundFace, cover
from streamer.errors import VeilstreamError
from streamer.frame import UInt8Array
from streamer.identity import IdentityKeeper
from streamer.render.compositor import Compositor
from streamer.settings import ReplaceWith
from streamer.toolkit import SyntheticTools, Toolkit

ORIGINAL = "original"
PLAIN_COVERINGS = (ReplaceWith.BLUR, ReplaceWith.PIXELATE, ReplaceWith.SOLID)

Maker = Callable[[UInt8Array, FoundFace], Covered]


@dataclass(frozen=True)
class Row:
    """One kind of picture.

    Attributes:
        name: as in the table.
        make: covers the face of a picture.
        copies: coverings of each gallery picture; 1 where each would be the same.
        epsilon: None for rows that are not ours.
        draws: coverings of each probe; as `copies`.
    """

    name: str
    make: Maker
    copies: int
    epsilon: float | None = None
    draws: int = 1


def synthetic_row(tools: SyntheticTools, epsilon: float, copies: int, draws: int = 1) -> Row:
    """Ours at an epsilon: 0 draws without looking at the face, infinity takes the nearest person."""
    # At the largest epsilon there is, anybody but the nearest person is drawn less than once in 10^24 draws.
    value = str(min(epsilon, MAX_EPSILON))
    mechanism = UniformMechanism() if epsilon == 0 else CodebookMechanism(value)
    # The nearest person is the same each time.
    if math.isinf(epsilon):
        copies = draws = 1
    return mechanism_row(f"epsilon {epsilon:g}", tools, mechanism, copies, epsilon, draws)


def mechanism_row(
    name: str,
    tools: SyntheticTools,
    mechanism: Mechanism | KeyedRotation,
    copies: int = 1,
    epsilon: float | None = None,
    draws: int = 1,
) -> Row:
    """Ours with a mechanism, each picture a track of its own."""
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

    return Row(name, make, copies, epsilon, draws)


def plain_row(replace_with: ReplaceWith) -> Row:
    """Blur, pixelate or solid, which are the same each time."""
    compositor = Compositor(None, replace_with)
    return Row(replace_with.value, lambda picture, face: cover(compositor, picture, face, 1), 1)


def original_row() -> Row:
    """The pictures as they are: what the recognisers can do at all."""
    return Row(ORIGINAL, lambda picture, _face: Covered(picture, synthetic=False), 1)


def rows_for(toolkit: Toolkit, epsilons: Sequence[float], copies: int, draws: int = 1) -> list[Row]:
    """Every row that must be shown, and one for each epsilon; 0 is always among them."""
    tools = toolkit.synthetic
    if tools is None:
        raise VeilstreamError("re-identification is measured on synthetic replacement")
    ours = [synthetic_row(tools, value, copies, draws) for value in sorted({0.0, *epsilons})]
    return [original_row(), *ours, *(plain_row(kind) for kind in PLAIN_COVERINGS)]
