"""Does the face hold still when the real one does?

python -m benchmarks.temporal CLIP... [--frames 120] [--json figures.json]

Per track and over all: TL and TG, the mean cosine of neighbouring frames and of all pairs of frames of the result over
the same of the input (Tzaban et al., Stitch it in Time, SIGGRAPH Asia 2022, sec. 5), per recogniser; warp error, the
mean difference of a frame to the one before moved along the input's optical flow, over the same of the input (after Lai
et al., Learning Blind Video Temporal Consistency, ECCV 2018, sec. 4.2); `switches`, times the result is nearer to
another person worn in these clips than to its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.utility import SHORTEST_TRACK, means, print_table
from benchmarks.watch import TrackRecord, add_clip_arguments, watch

BARS = {
    "tl_sface": (">=", 0.99),
    "tg_sface": (">=", 0.98),
    "tl_mobilefacenet": (">=", 0.99),
    "tg_mobilefacenet": (">=", 0.98),
    "warp_error": ("<=", 1.1),
    "switches": ("<=", 0.0),
}


def adjacent_and_all(codes_unit: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Mean cosine of neighbouring rows and of all pairs of rows of (F, d)."""
    table = codes_unit @ codes_unit.T
    count = len(codes_unit)
    pairs = (table.sum() - np.trace(table)) / (count * (count - 1))
    return float(np.diagonal(table, 1).mean()), float(pairs)


def track_row(record: TrackRecord, worn: Sequence[npt.NDArray[np.float32]]) -> dict[str, Any]:
    """Figures of one track. `worn` are the codes of all persons worn in the clips."""
    seen = record.seen
    row: dict[str, Any] = {"clip": record.clip, "track": record.track_id, "frames": len(seen)}
    for name in seen[0].codes_in:
        before = adjacent_and_all(np.stack([one.codes_in[name] for one in seen]))
        after = adjacent_and_all(np.stack([one.codes_out[name] for one in seen]))
        row[f"tl_{name}"], row[f"tg_{name}"] = (b / max(a, 1e-6) for a, b in zip(before, after, strict=True))
    errors = [(one.warp_error_in, one.warp_error_out) for one in seen if one.warp_error_in is not None]
    if errors:
        of_input, of_result = np.array(errors, dtype=np.float64).mean(axis=0)
        row["warp_error"] = float(of_result / max(of_input, 1e-6))
    ours = np.stack([one.codes_out["sface"] for one in seen])
    own = ours @ record.asked_code
    others = [code for code in worn if not np.array_equal(code, record.asked_code)]
    row["switches"] = float((ours @ np.stack(others).T > own[:, None]).any(axis=1).sum()) if others else 0.0
    return row


def temporal_rows(records: Sequence[TrackRecord]) -> list[dict[str, Any]]:
    """A row per track that is long enough."""
    worn = [record.asked_code for record in records]
    return [track_row(record, worn) for record in records if len(record.seen) >= SHORTEST_TRACK]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.temporal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_clip_arguments(parser)
    options = parser.parse_args()
    rows = temporal_rows(watch(options))
    total = means(rows, list(BARS))
    print_table(rows, total, BARS)
    if options.json:
        options.json.write_text(
            json.dumps({"tracks": rows, "mean": total}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
