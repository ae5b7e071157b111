"""`evaluate`: how well the decoder does on people that training never saw."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engines.decoder import FaceDecoder
from engines.face.compose import compose
from engines.face.template import (
    CROP_POINTS_PX,
    RECOGNITION_POINTS_PX,
    RECOGNITION_SIDE_PX,
    similarity_from_points,
)
from engines.identity import IdentityEncoder
from engines.training.dataset import Shares
from engines.training.train import DEFAULT_CONFIG, TrainConfig, add_data_arguments, data_paths, held_out_batch

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """Means over samples.

    Attributes:
        samples: how many.
        cosine_to_asked: of the result's recognition code (SFace) to that of the person as asked.
        cosine_of_truth: the same of the true picture: what a perfect decoder would reach. None in cross scenes.
        cosine_to_host: of the result to the scene's own person, who was taken out. None in paired scenes.
        cosine_to_others: of the result to the persons of other scenes: what `cosine_to_host` must not exceed by much.
        l1: mean absolute difference to the true picture in the hole, 0..1. None in cross scenes.
        l1_features: the same over mouth and eyes.
        l1_warp: of the plain warp over the colour grid, without a decoder: what the network adds is the difference.
        mask: share of the outline in which the warp was kept.
    """

    samples: int
    cosine_to_asked: float
    cosine_of_truth: float | None
    cosine_to_host: float | None
    cosine_to_others: float | None
    l1: float | None
    l1_features: float | None
    l1_warp: float | None
    mask: float


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `evaluate`."""
    parser = subparsers.add_parser("evaluate", help="score a decoder on people that training never saw")
    add_data_arguments(parser)
    parser.add_argument("--decoder", type=Path, help="an .onnx file (default: the one that ships)")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file; the sheet is written beside it as .png"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    paths = data_paths(options)
    shares = TrainConfig.load(DEFAULT_CONFIG).shares
    decoder = FaceDecoder.open(options.decoder)
    encoder = IdentityEncoder.open(threads=1)
    report = {}
    pictures = []
    for name, cross, clean in (
        ("paired", 0.0, False),
        ("paired, undamaged", 0.0, True),
        ("cross", 1.0, True),
    ):
        wanted = without_damage(shares) if clean else shares
        batch = held_out_batch(paths, Shares(**{**asdict(wanted), "cross": cross}), options.samples, seed=11)
        faces, masks = render_batch(decoder, batch)
        report[name] = asdict(score(batch, faces, masks, encoder, cross=cross > 0))
        pictures.append(_strip(batch, faces))
    options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    cv2.imwrite(str(options.output.with_suffix(".png")), np.concatenate(pictures, axis=1)[..., ::-1])
    print(json.dumps(report, indent=2))
    return 0


def without_damage(shares: Shares) -> Shares:
    """The same mixture with clean scenes."""
    damage = ("exposure", "resolution", "noise", "coding", "occluder", "other_hole", "hidden_mouth")
    clean = dict.fromkeys(damage, 0.0)
    return Shares(**{**asdict(shares), **clean})


def render_batch(decoder: FaceDecoder, batch: dict[str, Float32Array]) -> tuple[Float32Array, Float32Array]:
    """Faces put into their scenes (N, 128, 128, 3) RGB in 0..1, and masks (N, 1, 128, 128)."""
    faces, masks = [], []
    for index in range(len(batch["conditioning"])):
        out = decoder.run(batch["conditioning"][index : index + 1])
        warp = np.ascontiguousarray(batch["warp"][index].transpose(1, 2, 0))
        face = compose(warp, out.fields[0], out.mask[0], out.fill[0])
        hole = batch["conditioning"][index, 6][..., None]
        faces.append(batch["target"][index].transpose(1, 2, 0) * (1 - hole) + face * hole)
        masks.append(out.mask[0])
    return np.stack(faces).astype(np.float32), np.stack(masks)


def score(
    batch: dict[str, Float32Array],
    faces: Float32Array,
    masks: Float32Array,
    encoder: IdentityEncoder,
    *,
    cross: bool,
) -> Scores:
    """Means over a batch of `held_out_batch` and its rendered faces."""
    codes = _codes(faces, encoder)
    truth = batch["target"].transpose(0, 2, 3, 1)
    of_truth = _codes(truth, encoder)
    hole, weight = batch["hole"][:, 0, ..., None], batch["weight"][:, 0, ..., None]
    outline = batch["conditioning"][:, 7:8]
    shade = outline.transpose(0, 2, 3, 1)
    grid = batch["conditioning"][:, 8:11].transpose(0, 2, 3, 1) * 0.5 + 0.5
    plain = batch["warp"].transpose(0, 2, 3, 1) * shade + grid * (1 - shade)

    def distance(made: Float32Array, where: Float32Array) -> float:
        return float((np.abs(made - truth) * where).sum() / (3 * max(float(where.sum()), 1.0)))

    return Scores(
        samples=len(faces),
        cosine_to_asked=float((codes * batch["code"]).sum(1).mean()),
        cosine_of_truth=None if cross else float((of_truth * batch["code"]).sum(1).mean()),
        cosine_to_host=float((codes * of_truth).sum(1).mean()) if cross else None,
        cosine_to_others=_mean_off_diagonal(codes @ of_truth.T) if cross else None,
        l1=None if cross else distance(faces, hole),
        l1_features=None if cross else distance(faces, hole * (weight > 1.5)),
        l1_warp=None if cross else distance(plain, hole),
        mask=float(masks.sum() / max(float(outline.sum()), 1.0)),
    )


def _mean_off_diagonal(table: Float32Array) -> float:
    count = len(table)
    return float((table.sum() - np.trace(table)) / max(count * (count - 1), 1))


def _codes(pictures: Float32Array, encoder: IdentityEncoder) -> Float32Array:
    matrix = similarity_from_points(CROP_POINTS_PX, RECOGNITION_POINTS_PX)
    side = (RECOGNITION_SIDE_PX, RECOGNITION_SIDE_PX)
    aligned = [cv2.warpAffine(picture * np.float32(255.0), matrix, side) for picture in pictures]
    return np.concatenate([encoder.encode(np.asarray(a, dtype=np.float32)[None]) for a in aligned])


def _strip(batch: dict[str, Float32Array], faces: Float32Array, rows: int = 12) -> npt.NDArray[np.uint8]:
    """Truth or host, appearance through the warp, result; one sample a row."""
    truth = batch["target"].transpose(0, 2, 3, 1)[:rows]
    warp = batch["warp"].transpose(0, 2, 3, 1)[:rows]
    picture = np.concatenate([np.concatenate(list(part)) for part in (truth, warp, faces[:rows])], axis=1)
    return np.asarray(np.clip(picture, 0, 1) * 255.0 + 0.5, dtype=np.uint8)
