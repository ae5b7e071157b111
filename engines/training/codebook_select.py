"""Who of a pool enters the codebook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engines.training import codebook_screens as screens
from engines.training.codebook_gallery import Gallery
from engines.training.codebook_pool import Pool

GALLERY_FAR = 1e-4


def select(
    pool: Pool,
    *,
    size: int,
    gallery: Gallery | None,
    refused: frozenset[str],
    limits: screens.PairLimits | None = None,
    gallery_limits: Mapping[str, float] | None = None,
) -> tuple[list[int], dict[str, Any]]:
    """Chooses the people of a codebook: first those who were rendered or photographed, then composed ones.

    Args:
        gallery_limits: of ``gallery`` at `GALLERY_FAR`, where they were worked out before.

    Returns:
        Indices into the pool, and the figures that go into the file: pass rate of each screen, limits, balance.
    """
    limits = limits or screens.PairLimits()
    passed = [i for i in range(len(pool)) if not screens.failed_screens(pool.measures[i])]
    figures: dict[str, Any] = {
        "dropped_before": dict(pool.tally.most_common()),
        "screens": [
            {"name": s.name, "measure": s.measure, "low": _finite(s.low), "high": _finite(s.high)}
            for s in screens.SCREENS
        ],
    }
    seen = [i for i in passed if pool.names[i] not in refused]
    kept = seen
    if gallery is not None:
        far_limits = gallery_limits or gallery.limits(GALLERY_FAR)
        nearest = gallery.nearest({"first": pool.codes[seen], "second": pool.second_codes[seen]})
        double = np.zeros(len(seen), bool)
        for name, cosines in nearest.items():
            double |= cosines > far_limits[name]
        figures["gallery"] = {"far": GALLERY_FAR, "limits": dict(far_limits), "pictures": len(gallery.people)}
        kept = [i for i, is_double in zip(seen, double, strict=True) if not is_double]
    strata = np.array([stratum(pool.measures[i]) for i in kept], np.int64)
    composed = pool.composed[kept]
    chosen: list[int] = []
    for among in (~composed, composed):
        chosen = screens.choose(
            pool.codes[kept],
            pool.second_codes[kept],
            strata,
            size,
            limits=limits,
            among=among,
            start=chosen,
        )
    indices = [kept[i] for i in chosen]
    figures["pairs"] = {
        "limit": limits.first,
        "second_limit": limits.second if pool.second_codes.shape[1] else None,
    }
    stages = {"examined": range(len(pool)), "passed": passed, "not thrown out by eye": seen}
    stages |= {"unlike the gallery": kept, "chosen": indices}
    for kind, is_kind in (("rendered", ~pool.composed), ("composed", pool.composed)):
        counts = {stage: int(is_kind[list(rows)].sum()) for stage, rows in stages.items()}
        if counts["examined"]:
            rates = screens.pass_rates([pool.measures[i] for i in np.flatnonzero(is_kind)])
            figures[kind] = {"counts": counts, "pass_rates": rates}
    figures["balance"] = balance([pool.measures[i] for i in indices])
    return indices, figures


def balance(people: Sequence[Mapping[str, float]]) -> dict[str, dict[str, int]]:
    """How many people fall into each class of each apparent attribute."""
    tables: dict[str, dict[str, int]] = {}
    classes = {"age_band": screens.AGE_BANDS, "sex_apparent": screens.SEXES, "skin_tone": screens.SKIN_TONES}
    for position, (name, names) in enumerate(classes.items()):
        counts = Counter(screens.attributes(measures)[position] for measures in people)
        tables[name] = {label: counts[index] for index, label in enumerate(names)}
    return tables


def stratum(measures: Mapping[str, float]) -> int:
    """One number for age band, sex and skin tone."""
    age, sex, tone = screens.attributes(measures)
    return (age * len(screens.SEXES) + sex) * len(screens.SKIN_TONES) + tone


def _finite(limit: float) -> float | None:
    return float(limit) if np.isfinite(limit) else None
