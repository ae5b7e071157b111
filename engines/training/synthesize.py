"""`synthesize`: many views of people who do not exist, to train the decoder on.

Three steps, each its own subcommand: `fit` learns how to steer the teacher, `views` renders each person neutral and in
other poses and expressions into shards, `clip` renders a scripted talking head.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.landmarks import FaceMesh
from engines.training.edits import EditSpace, FaceReading, MeshModel, read_face, steer
from engines.training.lids import close_eyes, closed_mesh
from engines.training.readout import LinearReadout

if TYPE_CHECKING:
    from engines.training.teacher import Teacher

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

# A calm face that looks into the camera, in the units of `edits.MEASURES`.
NEUTRAL: Mapping[str, float] = {
    "yaw": 0.0,
    "pitch": 0.0,
    "mouth_open": 0.012,
    "smile": 0.55,
    "eye_open": 0.31,
    "light_side": 0.0,
}
_PRESENCE_LEAST = 15.0


@dataclass(frozen=True)
class Fitted:
    """What `synthesize fit` learns about the teacher.

    Attributes:
        mean: (512,) mean style.
        edits: steps that change one measure of a face.
        foretell: measures foretold from a style, to render only who is worth it.
    """

    mean: Float
    edits: EditSpace
    foretell: LinearReadout


@dataclass
class ViewShard:
    """Views of some people, as they go into one file."""

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    meshes: list[Float] = field(default_factory=list)
    presence: list[float] = field(default_factory=list)
    person: list[int] = field(default_factory=list)
    view: list[int] = field(default_factory=list)
    eye_closure: list[float] = field(default_factory=list)

    def add(
        self, person: int, view: int, picture: Picture, mesh: Float, presence: float, closure: float
    ) -> None:
        """Adds one view; ``picture`` RGB uint8 (256, 256, 3), ``mesh`` (468, 3) in px of it."""
        self.images.append(encode_jpeg(picture, 95))
        self.meshes.append(mesh)
        self.presence.append(presence)
        self.person.append(person)
        self.view.append(view)
        self.eye_closure.append(closure)

    def save(self, path: Path) -> None:
        """Writes the shard beside ``path`` and renames it, so that a reader never sees half of it."""
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            images=np.concatenate(self.images),
            image_offsets=np.cumsum([0] + [len(image) for image in self.images]).astype(np.int64),
            mesh_xyz_px=np.array(self.meshes, np.float16),
            presence=np.array(self.presence, np.float32),
            person=np.array(self.person, np.int32),
            view=np.array(self.view, np.int32),
            eye_closure=np.array(self.eye_closure, np.float32),
        )
        partial.replace(path)


def encode_jpeg(picture_rgb_u8: Picture, quality: int) -> NDArray[np.uint8]:
    """JPEG bytes without chroma subsampling, which would smear lips and irises at these sizes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return np.asarray(cv2.imencode(".jpg", picture_rgb_u8[..., ::-1], options)[1], np.uint8).ravel()


def view_script(random: np.random.Generator, count: int) -> list[tuple[dict[str, float], float]]:
    """Asked measures and eye closure of ``count`` views: each kind once, then mixtures."""

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def either() -> float:
        return float(random.choice((-1.0, 1.0)))

    kinds: list[tuple[dict[str, float], float]] = [
        ({"yaw": between(22, 40)}, 0.0),
        ({"yaw": -between(22, 40)}, 0.0),
        ({"pitch": either() * between(5, 12), "yaw": between(-15, 15)}, 0.0),
        ({"smile": between(0.75, 0.95), "mouth_open": between(0.02, 0.12)}, 0.0),
        ({"mouth_open": between(0.12, 0.26)}, 0.0),
        ({}, 1.0),
        ({"yaw": either() * between(5, 20)}, between(0.35, 0.8)),
        ({"yaw": either() * between(10, 30), "mouth_open": between(0.06, 0.2)}, 0.0),
        ({"mouth_open": between(0.05, 0.12), "smile": between(0.6, 0.75)}, 0.0),
    ]
    while len(kinds) < count:
        mixed = {"yaw": between(-30, 30), "pitch": between(-8, 8), "mouth_open": between(0.0, 0.18)}
        kinds.append((mixed, float(random.choice((0.0, 0.0, 1.0)))))
    return kinds[:count]


