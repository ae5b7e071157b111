"""`groups`: does the decoder treat people of all skin tones and ages alike?

People of a codebook, whose tone and age band are known, are put into scenes of people that training never saw, every
person into several scenes of light and of dark skin. Means per group; a decoder that is fair has equal rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibration.codebook import Codebook
from engines.decoder import FaceDecoder
from engines.identity import IdentityEncoder
from engines.training.dataset import SampleMaker, Shares, stacked
from engines.training.evaluate import Scores, render_batch, score, without_damage
from engines.training.pictures import Face, Person
from engines.training.train import DEFAULT_CONFIG, TrainConfig, add_data_arguments, data_paths
from engines.zoo.registry import entry, model_path

Float32Array = npt.NDArray[np.float32]

# Brightness (0..1, the grid's mean over the face) that parts scenes of dark from scenes of light skin.
DARK_SCENE_BELOW, LIGHT_SCENE_ABOVE = 0.38, 0.55


@dataclass(frozen=True)
class GroupScores:
    """A group's name and size, its scores, and how far its faces' colours are from the grid's (0..1)."""

    group: str
    scores: Scores
    colour_error: float


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `groups`."""
    parser = subparsers.add_parser("groups", help="score a decoder by skin tone and age")
    add_data_arguments(parser)
    parser.add_argument("--decoder", type=Path, help="an .onnx file (default: the one that ships)")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    codebook = Codebook.load(model_path("codebook-v1"), expected_sha256=entry("codebook-v1").sha256)
    encoder, rng = IdentityEncoder.open(threads=1), np.random.default_rng(17)
    people = data_paths(options).people()
    shares = without_damage(TrainConfig.load(DEFAULT_CONFIG).shares)
    maker = SampleMaker(people, encoder, rng, Shares(**asdict(shares)), held_out=True)
    hosts = [person for group in people.split(held_out=True) for person in group]
    chosen = rng.permutation(codebook.size)[: options.samples]
    samples = [maker.put(_person_of(codebook, int(i)), hosts[rng.integers(len(hosts))]) for i in chosen]
    rows = group_scores(
        stacked(samples),
        FaceDecoder.open(options.decoder),
        encoder,
        {**_attribute_groups(codebook, chosen), **_scene_groups(stacked(samples))},
    )
    options.output.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    print("| group | faces | asked | host | others | colour error |\n|---|---|---|---|---|---|")
    for row in rows:
        made = row.scores
        print(
            f"| {row.group} | {made.samples} | {made.cosine_to_asked:.3f} | {made.cosine_to_host or 0:.3f} "
            f"| {made.cosine_to_others or 0:.3f} | {row.colour_error:.3f} |"
        )
    return 0


def group_scores(
    batch: dict[str, Float32Array],
    decoder: FaceDecoder,
    encoder: IdentityEncoder,
    groups: dict[str, npt.NDArray[np.bool_]],
) -> list[GroupScores]:
    """Scores of each group of cross samples that has two at least.

    Args:
        groups: by name, (N,) True for the samples that belong to it.
    """
    faces, masks = render_batch(decoder, batch)
    rows = []
    for name, members in groups.items():
        if np.count_nonzero(members) < 2:
            continue
        part = {key: value[members] for key, value in batch.items()}
        scores = score(part, faces[members], masks[members], encoder, cross=True)
        rows.append(GroupScores(name, scores, _colour_error(part, faces[members])))
    return rows


def _colour_error(batch: dict[str, Float32Array], faces: Float32Array) -> float:
    """Mean distance of the faces' mean colours within the outline from those of the grid."""
    outline = batch["conditioning"][:, 7, ..., None]
    grid = batch["conditioning"][:, 8:11].transpose(0, 2, 3, 1) * 0.5 + 0.5
    area = np.maximum(outline.sum(axis=(1, 2)), 1.0)
    away = ((faces - grid) * outline).sum(axis=(1, 2)) / area
    return float(np.abs(away).mean())


def _person_of(codebook: Codebook, index: int) -> Person:
    person = codebook.person(index)
    picture = np.ascontiguousarray(person.appearance_rgb_u8[..., ::-1])
    encoded = np.asarray(cv2.imencode(".png", picture)[1], dtype=np.uint8).ravel()
    face = Face(encoded, person.mesh_xyz_px.astype(np.float32), frontal=True)
    return Person([face], held_out=True, neutral_known=True)


def _attribute_groups(
    codebook: Codebook, chosen: npt.NDArray[np.integer]
) -> dict[str, npt.NDArray[np.bool_]]:
    groups: dict[str, npt.NDArray[np.bool_]] = {"all": np.ones(len(chosen), dtype=np.bool_)}
    for name, values in codebook.attributes.items():
        described = _names(codebook, name)
        for value in np.unique(values):
            groups[f"{name}: {described(int(value))}"] = values[chosen] == value
    return groups


def _names(codebook: Codebook, attribute: str) -> Callable[[int], str]:
    """What the codebook calls the values of an attribute."""
    names: Sequence[str] = codebook.meta.get("names", {}).get(attribute, [])
    return lambda value: str(names[value]) if value < len(names) else str(value)


def _scene_groups(batch: dict[str, Float32Array]) -> dict[str, npt.NDArray[np.bool_]]:
    outline = batch["conditioning"][:, 7]
    grey = batch["conditioning"][:, 8:11].mean(axis=1) * 0.5 + 0.5
    light = (grey * outline).sum(axis=(1, 2)) / np.maximum(outline.sum(axis=(1, 2)), 1.0)
    return {
        "scene: dark": light < DARK_SCENE_BELOW,
        "scene: between": (light >= DARK_SCENE_BELOW) & (light <= LIGHT_SCENE_ABOVE),
        "scene: light": light > LIGHT_SCENE_ABOVE,
    }
