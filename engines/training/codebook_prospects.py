"""Who is worth a rendering: odds, foretold from a style alone, that a person will enter the codebook.

A style costs a twentieth of a millisecond, a rendering half a second. What became of the people rendered so far tells
what will become of the next: ridge readouts of every screened measure and of the recognition codes, with the spread
of their errors on held-out people, give the odds of passing each screen and of resembling nobody who is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from engines.training import codebook_screens as screens
from engines.training.codebook_faces import Portrait
from engines.training.codebook_gallery import Gallery
from engines.training.codebook_pool import Pool
from engines.training.codebook_select import GALLERY_FAR, select
from engines.training.readout import LinearReadout, fit_readout

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]

RECOGNISERS = ("first", "second")
# Fewer people than this tell too little.
LEAST_PEOPLE = 400
_FOLDS = 4
_RIDGE = 0.5
# Screens that nearly everybody passes are not worth foretelling.
_EASY = 0.985


class Crowd:
    """The people nobody may resemble: a gallery of real ones, and those who may enter the codebook so far.

    Attributes:
        taken: by group (``gallery``, ``codebook``) and recogniser, unit codes (N, D); limits: cosines, likewise.
    """

    def __init__(self, gallery: Gallery | None, pair_limits: screens.PairLimits) -> None:
        self._gallery = gallery
        self.limits: dict[str, Mapping[str, float]] = {
            "codebook": {"first": pair_limits.first, "second": pair_limits.second}
        }
        self.taken: dict[str, dict[str, Float]] = {"codebook": {}}
        if gallery is not None:
            self.limits["gallery"] = gallery.limits(GALLERY_FAR)
            self.taken["gallery"] = dict(gallery.codes)

    def closeness(
        self, codes: Mapping[str, Float], groups: Sequence[str] | None = None
    ) -> dict[tuple[str, str], Float]:
        """Largest cosine of each row to anybody, by group and recogniser; nothing where there is nobody."""
        return {
            (group, name): np.asarray((codes[name] @ taken.T).max(1), np.float32)
            for group, kinds in self.taken.items()
            for name, taken in kinds.items()
            if (groups is None or group in groups)
            and len(taken)
            and codes.get(name) is not None
            and codes[name].shape[1]
        }

    def too_close(self, codes: Mapping[str, Float], slack: Mapping[str, float] | None = None) -> str | None:
        """The first group with somebody whom a single person (rows of one) resembles, or None.

        Args:
            slack: added to the limits, by group.
        """
        for (group, name), cosine in self.closeness(codes).items():
            if cosine[0] > self.limits[group][name] + (slack or {}).get(group, 0.0):
                return group
        return None

    def add(self, codes: Mapping[str, Float]) -> None:
        """Takes in people (rows) as those of the codebook."""
        taken = self.taken["codebook"]
        for name, rows in codes.items():
            if rows.shape[1]:
                taken[name] = np.concatenate([taken[name], rows]) if name in taken else np.array(rows)

    def fill(self, pool: Pool, refused: frozenset[str]) -> None:
        """Starts anew from a pool: those who would be chosen from it now."""
        limits = screens.PairLimits(**self.limits["codebook"])
        chosen, _ = select(
            pool,
            size=len(pool),
            gallery=self._gallery,
            refused=refused,
            limits=limits,
            gallery_limits=self.limits.get("gallery"),
        )
        self.taken["codebook"] = {}
        self.add(codes_of(pool, chosen))


def codes_of(pool: Pool, indices: Sequence[int]) -> dict[str, Float]:
    """Codes by recogniser of some people of a pool."""
    chosen = list(indices)
    return {"first": pool.codes[chosen], "second": pool.second_codes[chosen]}


def of_teacher(pool: Pool) -> Pool:
    """Those of a pool who have a style."""
    return pool.part(np.flatnonzero(pool.styles.any(1)).tolist())


def codes_of_portrait(portrait: Portrait) -> dict[str, Float]:
    """Codes by recogniser as rows of one."""
    return {"first": portrait.code_unit[None], "second": portrait.second_code_unit[None]}


@dataclass(frozen=True)
class _Foretold:
    """One measure with limits, as foretold: passes with probability Phi((limit - value) / spread)."""

    low: float
    high: float
    spread: float

    def odds(self, value: Float64) -> Float64:
        passes = norm.cdf((self.high - value) / self.spread) - norm.cdf((self.low - value) / self.spread)
        return np.asarray(passes, np.float64)


class Prospects:
    """Odds to enter the codebook, from the styles of people examined before."""

    def __init__(self, pool: Pool, crowd: Crowd) -> None:
        """Fits on a pool with at least `LEAST_PEOPLE` of the teacher's."""
        self._crowd = crowd
        pool = of_teacher(pool)
        styles = pool.styles
        folds = np.random.default_rng(0).integers(0, _FOLDS, len(pool))
        rates = screens.pass_rates(pool.measures)
        asked = [s for s in screens.SCREENS if rates[s.name] < _EASY]
        table = {s.measure: _column(pool, s.measure) for s in asked}
        table |= {name: _column(pool, name) for name in ("male", "older", "skin_lightness")}
        self._measures = fit_readout(styles, table, ridge=_RIDGE)
        held = _held_out(styles, table, folds)
        self._screens = {
            s.measure: _Foretold(s.low, s.high, float(np.std(table[s.measure] - held[s.measure])) + 1e-6)
            for s in asked
        }
        self._codes: dict[str, LinearReadout] = {}
        held_codes: dict[str, Float] = {}
        true_codes = codes_of(pool, range(len(pool)))
        for name, codes in true_codes.items():
            if codes.shape[1]:
                columns = {f"{name}{i}": codes[:, i] for i in range(codes.shape[1])}
                self._codes[name] = fit_readout(styles, columns, ridge=_RIDGE)
                held_codes[name] = _unit_rows(_held_out(styles, columns, folds))
        self._closeness = _calibrate(crowd, true_codes, held_codes)
        self._worth: LinearReadout | None = None
        if len(pool.tried) >= LEAST_PEOPLE:
            self._worth = fit_readout(
                pool.tried, {"worth": pool.tried_worth.astype(np.float32)}, ridge=_RIDGE
            )

    def attributes(self, styles: Float) -> dict[str, Float]:
        """Foretold ``male``, ``older`` and ``skin_lightness``, and the screened measures."""
        return self._measures(styles)

    def odds(self, styles: Float) -> Float64:
        """(N,) odds that each style ends in the codebook."""
        told = self._measures(styles)
        odds = np.ones(len(styles))
        if self._worth is not None:
            odds *= np.clip(self._worth(styles)["worth"], 0.02, 1.0)
        for name, foretold in self._screens.items():
            odds *= foretold.odds(told[name].astype(np.float64))
        codes = {name: _unit_rows(readout(styles)) for name, readout in self._codes.items()}
        for key, cosine in self._crowd.closeness(codes).items():
            if key in self._closeness:
                slope, offset, spread = self._closeness[key]
                limit = self._crowd.limits[key[0]][key[1]]
                odds *= norm.cdf((limit - offset - slope * cosine) / spread)
        return odds