def render_person(
    teacher: Teacher,
    model: MeshModel,
    space: EditSpace,
    style: Float,
    *,
    person: int,
    random: np.random.Generator,
    views: int,
    shard: ViewShard,
) -> bool:
    """Renders a person's neutral view and ``views`` others into the shard; False when no neutral face came out."""
    neutral, picture, reading = steer(style, NEUTRAL, space=space, render=teacher.render_fast, model=model)
    if not is_usable_neutral(reading):
        return False
    shard.add(person, 0, picture, reading.mesh_xyz_px, reading.presence, 0.0)
    for index, (wanted, closure) in enumerate(view_script(random, views), start=1):
        change = {name: value - reading[name] for name, value in wanted.items()}
        moved = space.apply(neutral, change)
        image = teacher.render_fast(moved) if change else picture
        seen = read_face(image, model)
        if seen.presence < _PRESENCE_LEAST:
            continue
        mesh = seen.mesh_xyz_px
        if closure > 0.0:
            image, mesh = close_eyes(image, mesh, closure), closed_mesh(mesh, closure)
        shard.add(person, index, image, mesh, seen.presence, closure)
    return True


def is_usable_neutral(reading: FaceReading) -> bool:
    """Whether steering reached a frontal face with a closed mouth that the landmark model is sure of."""
    return (
        abs(reading["yaw"]) < 8.0
        and abs(reading["pitch"]) < 8.0
        and reading["mouth_open"] < 0.05
        and reading.presence > 30.0
    )


def open_fitted(teacher_folder: Path, fitted_folder: Path, *, threads: int = 1) -> tuple[Teacher, Fitted]:
    """The teacher with its 256 px head in place, and what was learned about it."""
    from engines.training.teacher import Teacher

    try:
        mean = np.load(fitted_folder / "mean_style.npy", allow_pickle=False)
        edits = EditSpace.load(fitted_folder / "edits.npz")
        foretell = LinearReadout.load(fitted_folder / "foretold.npz")
        with np.load(fitted_folder / "head256.npz", allow_pickle=False) as head:
            weight, bias = head["weight"], head["bias"]
    except FileNotFoundError as error:
        raise EngineError(
            f"{error.filename} is missing: run `synthesize fit --out {fitted_folder}` first"
        ) from None
    teacher = Teacher(teacher_folder, threads=threads)
    teacher.use_head(weight, bias)
    return teacher, Fitted(mean, edits, foretell)


def register(subparsers: Any) -> None:
    """Adds ``synthesize`` to the command line."""
    parser = subparsers.add_parser("synthesize", help="people of the teacher: fit, views, clip")
    steps = parser.add_subparsers(dest="step", required=True)

    def step(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = steps.add_parser(name, help=text)
        added.set_defaults(run=run)
        added.add_argument(
            "--teacher", type=Path, required=True, help="random_face/data of the random-face wheel"
        )
        added.add_argument("--out", type=Path, required=True)
        added.add_argument("--threads", type=int, default=1)
        return added

    fit = step("fit", _run_fit, "learn to steer the teacher")
    fit.add_argument("--samples", type=int, default=1600)
    views = step("views", _run_views, "render people in many poses and expressions")
    views.add_argument("--fitted", type=Path, required=True, help="output folder of `synthesize fit`")
    views.add_argument("--shards", type=int, default=12)
    views.add_argument("--people-per-shard", type=int, default=30)
    views.add_argument("--views", type=int, default=9)
    views.add_argument("--seed", type=int, default=5000)
    clip = step("clip", _run_clip, "render a scripted talking head")
    clip.add_argument("--fitted", type=Path, required=True, help="output folder of `synthesize fit`")
    clip.add_argument("--seed", type=int, default=1)
    clip.add_argument("--frames", type=int, default=112)


def _run_fit(options: argparse.Namespace) -> int:
    from engines.training.fit import fit_teacher

    fit_teacher(options.teacher, options.out, samples=options.samples, threads=options.threads)
    return 0


def _run_clip(options: argparse.Namespace) -> int:
    from engines.training.clips import render_clip

    teacher, fitted = open_fitted(options.teacher, options.fitted, threads=options.threads)
    render_clip(teacher, fitted, FaceMesh.open(), options.out, seed=options.seed, frames=options.frames)
    return 0


def _run_views(options: argparse.Namespace) -> int:
    from engines.training.teacher import truncated_styles

    teacher, fitted = open_fitted(options.teacher, options.fitted, threads=options.threads)
    model = FaceMesh.open()
    options.out.mkdir(parents=True, exist_ok=True)
    for index in range(options.shards):
        path = options.out / f"teacher_views_{index:03d}.npz"
        if path.exists():  # a run that was cut off goes on where it was
            continue
        shard, done = ViewShard(), 0
        random = np.random.default_rng(options.seed + index)
        styles = truncated_styles(
            teacher,
            fitted.mean,
            count=20 * options.people_per_shard,
            seed=options.seed + index,
            truncation=(0.55, 0.8),
        )
        for style in styles:
            done += render_person(
                teacher,
                model,
                fitted.edits,
                style,
                person=index * 1000 + done,
                random=random,
                views=options.views,
                shard=shard,
            )
            if done == options.people_per_shard:
                break
        shard.save(path)
        print(f"{path.name}: {done} people, {len(shard.images)} views", flush=True)
    return 0
