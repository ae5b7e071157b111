"""`codebook`: builds the codebook of synthetic people, from the teacher or from a folder of licensed pictures.

The steps are subcommands: `candidates` or `pictures` fill a pool of examined portraits, `gallery` encodes real people
to be kept away from, `build` screens, balances and writes the file, with its contact sheets and its figures, `styles`
writes beside it how its people can be rendered larger.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training import codebook_screens as screens
from engines.training import codebook_styles
from engines.training.codebook_candidates import folder_candidates, promising_styles, teacher_candidates
from engines.training.codebook_compose import Parents, composed_candidates, parents_of
from engines.training.codebook_faces import FaceExaminer, Portrait
from engines.training.codebook_gallery import Gallery, encode_gallery
from engines.training.codebook_pool import Pool, Record, load_pool, save_pool
from engines.training.codebook_prospects import LEAST_PEOPLE, Crowd, Prospects, codes_of_portrait, of_teacher
from engines.training.codebook_select import GALLERY_FAR, select
from engines.training.codebook_sheets import write_sheets

Float = NDArray[np.float32]

FORMAT_VERSION = 1
_SHARD = 20
# Who is worth a rendering is learned anew after so many examined.
_ROUND = 300


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

    def selecting(added: argparse.ArgumentParser) -> None:
        added.add_argument("--gallery", type=Path, help="file written by the step `gallery`")
        added.add_argument(
            "--refused", type=Path, help="text file: names of candidates thrown out by eye, one a line"
        )
        added.add_argument(
            "--pair-limits",
            type=float,
            nargs=2,
            metavar=("FIRST", "SECOND"),
            default=(screens.PAIR_COSINE_LIMIT, screens.SECOND_PAIR_COSINE_LIMIT),
            help="largest cosines between two people, in either recogniser",
        )

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
    selecting(candidates)
    second(candidates)
    compose = step("compose", _run_compose, "put together new people from parts of those in the pool")
    compose.add_argument("--pool", type=Path, required=True)
    compose.add_argument("--count", type=int, default=1500)
    compose.add_argument("--seed", type=int, default=1)
    selecting(compose)
    second(compose)
    pictures = step("pictures", _run_pictures, "examine a folder of licensed pictures instead")
    pictures.add_argument("--pictures", type=Path, required=True)
    pictures.add_argument("--pool", type=Path, required=True)
    second(pictures)
    gallery = step("gallery", _run_gallery, "encode pictures of real people that nobody may resemble")
    gallery.add_argument("--pictures", type=Path, required=True)
    gallery.add_argument("--out", type=Path, required=True)
    second(gallery)
    codebook_styles.add_arguments(
        step("styles", codebook_styles.run, "find out how the people of a codebook were made")
    )
    build = step("build", _run_build, "screen, balance and write the codebook")
    build.add_argument("--pool", type=Path, required=True)
    selecting(build)
    build.add_argument("--size", type=int, default=1024)
    build.add_argument(
        "--origin", default="teacher random-face 2021.7.21.1", help="where the people come from"
    )
    build.add_argument("--teacher-sha256", default="")
    build.add_argument("--sheets", type=Path, help="folder for contact sheets")
    build.add_argument("--out", type=Path, required=True)


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
        composed=pool.composed[order].astype(np.uint8),
        meta_json=np.array(json.dumps(meta, sort_keys=True)),
    )
    partial.replace(path)


def _run_candidates(options: argparse.Namespace) -> int:
    from engines.training.synthesize import open_fitted

    teacher, fitted = open_fitted(options.teacher, options.fitted)
    examiner = FaceExaminer(second_recogniser=options.second_recogniser)
    gallery = Gallery.load(options.gallery) if options.gallery else None
    crowd = Crowd(gallery, screens.PairLimits(*options.pair_limits))
    options.pool.mkdir(parents=True, exist_ok=True)
    for done in range(0, options.count, _ROUND):
        prospects = None
        if any(options.pool.glob("*.npz")):
            pool = load_pool(options.pool)
            crowd.fill(pool, _read_refused(options.refused))
            prospects = Prospects(pool, crowd) if len(of_teacher(pool)) >= LEAST_PEOPLE else None
        record = Record()
        seed = options.seed + done // _ROUND
        styles = promising_styles(
            teacher,
            fitted.mean,
            fitted.edits,
            fitted.foretell,
            prospects,
            seed=seed,
            truncation=tuple(options.truncation),
            record=record,
        )
        found = teacher_candidates(teacher, fitted.edits, examiner, styles, crowd, record)
        portraits = (
            portrait for portrait, _ in zip(found, range(min(_ROUND, options.count - done)), strict=False)
        )
        _fill_pool(options.pool, f"teacher-{seed:05d}", _joining(portraits, crowd), record)
    return 0


def _run_compose(options: argparse.Namespace) -> int:
    examiner = FaceExaminer(second_recogniser=options.second_recogniser)
    gallery = Gallery.load(options.gallery) if options.gallery else None
    refused = _read_refused(options.refused)
    pool = load_pool(options.pool)
    crowd = Crowd(gallery, screens.PairLimits(*options.pair_limits))
    crowd.fill(pool, refused)
    parents = Parents(pool, parents_of(pool, refused))
    record = Record()
    found = composed_candidates(parents, examiner, crowd, record, seed=options.seed)
    portraits = (portrait for portrait, _ in zip(found, range(options.count), strict=False))
    _fill_pool(options.pool, f"composed-{options.seed:05d}", _joining(portraits, crowd), record)
    return 0


def _joining(portraits: Iterator[Portrait], crowd: Crowd) -> Iterator[tuple[None, Portrait]]:
    """The portraits as they come; who may enter the codebook is taken into the crowd."""
    for portrait in portraits:
        codes = codes_of_portrait(portrait)
        if not screens.failed_screens(portrait.measures) and crowd.too_close(codes) is None:
            crowd.add(codes)
        yield None, portrait


def _run_pictures(options: argparse.Namespace) -> int:
    examiner = FaceExaminer(second_recogniser=options.second_recogniser)
    _fill_pool(options.pool, "pictures", folder_candidates(options.pictures, examiner), Record())
    return 0


def _fill_pool(
    folder: Path, stem: str, portraits: Iterable[tuple[str | None, Portrait]], record: Record
) -> None:
    """Examines and keeps portraits in shards, each with what was tallied since the last."""
    folder.mkdir(parents=True, exist_ok=True)
    batch: list[tuple[str, Portrait]] = []
    total = shard = 0

    def flush() -> None:
        nonlocal shard
        path = folder / f"{stem}-{shard:04d}.npz"
        save_pool(path, [p for _, p in batch], [name for name, _ in batch], record)
        passed = sum(not screens.failed_screens(p.measures) for _, p in batch)
        print(f"{stem}: {total} examined; of the last {len(batch)} {passed} pass every screen", flush=True)
        shard += 1
        record.tally.clear()
        record.tried.clear()
        batch.clear()

    for name, portrait in portraits:
        batch.append((name or f"{stem}-{total:05d}", portrait))
        total += 1
        if len(batch) == _SHARD:
            flush()
    if batch:
        flush()


def _read_refused(path: Path | None) -> frozenset[str]:
    return frozenset(path.read_text(encoding="utf-8").split()) if path else frozenset()


def _run_gallery(options: argparse.Namespace) -> int:
    gallery = encode_gallery(options.pictures, FaceExaminer(second_recogniser=options.second_recogniser))
    gallery.save(options.out)
    print(
        f"{len(gallery.people)} pictures of {len(set(gallery.people))} people; limits {gallery.limits(GALLERY_FAR)}"
    )
    return 0


def _run_build(options: argparse.Namespace) -> int:
    pool = load_pool(options.pool)
    gallery = Gallery.load(options.gallery) if options.gallery else None
    indices, figures = select(
        pool,
        size=options.size,
        gallery=gallery,
        refused=_read_refused(options.refused),
        limits=screens.PairLimits(*options.pair_limits),
    )
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