def _calibrate(
    crowd: Crowd, true_codes: Mapping[str, Float], held_codes: Mapping[str, Float]
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """How the true closeness to a group follows from the foretold one: slope, offset, spread."""
    found: dict[tuple[str, str], tuple[float, float, float]] = {}
    for group, kinds in crowd.taken.items():
        for name, taken in kinds.items():
            if name not in held_codes or not len(taken):
                continue
            true, told = true_codes[name] @ taken.T, held_codes[name] @ taken.T
            # Nobody counts as close to themselves.
            told = np.where(true > 0.999, -1.0, told).max(1)
            true = np.where(true > 0.999, -1.0, true).max(1)
            slope, offset = np.polyfit(told, true, 1)
            spread = float(np.std(true - slope * told - offset)) + 1e-6
            found[(group, name)] = (float(slope), float(offset), spread)
    return found


def _held_out(styles: Float, table: Mapping[str, Float], folds: NDArray[np.int64]) -> dict[str, Float]:
    """Each column as foretold by a fit without the row's own fold."""
    told = {name: np.zeros(len(styles), np.float32) for name in table}
    for fold in range(_FOLDS):
        inside = folds == fold
        readout = fit_readout(
            styles[~inside], {name: column[~inside] for name, column in table.items()}, ridge=_RIDGE
        )
        for name, values in readout(styles[inside]).items():
            told[name][inside] = values
    return told


def _column(pool: Pool, name: str) -> Float:
    values = np.array([measures.get(name, np.nan) for measures in pool.measures], np.float32)
    return np.where(np.isfinite(values), values, np.nanmean(values)).astype(np.float32)


def _unit_rows(columns: Mapping[str, Float]) -> Float:
    rows = np.stack(list(columns.values()), 1)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
