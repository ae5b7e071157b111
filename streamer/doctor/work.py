"""Folders that can be written, and a small job from file to file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from calibration.codebook import Codebook
from calibration.scenes import Cutout, make_scene, write_clip
from engines.places import user_cache_directory
from engines.zoo.registry import model_path
from streamer.doctor.check import Check, tried
from streamer.errors import OutputError
from streamer.job import anonymize_file

_CLIP_SIZE = (480, 272)
_CLIP_FRAMES = 16


def check_folders(ledger_path: Path) -> Iterator[Check]:
    """The folders that jobs and downloads write to."""
    yield tried("folders", "ledger", partial(_writable, ledger_path.parent), essential=True)
    yield tried("folders", "cache", partial(_writable, user_cache_directory()))


def check_job() -> Iterator[Check]:
    """A clip of one synthetic person is anonymized with the default settings."""
    yield tried("job", "anonymize", _anonymize_clip, essential=True)


def _writable(folder: Path) -> str:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}); check its owner and rights"
        ) from None
    return f"{folder} can be written"


def _anonymize_clip() -> str:
    person = Codebook.load(model_path("codebook-v1")).person(0)
    scene = make_scene(
        "walk", [Cutout.from_person(person.appearance_rgb_u8, person.mesh_xyz_px)], size=_CLIP_SIZE, seed=1
    )
    with tempfile.TemporaryDirectory() as folder:
        clip, output = Path(folder, "clip.mp4"), Path(folder, "anonymized.mp4")
        write_clip(clip, islice(scene.frames(), _CLIP_FRAMES))
        start = time.perf_counter()
        result = anonymize_file(clip, output)
        seconds = time.perf_counter() - start
    synthetic = result.coverage["faces_synthetic"]
    if result.masked_frames or synthetic < _CLIP_FRAMES // 2:
        raise OutputError(
            f"of {_CLIP_FRAMES} frames with a face {synthetic} got a synthetic one, "
            f"{result.masked_frames} were masked whole"
        )
    return f"{_CLIP_FRAMES} frames in {seconds:.1f} s, models opened anew, {synthetic} synthetic faces"
