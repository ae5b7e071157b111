"""Pool of examined portraits: where they come from (the teacher, or a folder of pictures) and how they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training.codebook_faces import FaceExaminer, Portrait, pixel_measures
from engines.training.edits import EditSpace, FaceReading, read_face
from engines.training.layout import LAYERS, STYLE_SIZE
from engines.training.readout import LinearReadout
from engines.training.synthesize import NEUTRAL

if TYPE_CHECKING:
    from engines.training.teacher import Teacher

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

WEBP_QUALITY = 82
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
# Foretold values that are worth a rendering; the screens decide on measured ones.
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
_BATCH = 480
_SHORT_LIST = 6


@dataclass(frozen=True)
class Pool:
    """Examined portraits, pictures as WebP bytes; names and shapes as in the codebook file."""

    images: list[NDArray[np.uint8]]
    meshes: Float
    codes: Float
    second_codes: Float
    styles: Float
    boxes: Float
    measures: list[dict[str, float]]
    names: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int) -> Picture:
        """RGB uint8 (256, 256, 3)."""
        stored = cv2.imdecode(self.images[index], cv2.IMREAD_COLOR)
        if stored is None:
            raise EngineError(f"the picture of candidate {self.names[index]} is damaged; examine it again")
        return np.ascontiguousarray(stored[..., ::-1], np.uint8)


def save_pool(path: Path, portraits: Sequence[Portrait], names: Sequence[str]) -> None:
    """Writes a shard of the pool."""
    images = [encode_webp(portrait.picture_rgb_u8) for portrait in portraits]
    keys = sorted({key for portrait in portraits for key in portrait.measures})
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        images=np.concatenate(images),
        image_offsets=np.cumsum([0] + [len(image) for image in images]).astype(np.int64),
        meshes=np.array([portrait.mesh_xyz_px for portrait in portraits], np.float32),
        codes=np.array([portrait.code_unit for portrait in portraits], np.float32),
        second_codes=np.array([portrait.second_code_unit for portrait in portraits], np.float32),
        styles=np.array([portrait.style for portrait in portraits], np.float32),
        boxes=np.array([portrait.source_box_xyxy_px for portrait in portraits], np.float32),
        measure_names=np.array(keys),
        measures=np.array([[p.measures.get(key, np.nan) for key in keys] for p in portraits], np.float64),
        names=np.array(list(names)),
    )
    partial.replace(path)


def load_pool(folder: Path) -> Pool:
    """All shards of a folder, in name order."""
    paths = sorted(path for path in folder.glob("*.npz") if not path.name.endswith(".partial.npz"))
    if not paths:
        raise EngineError(
            f"no candidates in {folder}: run `codebook candidates` or `codebook pictures` first"
        )
    images: list[NDArray[np.uint8]] = []
    measures: list[dict[str, float]] = []
    names: list[str] = []
    stacks: dict[str, list[Float]] = {
        key: [] for key in ("meshes", "codes", "second_codes", "styles", "boxes")
    }
    for path in paths:
        with np.load(path, allow_pickle=False) as archive:
            shard = {key: archive[key] for key in archive.files}
        images += np.split(shard["images"], shard["image_offsets"][1:-1])
        keys = [str(key) for key in shard["measure_names"]]
        measures += [dict(zip(keys, row.tolist(), strict=True)) for row in shard["measures"]]
        names += [str(name) for name in shard["names"]]
        for key, parts in stacks.items():
            parts.append(shard[key])
    joined = {key: np.concatenate(parts) for key, parts in stacks.items()}
    return Pool(images=images, measures=measures, names=names, **joined)


def encode_webp(picture_rgb_u8: Picture) -> NDArray[np.uint8]:
    """WebP bytes of a codebook picture."""
    encoded = cv2.imencode(".webp", picture_rgb_u8[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1]
    return np.asarray(encoded, np.uint8).ravel()


def promising_styles(
    teacher: Teacher,
    mean: Float,
    foretell: LinearReadout,
    foretell_code: LinearReadout,
    *,
    seed: int,
    truncation: tuple[float, float],
) -> Iterator[Float]:
    """Styles whose foretold measures are promising, spread over sex, age, skin tone and identity.

    A style costs a fifth of a millisecond and a rendering a tenth of a second and more, so the spread is made here:
    each draw asks for a random sex, age and lightness, takes the few nearest of a batch, and of those the one whose
    foretold recognition code lies farthest from all before it.
    """
    random = np.random.default_rng(seed)
    before = np.zeros((0, len(foretell_code.names)), np.float32)
    while True:
        batch = teacher.style(random.standard_normal((_BATCH, STYLE_SIZE), np.float32))
        factors = random.uniform(*truncation, size=(len(batch), 1)).astype(np.float32)
        batch = mean + factors * (batch - mean)
        told = foretell(batch)
        fits = np.ones(len(batch), bool)
        for name, (low, high) in _PROMISING.items():
            fits &= (told[name] >= low) & (told[name] <= high)
        if not fits.any():
            continue
        wanted = {"male": random.uniform(0, 0.9), "older": random.uniform(0.8, 2.3)}
        wanted["skin_lightness"] = random.uniform(42, 80)
        units = {"male": 0.15, "older": 0.35, "skin_lightness": 5.0}
        far = sum(((told[name] - value) / units[name]) ** 2 for name, value in wanted.items())
        nearest = np.argsort(np.where(fits, far, np.inf))[: min(_SHORT_LIST, int(fits.sum()))]
        codes = np.stack(list(foretell_code(batch[nearest]).values()), 1)
        codes /= np.linalg.norm(codes, axis=1, keepdims=True)
        closest = (codes @ before.T).max(1) if len(before) else np.zeros(len(codes), np.float32)
        pick = int(np.argmin(closest))
        before = np.concatenate([before, codes[pick : pick + 1]])
        yield batch[nearest[pick]]


def teacher_candidates(
    teacher: Teacher,
    space: EditSpace,
    foretell: LinearReadout,
    examiner: FaceExaminer,
    styles: Iterator[Float],
) -> Iterator[Portrait]:
    """Portraits of people brought to a neutral frontal face; those far off already in the fast picture are dropped.

    The first step towards the neutral face is foretold, the second measured, so that two renderings are enough.
    """
    for style in styles:
        told = foretell(style)
        style = space.apply(
            style, {name: value - float(told[name][0]) for name, value in NEUTRAL.items()}, layers=LAYERS
        )
        picture = teacher.render_fast(style)
        reading = read_face(picture, examiner.mesh_model)
        if not _is_promising(picture, reading, examiner):
            continue
        style = space.apply(
            style, {name: value - reading[name] for name, value in NEUTRAL.items()}, layers=LAYERS
        )
        full = teacher.render_full(style)
        seen = reading.mesh_xyz_px[:, :2] * (full.shape[0] / picture.shape[0])
        box = np.concatenate([seen.min(0), seen.max(0)])
        portrait = examiner.examine(full, read_face(full, examiner.mesh_model, box_xyxy_px=box))
        yield replace(portrait, style=style)


def _is_promising(picture: Picture, reading: FaceReading, examiner: FaceExaminer) -> bool:
    """Whether the fast picture is worth a full one: what an edit will not change, with room for measuring errors."""
    if reading.presence < 30.0 or abs(reading["yaw"]) > 20.0 or abs(reading["pitch"]) > 15.0:
        return False
    pixels = pixel_measures(picture, reading.mesh_xyz_px)
    if pixels["bridge_edge"] > 0.06 or pixels["forehead_difference"] > 17.5 or pixels["light_uneven"] > 12.0:
        return False
    apparent = examiner.attributes(examiner.encode(picture, reading.mesh_xyz_px)[0])
    return apparent["child"] < 0.36 and apparent["covered"] < 0.58


def folder_candidates(folder: Path, examiner: FaceExaminer) -> Iterator[tuple[str, Portrait]]:
    """Portraits of the largest face of each picture of a folder; pictures without a face are passed over."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)
    if not paths:
        raise EngineError(f"no pictures ({', '.join(_PICTURES)}) in {folder}")
    for path in paths:
        stored = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if stored is None:
            continue
        picture = np.ascontiguousarray(stored[..., ::-1], np.uint8)
        face = examiner.find(picture)
        if face is None:
            continue
        reading = read_face(picture, examiner.mesh_model, box_xyxy_px=face.box_xyxy_px)
        yield path.stem, examiner.examine(picture, reading)
