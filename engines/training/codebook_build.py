"""`codebook`: builds the codebook of synthetic people, from the teacher or from a folder of licensed pictures.

The steps are subcommands: `candidates` or `pictures` fill a pool of examined portraits, `gallery` encodes real people
to be kept away from, `build` screens, balances and writes the file, with its contact sheets and its figures.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training import codebook_screens as screens
from engines.training.codebook_faces import FaceExaminer, Portrait
from engines.training.codebook_gallery import Gallery, encode_gallery
from engines.training.codebook_pool import (
    Pool,
    folder_candidates,
    load_pool,
    promising_styles,
    save_pool,
    teacher_candidates,
)
from engines.training.codebook_sheets import write_sheets

Float = NDArray[np.float32]

FORMAT_VERSION = 1
GALLERY_FAR = 1e-4
_SHARD = 20


def register(subparsers: Any) -> None:
    """Adds ``codebook`` to the command line."""
    parser = subparsers.add_parser("codebook", help="build the codebook of synthetic people")
    steps = parser.add_subparsers(dest="step", required=True)

    def step(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = steps.add_parser(name, help=text)
        added.set_defaults(run=run)
        return added

    def second(added: argparse.ArgumentParser) -> None:
        added.add_argument("--second-recogniser", type=Path, help="ONNX file of an independent recogniser")

    candidates = step("candidates", _run_candidates, "render and examine people of the teacher")
    candidates.add_argument(
        "--teacher", type=Path, required=True, help="random_face/data of the random-face wheel"
    )
    candidates.add_argument("--fitted", type=Path, required=True, help="output folder of `synthesize fit`")
    candidates.add_argument("--pool", type=Path, required=True)
    candidates.add_argument("--count", type=int, default=2500)
    candidates.add_argument("--seed", type=int, default=1)
    candidates.add_argument(
        "--truncation", type=float, nargs=2, default=(0.88, 1.08), metavar=("LOW", "HIGH")
    )
    second(candidates)
    pictures = step("pictures", _run_pictures, "examine a folder of licensed pictures instead")
    pictures.add_argument("--pictures", type=Path, required=True)
    pictures.add_argument("--pool", type=Path, required=True)
    second(pictures)
    gallery = step("gallery", _run_gallery, "encode pictures of real people that nobody may resemble")
    gallery.add_argument("--pictures", type=Path, required=True)
    gallery.add_argument("--out", type=Path, required=True)
    second(gallery)
    build = step("build", _run_build, "screen, balance and write the codebook")
    build.add_argument("--pool", type=Path, required=True)
    build.add_argument("--gallery", type=Path, help="file written by the step `gallery`")
    build.add_argument(
        "--refused", type=Path, help="text file: names of candidates thrown out by eye, one a line"
    )
    build.add_argument("--size", type=int, default=1024)
    build.add_argument(
        "--origin", default="teacher random-face 2021.7.21.1", help="where the people come from"
    )
    build.add_argument("--teacher-sha256", default="")
    build.add_argument("--sheets", type=Path, help="folder for contact sheets")
    build.add_argument("--out", type=Path, required=True)


def select(
    pool: Pool, *, size: int, gallery: Gallery | None, refused: frozenset[str]
) -> tuple[list[int], dict[str, Any]]:
    """Chooses the people of a codebook.

    Returns:
        Indices into the pool, and the figures that go into the file: pass rate of each screen, limits, balance.
    """
    passed = [i for i in range(len(pool)) if not screens.failed_screens(pool.measures[i])]
    figures: dict[str, Any] = {
        "examined": len(pool),
        "pass_rates": screens.pass_rates(pool.measures),
        "pass_rate_all": len(passed) / max(1, len(pool)),
        "screens": [
            {"name": s.name, "measure": s.measure, "low": _finite(s.low), "high": _finite(s.high)}
            for s in screens.SCREENS
        ],
    }
    seen = [i for i in passed if pool.names[i] not in refused]
    figures["refused_by_eye"] = len(passed) - len(seen)
    if gallery is not None:
        limits = gallery.limits(GALLERY_FAR)
        nearest = gallery.nearest({"first": pool.codes[seen], "second": pool.second_codes[seen]})
        double = np.zeros(len(seen), bool)
        for name, cosines in nearest.items():
            double |= cosines > limits[name]
        figures["gallery"] = {"far": GALLERY_FAR, "limits": limits, "pictures": len(gallery.people)}
        figures["gallery"]["refused"] = int(double.sum())
        seen = [i for i, is_double in zip(seen, double, strict=True) if not is_double]
    strata = np.array([_stratum(pool.measures[i]) for i in seen], np.int64)
    chosen, doubles = screens.choose(pool.codes[seen], pool.second_codes[seen], strata, size)
    limits_of_pairs = screens.PairLimits()
    figures["pairs"] = {
        "limit": limits_of_pairs.first,
        "second_limit": limits_of_pairs.second if pool.second_codes.shape[1] else None,
        "refused": doubles,
    }
    indices = [seen[i] for i in chosen]
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


def write_codebook(path: Path, pool: Pool, indices: Sequence[int], meta: Mapping[str, Any]) -> None:
    """Writes the codebook file; ``meta`` is kept in it as JSON.

    Raises:
        EngineError: nobody was chosen.
    """
    if not indices:
        raise EngineError("nobody in the pool passed every screen; examine more candidates")
    images = [pool.images[i] for i in indices]
    kinds = np.array([screens.attributes(pool.measures[i]) for i in indices], np.uint8)
    order = list(indices)
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        format_version=np.int32(FORMAT_VERSION),
        images=np.concatenate(images),
        image_offsets=np.cumsum([0] + [len(image) for image in images]).astype(np.int64),
        mesh_xyz_px=pool.meshes[order].astype(np.float16),
        codes_unit=pool.codes[order].astype(np.float16),
        styles=pool.styles[order].astype(np.float16),
        source_box_xyxy_px=pool.boxes[order].astype(np.float32),
        age_band=kinds[:, 0],
        sex_apparent=kinds[:, 1],
        skin_tone=kinds[:, 2],
        meta_json=np.array(json.dumps(meta, sort_keys=True)),
    )
    partial.replace(path)


def _stratum(measures: Mapping[str, float]) -> int:
    age, sex, tone = screens.attributes(measures)
    return (age * len(screens.SEXES) + sex) * len(screens.SKIN_TONES) + tone


def _finite(limit: float) -> float | None:
    return float(limit) if np.isfinite(limit) else None


def _run_candidates(options: argparse.Namespace) -> int:
    from engines.training.synthesize import open_fitted

    teacher, fitted = open_fitted(options.teacher, options.fitted)
    examiner = FaceExaminer(second_recogniser=options.second_recogniser)
    styles = promising_styles(
        teacher,
        fitted.mean,
        fitted.foretell,
        fitted.foretell_code,
        seed=options.seed,
        truncation=tuple(options.truncation),
    )
    found = teacher_candidates(teacher, fitted.edits, fitted.foretell, examiner, styles)
    portraits = (portrait for portrait, _ in zip(found, range(options.count), strict=False))
    _fill_pool(options.pool, f"teacher-{options.seed:04d}", ((None, portrait) for portrait in portraits))
    return 0


def _run_pictures(options: argparse.Namespace) -> int:
    examiner = FaceExaminer(second_recogniser=options.second_recogniser)
    _fill_pool(options.pool, "pictures", folder_candidates(options.pictures, examiner))
    return 0


def _fill_pool(folder: Path, stem: str, portraits: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    batch: list[tuple[str, Portrait]] = []
    total = shard = 0

    def flush() -> None:
        nonlocal shard
        save_pool(folder / f"{stem}-{shard:04d}.npz", [p for _, p in batch], [name for name, _ in batch])
        passed = sum(not screens.failed_screens(p.measures) for _, p in batch)
        print(f"{total} examined; of the last {len(batch)} {passed} pass every screen", flush=True)
        shard += 1
        batch.clear()

    for name, portrait in portraits:
        batch.append((name or f"{stem}-{total:05d}", portrait))
        total += 1
        if len(batch) == _SHARD:
            flush()
    if batch:
        flush()


def _run_gallery(options: argparse.Namespace) -> int:
    gallery = encode_gallery(options.pictures, FaceExaminer(second_recogniser=options.second_recogniser))
    gallery.save(options.out)
    print(
        f"{len(gallery.people)} pictures of {len(set(gallery.people))} people; limits {gallery.limits(GALLERY_FAR)}"
    )
    return 0


def _run_build(options: argparse.Namespace) -> int:
    pool = load_pool(options.pool)
    refused: frozenset[str] = frozenset()
    if options.refused:
        refused = frozenset(options.refused.read_text(encoding="utf-8").split())
    gallery = Gallery.load(options.gallery) if options.gallery else None
    indices, figures = select(pool, size=options.size, gallery=gallery, refused=refused)
    meta = {
        "names": {
            "age_band": screens.AGE_BANDS,
            "sex_apparent": screens.SEXES,
            "skin_tone": screens.SKIN_TONES,
        },
        "origin": options.origin,
        "teacher_sha256": options.teacher_sha256,
        "figures": figures,
    }
    write_codebook(options.out, pool, indices, meta)
    if options.sheets:
        write_sheets(
            options.sheets, "person", range(len(indices)), lambda place: pool.picture(indices[place])
        )
    print(json.dumps(figures, indent=2))
    print(f"{len(indices)} people, {options.out.stat().st_size / 1e6:.2f} MB: {options.out}")
    return 0
