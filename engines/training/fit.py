"""`synthesize fit`: learns the fast head, the edit space and the foretold measures of a teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.training.codebook_faces import FaceExaminer, pixel_measures
from engines.training.edits import MEASURES, fit_edits, read_face
from engines.training.readout import fit_readout
from engines.training.teacher import Teacher, truncated_styles

Float = NDArray[np.float32]

_HEAD_PEOPLE = 60
_LEAST_PRESENCE = 20.0
# What an edit should leave alone, and how much each unit of its spread weighs against one column of the code.
_HELD = {"older": 4.0, "child": 4.0, "male": 6.0, "bridge_edge": 4.0}


def fit_teacher(teacher_folder: Path, out: Path, *, samples: int, threads: int = 1, seed: int = 101) -> None:
    """Writes what `engines.training.synthesize.Fitted` holds, and the 256 px head, to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(teacher_folder, threads=threads)
    mean = teacher.mean_style()
    np.save(out / "mean_style.npy", mean)
    wide = np.array(list(truncated_styles(teacher, mean, count=_HEAD_PEOPLE, seed=1, truncation=(0.4, 1.0))))
    weight, bias = teacher.fit_head(wide)
    np.savez(out / "head256.npz", weight=weight, bias=bias)
    teacher.use_head(weight, bias)
    styles, codes, table = sample_measures(teacher, mean, FaceExaminer(threads=threads), samples, seed)
    held = np.concatenate(
        [codes / codes.std(), *(weight * _unit(table[name])[:, None] for name, weight in _HELD.items())], 1
    ).astype(np.float32)
    measures = np.stack([table[name] for name in MEASURES], 1)
    space = fit_edits(styles, measures, held=held, held_weight=10.0)
    space.save(out / "edits.npz")
    fit_readout(styles, table, ridge=0.05).save(out / "foretold.npz")
    print("correlation on held-out people:", np.round(space.correlation, 2).tolist())


def sample_measures(
    teacher: Teacher, mean: Float, examiner: FaceExaminer, samples: int, seed: int
) -> tuple[Float, Float, dict[str, Float]]:
    """Random people of the teacher: styles (N, 512), recognition codes (N, 128), and measures (N,) by name.

    ``bridge_edge`` is given as a logarithm, which spreads evenly and so is better foretold.
    """
    styles: list[Float] = []
    codes: list[Float] = []
    rows: list[dict[str, float]] = []
    for style in truncated_styles(teacher, mean, count=samples, seed=seed, truncation=(0.6, 0.95)):
        picture = teacher.render_fast(style)
        reading = read_face(picture, examiner.mesh_model)
        if reading.presence < _LEAST_PRESENCE:
            continue
        code, _ = examiner.encode(picture, reading.mesh_xyz_px)
        row = dict(zip(MEASURES, reading.measures.tolist(), strict=True)) | {"presence": reading.presence}
        row |= pixel_measures(picture, reading.mesh_xyz_px)
        row["bridge_edge"] = float(np.log(row["bridge_edge"] + 0.01))
        row |= examiner.attributes(code)
        styles.append(style)
        codes.append(code)
        rows.append(row)
    table = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
    return np.array(styles, np.float32), np.array(codes, np.float32), table


def _unit(column: Float) -> Float:
    return np.asarray(column / (column.std() + 1e-9), np.float32)
