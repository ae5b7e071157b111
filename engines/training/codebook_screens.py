"""Screens of the codebook: which measured portraits may enter, and which of those are chosen.

Each screen is one measure with limits, so that its pass rate can be stated. After them come two conditions on
pairs: no person of the codebook is another's double, and none is the double of a person in a gallery of real people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

AGE_BANDS = ("18 to 34", "35 to 54", "55 and over")
SEXES = ("female", "male")
SKIN_TONES = ("light", "light to medium", "medium", "dark")
# Limits of the apparent attributes, on the readouts of codebook_faces and CIE L* of the cheeks.
_OLDER_LIMITS = (1.35, 1.95)
_MALE_LIMIT = 0.43
_LIGHTNESS_LIMITS = (72.0, 64.0, 54.0)
# Largest cosines between two people of the codebook. Portraits of one pose, light and expression lie closer than the
# strangers of a gallery do; with tighter limits the teacher runs out of people well before a thousand.
PAIR_COSINE_LIMIT = 0.55
SECOND_PAIR_COSINE_LIMIT = 0.6


@dataclass(frozen=True)
class Screen:
    """A measure has to lie between two limits (both included)."""

    name: str
    measure: str
    low: float = -np.inf
    high: float = np.inf

    def passes(self, measures: Mapping[str, float]) -> bool:
        """A measure that is missing or not a number fails."""
        value = measures.get(self.measure, np.nan)
        return bool(self.low <= value <= self.high)


SCREENS: tuple[Screen, ...] = (
    Screen("found by RetinaFace", "retinaface_score", low=0.9),
    Screen("found by YuNet", "yunet_score", low=0.75),
    Screen("one face (RetinaFace)", "retinaface_second_face", high=0.0),
    Screen("one face (YuNet)", "yunet_second_face", high=0.0),
    Screen("landmark presence", "presence", low=40.0),
    Screen("frontal in yaw", "yaw", -6.0, 6.0),
    Screen("frontal in pitch", "pitch", -7.0, 7.0),
    # Full lips that touch measure up to .055: a tighter limit would keep them out.
    Screen("mouth closed", "mouth_open", high=0.055),
    Screen("not smiling", "smile", 0.38, 0.66),
    Screen("eyes open", "eye_open", 0.24, 0.38),
    Screen("eyes open (iris model)", "lids_open", low=0.26),
    Screen("adult", "child", high=0.33),
    Screen("no glasses", "bridge_edge", high=0.055),
    Screen("free forehead", "forehead_difference", high=17.0),
    Screen("no hair on the forehead", "forehead_lines", high=3.0),
    Screen("no hair on the cheeks", "cheek_lines", high=4.0),
    Screen("face not covered", "covered", high=0.55),
    Screen("light from the front", "light_side", -0.15, 0.15),
    Screen("even light", "light_uneven", high=9.0),
    Screen("sharp", "sharpness", low=0.03),
)


def failed_screens(measures: Mapping[str, float], screens: Sequence[Screen] = SCREENS) -> list[str]:
    """Names of the screens a portrait fails, in order."""
    return [screen.name for screen in screens if not screen.passes(measures)]


def pass_rates(pool: Sequence[Mapping[str, float]], screens: Sequence[Screen] = SCREENS) -> dict[str, float]:
    """Share of the pool that passes each screen by itself."""
    return {s.name: float(np.mean([s.passes(measures) for measures in pool])) for s in screens}


def attributes(measures: Mapping[str, float]) -> tuple[int, int, int]:
    """Indices of the apparent age band, sex and skin tone, for AGE_BANDS, SEXES and SKIN_TONES.

    They are what a linear readout and the picture's light say, good for balancing a set, not statements on a person.
    """
    age = int(np.searchsorted(_OLDER_LIMITS, measures["older"]))
    tone = int(np.searchsorted([-limit for limit in _LIGHTNESS_LIMITS], -measures["skin_lightness"]))
    return age, int(measures["male"] > _MALE_LIMIT), tone


def gallery_limit(codes_unit: Float, people: Sequence[str], far: float) -> float:
    """Cosine that a share ``far`` of the pairs of different people in a gallery exceeds."""
    same = np.asarray(people)
    impostors: list[NDArray[np.float32]] = []
    for index in range(len(codes_unit) - 1):
        cosines = codes_unit[index + 1 :] @ codes_unit[index]
        impostors.append(cosines[same[index + 1 :] != same[index]])
    every = np.concatenate(impostors)
    return float(np.quantile(every, 1.0 - far))


@dataclass(frozen=True)
class PairLimits:
    """Largest cosines allowed within the codebook; the second is ignored where there is no second recogniser."""

    first: float = PAIR_COSINE_LIMIT
    second: float = SECOND_PAIR_COSINE_LIMIT


def choose(
    codes: Float,
    second_codes: Float,
    strata: NDArray[np.int64],
    size: int,
    *,
    limits: PairLimits | None = None,
    among: NDArray[np.bool_] | None = None,
    start: Sequence[int] = (),
) -> list[int]:
    """Chooses up to ``size`` people, filling the thinnest stratum first, none of them the double of another.

    Args:
        codes: (N, D) unit codes; second_codes: (N, D2), or (N, 0).
        strata: (N,) stratum of each person; within one, who has the fewest doubles goes first.
        among: (N,) who may be chosen; None for everybody.
        start: who is chosen already.

    Returns:
        ``start`` and the chosen indices in order of choice.
    """
    conflict = doubles(codes, second_codes, limits or PairLimits())
    able = np.ones(len(codes), bool) if among is None else among
    degree = conflict[:, able].sum(1)
    # Who resembles few others goes first: it leaves the most people to choose from.
    queues = {
        int(stratum): sorted(
            np.flatnonzero(able & (strata == stratum)).tolist(), key=lambda i: (-degree[i], -i)
        )
        for stratum in np.unique(strata)
    }
    chosen = list(start)
    counts = {stratum: int((strata[chosen] == stratum).sum()) for stratum in queues}
    blocked = np.asarray(conflict[chosen].any(0), np.bool_)
    while len(chosen) < size and any(queues.values()):
        stratum = min((s for s in queues if queues[s]), key=lambda s: (counts[s], s))
        candidate = int(queues[stratum].pop())
        if blocked[candidate]:
            continue
        chosen.append(candidate)
        counts[stratum] += 1
        blocked |= conflict[candidate]
    return chosen


def doubles(codes: Float, second_codes: Float, limits: PairLimits) -> NDArray[np.bool_]:
    """(N, N) which pairs are too close in either recogniser; nobody is a double of themselves."""
    close = codes @ codes.T > limits.first
    if second_codes.shape[1]:
        close |= second_codes @ second_codes.T > limits.second
    np.fill_diagonal(close, False)
    return np.asarray(close, bool)
