"""Where the portraits of a pool come from: the teacher, or a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training.codebook_faces import FaceExaminer, Portrait, pixel_measures
from engines.training.codebook_gallery import readings_of
from engines.training.codebook_pool import Record
from engines.training.codebook_prospects import Crowd, Prospects
from engines.training.edits import STEERED, EditSpace, FaceReading, read_face
from engines.training.layout import STYLE_SIZE
from engines.training.readout import LinearReadout

if TYPE_CHECKING:
    from engines.training.teacher import Teacher

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
# Who lies within is left alone: the width of a calm mouth and of open eyes is a trait of the person.
CALM: Mapping[str, tuple[float, float]] = {
    "yaw": (-2.5, 2.5),
    "pitch": (-3.0, 3.0),
    "mouth_open": (0.0, 0.025),
    "smile": (0.46, 0.6),
    "eye_open": (0.28, 0.34),
    "light_side": (-0.05, 0.05),
}
# Foretold values of a random style that are worth steering.
_PROMISING: Mapping[str, tuple[float, float]] = {
    "yaw": (-14.0, 14.0),
    "pitch": (-8.0, 8.0),
    "presence": (38.0, np.inf),
    "child": (-np.inf, 0.2),
    "covered": (-np.inf, 0.34),
    "bridge_edge": (-np.inf, float(np.log(0.055))),
    "forehead_difference": (-np.inf, 15.5),
    "light_side": (-0.25, 0.25),
    "light_uneven": (-np.inf, 12.0),
}
_BATCH = 3840
_SHORT_LIST = 24
# The codes of the fast picture differ from those of the final one, which lies closer to the other final ones:
# what is so near in the fast one rarely ends below the limit.
_FAST_SLACK: Mapping[str, float] = {"codebook": -0.03, "gallery": 0.02}


def promising_styles(
    teacher: Teacher,
    mean: Float,
    space: EditSpace,
    foretell: LinearReadout,
    prospects: Prospects | None,
    *,
    seed: int,
    truncation: tuple[float, float],
    record: Record,
) -> Iterator[Float]:
    """Styles steered towards a calm frontal face, with the best odds to enter the codebook, spread over its classes.

    Each draw asks for a random sex, age and lightness, takes the few nearest of a batch, and of those the one with
    the best odds, resemblance to nobody before among them. Without ``prospects`` the odds are even.
    """
    random = np.random.default_rng(seed)
    units = {"male": 0.15, "older": 0.35, "skin_lightness": 5.0}
    while True:
        batch = teacher.style(random.standard_normal((_BATCH, STYLE_SIZE), np.float32))
        factors = random.uniform(*truncation, size=(len(batch), 1)).astype(np.float32)
        batch = mean + factors * (batch - mean)
        told = foretell(batch)
        fits = np.ones(len(batch), bool)
        for name, (low, high) in _PROMISING.items():
            fits &= (told[name] >= low) & (told[name] <= high)
        record.tally["drawn"] += len(batch)
        told = {name: values[fits] for name, values in told.items()}
        batch = _calmed(batch[fits], told, space)
        apparent = told if prospects is None else prospects.attributes(batch)
        odds = np.ones(len(batch)) if prospects is None else prospects.odds(batch)
        for _ in range(len(batch) // _SHORT_LIST):
            wanted = {"male": random.uniform(0, 0.9), "older": random.uniform(0.8, 2.5)}
            wanted["skin_lightness"] = random.uniform(40, 80)
            far = sum(((apparent[name] - value) / units[name]) ** 2 for name, value in wanted.items())
            nearest = np.argsort(np.where(odds < 0, np.inf, far))[:_SHORT_LIST]
            best = nearest[int(np.argmax(odds[nearest]))]
            odds[best] = -1.0  # taken
            yield batch[best]


def teacher_candidates(
    teacher: Teacher,
    space: EditSpace,
    examiner: FaceExaminer,
    styles: Iterator[Float],
    crowd: Crowd,
    record: Record,
) -> Iterator[Portrait]:
    """Portraits of people brought to a calm frontal face; who is unfit already in the fast picture is dropped.

    The first step towards the calm face is foretold (`promising_styles`), the second measured, so that two renderings
    are enough. Everybody dropped is counted in the record under the reason.
    """
    for style in styles:
        picture = teacher.render_fast(style)
        reading = read_face(picture, examiner.mesh_model)
        reason = _why_hopeless(picture, reading, examiner, crowd)
        record.tried.append((style, reason is None))
        if reason is not None:
            record.tally[f"fast picture: {reason}"] += 1
            continue
        measured = {name: np.array([reading[name]], np.float32) for name in CALM}
        style = _calmed(style[None], measured, space)[0]
        full = teacher.render_full(style)
        seen = reading.mesh_xyz_px[:, :2] * (full.shape[0] / picture.shape[0])
        box = np.concatenate([seen.min(0), seen.max(0)])
        portrait = examiner.examine(full, read_face(full, examiner.mesh_model, box_xyxy_px=box))
        yield replace(portrait, style=style)


def _calmed(styles: Float, told: Mapping[str, Float], space: EditSpace) -> Float:
    """Styles (N, 512) moved so that what was told of them comes to the nearest calm value."""
    moved = np.array(styles, np.float32)
    for name, (low, high) in CALM.items():
        change = np.clip(told[name], low, high) - told[name]
        moved += change[:, None].astype(np.float32) * space.steps[STEERED.index(name)]
    return moved


def _why_hopeless(picture: Picture, reading: FaceReading, examiner: FaceExaminer, crowd: Crowd) -> str | None:
    """Why the fast picture is not worth a full one: what an edit will not change, with room for measuring errors."""
    if reading.presence < 30.0:
        return "landmark presence"
    if abs(reading["yaw"]) > 20.0 or abs(reading["pitch"]) > 15.0:
        return "pose"
    pixels = pixel_measures(picture, reading.mesh_xyz_px)
    for name, most in (("bridge_edge", 0.06), ("forehead_difference", 17.5), ("light_uneven", 12.0)):
        if pixels[name] > most:
            return name
    code, second = examiner.encode(picture, reading.mesh_xyz_px)
    apparent = examiner.attributes(code)
    for name, most in (("child", 0.36), ("covered", 0.58)):
        if apparent[name] > most:
            return name
    resembled = crowd.too_close({"first": code[None], "second": second[None]}, _FAST_SLACK)
    return None if resembled is None else f"like somebody of the {resembled}"


def folder_candidates(folder: Path, examiner: FaceExaminer) -> Iterator[tuple[str, Portrait]]:
    """Portraits of the largest face of each picture of a folder; pictures without a face are passed over."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)
    if not paths:
        raise EngineError(f"no pictures ({', '.join(_PICTURES)}) in {folder}")
    for path, picture, reading in readings_of(paths, examiner):
        yield path.stem, examiner.examine(picture, reading)
