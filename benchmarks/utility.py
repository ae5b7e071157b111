"""Is the face still a face that says the same, and no longer the same person?

python -m benchmarks.utility CLIP... [--frames 120] [--json figures.json]

Per track, and over all tracks: share of frames in which the detector finds the face again; cosine of the result to the
person asked for (SFace); how much nearer the result is to the original than to persons of other clips (`shift`, per
recogniser); correlation over time of yaw and pitch (where the head turns by 2 degrees at least), of gaze, of the
opening of mouth and eyes, of the expression as a whole; error of the moving landmarks in parts of the distance of the
eyes. Then the Frechet distance, in features of each recogniser (MobileFaceNet took no part in training), of results,
blurred faces and faces of one colour to the real ones, in the 32 directions in which the real ones differ most.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import sqrtm

from benchmarks.watch import Seen, TrackRecord, add_clip_arguments, watch
from engines.face.pose import head_pose
from engines.face.topology import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    LIPS_INNER,
    LIPS_OUTER,
    mouth_opening,
)

Float64Array = npt.NDArray[np.float64]

SHORTEST_TRACK = 20
STILL_HEAD_RADIANS = np.radians(2.0)
# Standard deviation of a mouth's opening (in its widths), or an eye's, below which nothing happened to be followed.
STILL_MOUTH, STILL_EYES, STILL_GAZE = 0.02, 0.02, 0.02
FRECHET_DIRECTIONS = 32
EXPRESSIVE = np.unique(np.concatenate([EYE_LEFT, EYE_RIGHT, BROW_LEFT, BROW_RIGHT, LIPS_OUTER, LIPS_INNER]))
BARS = {
    "found_again": (">=", 0.99),
    "asked_sface": (">=", 0.6),
    "shift_sface": ("|<=|", 0.05),
    "shift_mobilefacenet": ("|<=|", 0.05),
    "yaw": (">=", 0.95),
    "pitch": (">=", 0.95),
    "mouth": (">=", 0.8),
    "eyes": (">=", 0.6),
    "gaze": (">=", 0.5),
    "expression": (">=", 0.8),
    "landmark_error": ("<=", 0.04),
}


def correlation(first: Sequence[float], second: Sequence[float], least_spread: float) -> float | None:
    """Pearson's, None where the first hardly varies."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.std() < least_spread:
        return None
    if b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def expressions(meshes: Sequence[npt.NDArray[np.float32]]) -> Float64Array:
    """(F, P, 3) places of the expressive points in the frame of the head, less their mean; unit: eye distance."""
    shapes = []
    for mesh in meshes:
        shape = head_pose(mesh).image_from_canonical.inverse().apply(mesh.astype(np.float64))
        shapes.append(shape[EXPRESSIVE])
    table = np.stack(shapes)
    return np.asarray(table - table.mean(axis=0))


def track_row(record: TrackRecord, strangers: dict[str, list[npt.NDArray[np.float32]]]) -> dict[str, Any]:
    """Figures of one track; None where there is nothing to measure.

    Args:
        strangers: mean codes of persons of other clips, by recogniser.
    """
    seen = record.seen
    poses = [(head_pose(one.mesh_in), head_pose(one.mesh_out)) for one in seen]
    turned = [(abs(a.yaw_radians - b.yaw_radians), abs(a.pitch_radians - b.pitch_radians)) for a, b in poses]
    real, made = expressions([one.mesh_in for one in seen]), expressions([one.mesh_out for one in seen])
    still = STILL_HEAD_RADIANS
    row: dict[str, Any] = {
        "clip": record.clip,
        "track": record.track_id,
        "frames": len(seen),
        "otherwise": record.covered_otherwise,
        "found_again": float(np.mean([one.found_again for one in seen])),
        "asked_sface": float(np.mean([one.codes_out["sface"] @ record.asked_code for one in seen])),
        "yaw": correlation([a.yaw_radians for a, _ in poses], [b.yaw_radians for _, b in poses], still),
        "pitch": correlation([a.pitch_radians for a, _ in poses], [b.pitch_radians for _, b in poses], still),
        "pose_error_degrees": float(np.degrees(np.median(turned))),
        "mouth": correlation(
            [mouth_opening(one.mesh_in) for one in seen],
            [mouth_opening(one.mesh_out) for one in seen],
            STILL_MOUTH,
        ),
        "eyes": correlation(
            [float(one.eyes_in.mean()) for one in seen],
            [float(one.eyes_out.mean()) for one in seen],
            STILL_EYES,
        ),
        "gaze": correlation(
            [float(one.gaze_in[0]) for one in seen], [float(one.gaze_out[0]) for one in seen], STILL_GAZE
        ),
        "expression": correlation(real.ravel().tolist(), made.ravel().tolist(), 0.0),
        "landmark_error": float(np.linalg.norm((made - real)[..., :2], axis=-1).mean()),
    }
    for name in seen[0].codes_in:
        ours = np.stack([one.codes_out[name] for one in seen])
        original = _unit(np.mean([one.codes_in[name] for one in seen], axis=0))
        row[f"to_original_{name}"] = float((ours @ original).mean())
        if strangers[name]:
            others = float((ours @ np.stack(strangers[name]).T).mean())
            row[f"shift_{name}"] = row[f"to_original_{name}"] - others
    return row


