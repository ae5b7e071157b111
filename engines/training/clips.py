"""`synthesize clip`: a talking head of a person who does not exist, for examples and tests with known motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError
from engines.training.codebook_candidates import promising_styles
from engines.training.codebook_pool import Record
from engines.training.edits import EditSpace, FaceReading, MeshModel, read_face, steer
from engines.training.lids import close_eyes, closed_mesh
from engines.training.synthesize import NEUTRAL, Fitted, encode_jpeg, is_usable_neutral

if TYPE_CHECKING:
    from engines.training.teacher import Teacher

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

FPS = 25
FRAME_PX = 512
_JPEG_QUALITY = 97
# How far the lids are shut in the frames of one blink, at 25 frames a second (a blink takes about 250 ms).
_BLINK = (0.35, 0.8, 1.0, 1.0, 0.75, 0.45, 0.2)


@dataclass(frozen=True)
class ClipScript:
    """What the person does, one value a frame.

    Attributes:
        yaw_degrees, pitch_degrees, mouth_open, smile: changes from the neutral face, float32 (F,).
        eye_closure: 0 open to 1 shut, float32 (F,).
    """

    yaw_degrees: Float
    pitch_degrees: Float
    mouth_open: Float
    smile: Float
    eye_closure: Float

    def __len__(self) -> int:
        return len(self.yaw_degrees)


def talking_script(frames: int, random: np.random.Generator) -> ClipScript:
    """Turns to one side and the other (25 degrees), talks in two phrases, nods a little, blinks twice."""
    seconds = np.arange(frames) / FPS
    share = np.arange(frames) / max(1, frames - 1)
    side = float(random.choice((-1.0, 1.0)))
    yaw = side * 25.0 * np.sin(2 * np.pi * share) * np.sin(np.pi * share) ** 0.5
    pitch = 3.0 * np.sin(2 * np.pi * (0.4 * seconds + float(random.uniform())))
    syllables = sum(
        weight * np.sin(2 * np.pi * (rate * seconds + float(random.uniform())))
        for rate, weight in ((1.7, 0.3), (3.1, 0.5), (4.6, 0.35))
    )
    phrases = np.clip(1.6 * np.sin(4 * np.pi * share - 0.6) + 0.8, 0.0, 1.0)
    mouth = 0.13 * phrases * np.clip(0.45 + 0.6 * syllables, 0.0, 1.0)
    smile = 0.05 * np.clip(np.sin(2 * np.pi * share + 2.0), 0.0, 1.0)
    closure = np.zeros(frames)
    for place in (0.22, 0.68):
        first = int(place * frames)
        length = min(len(_BLINK), frames - first)
        closure[first : first + length] = _BLINK[:length]
    return ClipScript(*(np.asarray(part, np.float32) for part in (yaw, pitch, mouth, smile, closure)))


def render_frames(
    style: Float,
    script: ClipScript,
    *,
    space: EditSpace,
    render: Callable[[Float], Picture],
    model: MeshModel,
) -> tuple[list[Picture], Float, Float]:
    """Frames, meshes (F, 468, 3) in px of the frame, and presence (F,); ``style`` is the neutral person's."""
    frames: list[Picture] = []
    meshes: list[Float] = []
    presence: list[float] = []
    for index in range(len(script)):
        change = {
            "yaw": float(script.yaw_degrees[index]),
            "pitch": float(script.pitch_degrees[index]),
            "mouth_open": float(script.mouth_open[index]),
            "smile": float(script.smile[index]),
        }
        picture = render(space.apply(style, change))
        reading = read_face(picture, model)
        mesh, closure = reading.mesh_xyz_px, float(script.eye_closure[index])
        if closure > 0.0:
            picture, mesh = close_eyes(picture, mesh, closure), closed_mesh(mesh, closure)
        frames.append(picture)
        meshes.append(mesh)
        presence.append(reading.presence)
    return frames, np.array(meshes, np.float32), np.array(presence, np.float32)


def render_clip(
    teacher: Teacher, fitted: Fitted, model: MeshModel, out: Path, *, seed: int, frames: int
) -> FaceReading:
    """Renders a clip of a person drawn by ``seed`` into a folder: ``frame_0000.jpg`` and so on, and ``clip.npz``.

    Returns:
        The reading of the person's neutral face in the fast picture.

    Raises:
        EngineError: no neutral face came out of ten people.
    """
    styles = promising_styles(
        teacher,
        fitted.mean,
        fitted.edits,
        fitted.foretell,
        None,
        seed=seed,
        truncation=(0.7, 0.85),
        record=Record(),
    )
    for style, _ in zip(styles, range(10), strict=False):
        neutral, _, reading = steer(
            style, NEUTRAL, space=fitted.edits, render=teacher.render_fast, model=model
        )
        if is_usable_neutral(reading):
            break
    else:
        raise EngineError(f"no neutral face came out of ten people of seed {seed}; try another seed")
    script = talking_script(frames, np.random.default_rng(seed))
    pictures, meshes, presence = render_frames(
        neutral,
        script,
        space=fitted.edits,
        render=lambda moved: teacher.render(moved, FRAME_PX),
        model=model,
    )
    out.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        (out / f"frame_{index:04d}.jpg").write_bytes(encode_jpeg(picture, _JPEG_QUALITY).tobytes())
    np.savez(
        out / "clip.npz",
        fps=np.int32(FPS),
        mesh_xyz_px=meshes,
        presence=presence,
        style=neutral,
        **{name: getattr(script, name) for name in script.__dataclass_fields__},
    )
    return reading
