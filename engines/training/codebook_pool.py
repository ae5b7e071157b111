"""Pool of examined portraits: how they are kept, with a tally of those that were dropped before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training.codebook_faces import Portrait
from engines.training.layout import STYLE_SIZE

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

WEBP_QUALITY = 82


@dataclass
class Record:
    """What went before the portraits of a shard.

    Attributes:
        tally: people drawn and dropped, by reason.
        tried: style of each fast picture, and whether it was worth a full one.
    """

    tally: Counter[str] = field(default_factory=Counter)
    tried: list[tuple[Float, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Pool:
    """Examined portraits, pictures as WebP bytes; names and shapes as in the codebook file.

    Attributes:
        composed: (N,) who was put together from others.
        tally: how many people were drawn and dropped before they became a portrait, by reason.
        tried: styles (M, 512) of fast pictures, and tried_worth (M,) bool, whether they were worth a full one.
    """

    images: list[NDArray[np.uint8]]
    meshes: Float
    codes: Float
    second_codes: Float
    styles: Float
    boxes: Float
    measures: list[dict[str, float]]
    names: list[str]
    composed: NDArray[np.bool_]
    tally: Counter[str]
    tried: Float
    tried_worth: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def part(self, indices: Sequence[int]) -> Pool:
        """Some of its people."""
        rows = list(indices)
        return replace(
            self,
            images=[self.images[i] for i in rows],
            meshes=self.meshes[rows],
            codes=self.codes[rows],
            second_codes=self.second_codes[rows],
            styles=self.styles[rows],
            boxes=self.boxes[rows],
            measures=[self.measures[i] for i in rows],
            names=[self.names[i] for i in rows],
            composed=self.composed[rows],
        )

    def picture(self, index: int) -> Picture:
        """RGB uint8 (256, 256, 3)."""
        stored = cv2.imdecode(self.images[index], cv2.IMREAD_COLOR)
        if stored is None:
            raise EngineError(f"the picture of candidate {self.names[index]} is damaged; examine it again")
        return np.ascontiguousarray(stored[..., ::-1], np.uint8)


def save_pool(
    path: Path, portraits: Sequence[Portrait], names: Sequence[str], record: Record | None = None
) -> None:
    """Writes a shard of the pool."""
    before = record or Record()
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
        composed=np.array([portrait.composed for portrait in portraits], np.bool_),
        tally_names=np.array(list(before.tally), dtype=np.str_),
        tally_counts=np.array(list(before.tally.values()), np.int64),
        tried=np.array([style for style, _ in before.tried], np.float16).reshape(-1, STYLE_SIZE),
        tried_worth=np.array([worth for _, worth in before.tried], np.bool_),
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
    tally: Counter[str] = Counter()
    stacks: dict[str, list[Float]] = {
        key: [] for key in ("meshes", "codes", "second_codes", "styles", "boxes")
    }
    tried: list[Float] = [np.zeros((0, STYLE_SIZE), np.float32)]
    worth: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    composed: list[NDArray[np.bool_]] = []
    for path in paths:
        with np.load(path, allow_pickle=False) as archive:
            shard = {key: archive[key] for key in archive.files}
        images += np.split(shard["images"], shard["image_offsets"][1:-1])
        keys = [str(key) for key in shard["measure_names"]]
        measures += [dict(zip(keys, row.tolist(), strict=True)) for row in shard["measures"]]
        names += [str(name) for name in shard["names"]]
        composed.append(shard.get("composed", np.zeros(len(shard["names"]), np.bool_)))
        if "tally_names" in shard:
            for reason, count in zip(shard["tally_names"], shard["tally_counts"], strict=True):
                tally[str(reason)] += int(count)
        if "tried" in shard:
            tried.append(shard["tried"].astype(np.float32))
            worth.append(shard["tried_worth"])
        for key, parts in stacks.items():
            parts.append(shard[key])
    joined = {key: np.concatenate(parts) for key, parts in stacks.items()}
    return Pool(
        images=images,
        measures=measures,
        names=names,
        composed=np.concatenate(composed),
        tally=tally,
        tried=np.concatenate(tried),
        tried_worth=np.concatenate(worth),
        **joined,
    )


def encode_webp(picture_rgb_u8: Picture) -> NDArray[np.uint8]:
    """WebP bytes of a codebook picture."""
    encoded = cv2.imencode(".webp", picture_rgb_u8[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1]
    return np.asarray(encoded, np.uint8).ravel()
