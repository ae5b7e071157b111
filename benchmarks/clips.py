"""Clips for timing: as many faces as wanted, of a stated size, at any resolution. Nobody in them exists."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from calibration.scenes import Cutout, Keyframe, Role, Scene, write_clip
from streamer.audit.coverage import codebook_cutouts
from streamer.audit.people import open_codebook

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
FRAMES = 120
# Width of a face as a part of the picture's height, by the number of faces.
_FACE_WIDTH = {1: 0.28, 4: 0.2, 8: 0.15}


@cache
def _cutouts() -> list[Cutout]:
    return codebook_cutouts(open_codebook(None))


def made_clip(folder: Path, size_name: str, faces: int, frames: int = FRAMES) -> Path:
    """A clip of people who sway a little; made once, then found in the folder again.

    Args:
        size_name: key of `SIZES`.
        faces: 0, or any number; the width of a face follows it.
    """
    path = folder / f"made_{size_name}_{faces}_faces_{frames}.mp4"
    if path.exists():
        return path
    width, height = SIZES[size_name]
    face = height * _FACE_WIDTH.get(faces, 0.12)
    columns = max(1, min(4, faces))
    rows = -(-faces // columns)
    roles = []
    for number in range(faces):
        x = width * (number % columns + 0.5) / columns
        y = height * (number // columns + 0.5) / max(rows, 1)
        keys = tuple(
            Keyframe(
                frame,
                x + 0.3 * face * np.sin(frame / 17 + number),
                y + 0.1 * face * np.sin(frame / 11 + 2 * number),
                face,
                roll_degrees=6 * np.sin(frame / 13 + number),
            )
            for frame in range(0, frames + 5, 5)
        )
        roles.append(Role(number + 1, _cutouts()[number % len(_cutouts())], keys))
    scene = Scene(path.stem, (width, height), frames, roles, seed=3, pan_px=width / 640)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.mp4")
    write_clip(unfinished, scene.frames())
    unfinished.rename(path)
    return path