def frechet(real: Float64Array, other: Float64Array, directions: int = FRECHET_DIRECTIONS) -> float:
    """Frechet distance of two clouds (N, d), (M, d) taken for Gaussian (Heusel et al., NeurIPS 2017, sec. 3), in the
    directions in which the real one is widest.
    """
    centre = real.mean(axis=0)
    _, _, axes = np.linalg.svd(real - centre, full_matrices=False)
    a, b = ((cloud - centre) @ axes[: min(directions, len(real) - 1)].T for cloud in (real, other))
    spread_a, spread_b = np.cov(a.T), np.cov(b.T)
    root = np.real(sqrtm(spread_a @ spread_b))
    away = a.mean(axis=0) - b.mean(axis=0)
    return float(away @ away + np.trace(spread_a + spread_b - 2.0 * root))


def picture_distances(records: Sequence[TrackRecord]) -> dict[str, float]:
    """Frechet distances to the real faces, by `recogniser: covering`."""
    seen = [one for record in records for one in record.seen if one.codes_covered]
    if len(seen) < 2 * SHORTEST_TRACK:
        return {}
    table = {}
    for name in seen[0].codes_in:
        real = np.stack([one.codes_in[name] for one in seen]).astype(np.float64)
        clouds = {"ours": [one.codes_out[name] for one in seen]}
        clouds |= {kind: [one.codes_covered[name, kind] for one in seen] for kind in ("blur", "solid")}
        for kind, cloud in clouds.items():
            table[f"{name}: {kind}"] = frechet(real, np.stack(cloud).astype(np.float64))
    return table


def utility_rows(records: Sequence[TrackRecord]) -> list[dict[str, Any]]:
    """A row per track that is long enough."""
    long = [record for record in records if len(record.seen) >= SHORTEST_TRACK]
    rows = []
    for record in long:
        others = [one for one in long if one.clip != record.clip]
        names = record.seen[0].codes_in
        strangers = {name: [_mean_code(one.seen, name) for one in others] for name in names}
        rows.append(track_row(record, strangers))
    return rows


def means(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, float | None]:
    """Mean of each column over the rows that have it, weighted by their frames."""
    table: dict[str, float | None] = {}
    for name in columns:
        have = [(row[name], row["frames"]) for row in rows if row.get(name) is not None]
        frames = sum(count for _, count in have)
        table[name] = float(sum(value * count for value, count in have) / frames) if frames else None
    return table


def print_table(
    rows: Sequence[dict[str, Any]], total: dict[str, float | None], bars: dict[str, tuple[str, float]]
) -> None:
    """Rows of tracks, their mean, the bar, and which bars are missed."""
    print("| clip | track | frames | " + " | ".join(bars) + " |")
    print("|---" * (len(bars) + 3) + "|")
    for row in rows:
        cells = " | ".join(_cell(row.get(name)) for name in bars)
        print(f"| {row['clip']} | {row['track']} | {row['frames']} | {cells} |")
    print("| **mean** | | | " + " | ".join(_cell(total[name]) for name in bars) + " |")
    print("| bar | | | " + " | ".join(f"{sign.strip('|')} {bar:g}" for sign, bar in bars.values()) + " |")
    missed = [name for name, (sign, bar) in bars.items() if not holds(total[name], sign, bar)]
    print("missed: " + (", ".join(missed) or "none"))


def holds(value: float | None, sign: str, bar: float) -> bool:
    """True when a bar is reached, or there was nothing to measure."""
    if value is None:
        return True
    if sign == ">=":
        return value >= bar
    return (abs(value) if sign == "|<=|" else value) <= bar


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _unit(code: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return np.asarray(code / max(float(np.linalg.norm(code)), 1e-9), dtype=np.float32)


def _mean_code(seen: Sequence[Seen], name: str) -> npt.NDArray[np.float32]:
    return _unit(np.mean([one.codes_in[name] for one in seen], axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.utility",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_clip_arguments(parser)
    options = parser.parse_args()
    records = watch(options)
    rows = utility_rows(records)
    total = means(rows, list(BARS))
    print_table(rows, total, BARS)
    distances = picture_distances(records)
    for name, distance in distances.items():
        print(f"Frechet distance to the real faces, {name}: {distance:.3f}")
    if options.json:
        figures = {"tracks": rows, "mean": total, "frechet": distances}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
