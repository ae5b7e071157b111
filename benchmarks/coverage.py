"""Which faces stay uncovered, and whose identity wanders: `python -m benchmarks.coverage [--data PATH]`.

Runs the analysis stage as files run it (detector, second looks, tracker, look-ahead) over synthetic scenes with exact
truth and, with --data, over the pseudo-truth clips. Prints a table and, with --json, writes the same figures.

Columns: `faces`, truth faces counted; `bare/1000`, those of them not covered, per thousand, and in brackets
by the detector's own boxes without tracking and look-ahead; `tracks`; `switches`, times a person's track id
changed within a shot; `shared`, tracks that followed more than one person, which must be 0; `extra`, painted
faces per frame that lie on no truth face.

A truth face counts when at least 40 % of it is visible. It is covered when boxes hold at least 90 % of its
visible mask; in pseudo-truth clips, whose boxes another detector drew its own way, 75 % of its box.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import av
import cv2
import numpy as np

from calibration.scenes import SCENES
from streamer.audit.coverage import Examiner, Score, Shot, Truth, scene_scores
from streamer.audit.people import open_codebook
from streamer.settings import DetectorName, make_settings
from streamer.toolkit import Toolkit

HEADER = (
    f"{'sequence':<44}{'frames':>7}{'faces':>7}{'bare/1000':>10} (detect)"
    f"{'tracks':>8}{'switches':>10}{'shared':>8}{'extra':>8}"
)


def _row(score: Score) -> str:
    return (
        f"{score.name:<44}{score.frames:>7}{score.faces:>7}{score.bare_per_thousand:>10.1f}"
        f" ({score.bare_by_detector_per_thousand:6.1f}){len(score.track_ids):>8}{score.switches:>10}"
        f"{score.shared:>8}{score.extra / max(score.frames, 1):>8.2f}"
    )


def clip_shots(truth_path: Path, videos: Path) -> Iterator[Shot]:
    """A clip with boxes in MOT text: frame (from 1), id, x, y, w, h, score."""
    (video_path,) = videos.glob(f"{truth_path.stem}.*")
    truth: dict[int, list[Truth]] = {}
    for line in truth_path.read_text().splitlines():
        number, face_id, x, y, width, height = (float(value) for value in line.split(",")[:6])
        box = np.array([x, y, x + width, y + height])
        truth.setdefault(int(number) - 1, []).append(Truth(int(face_id), box))
    with av.open(str(video_path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            yield Shot(frame.to_ndarray(format="rgb24"), truth.get(number, []))


def folder_shots(folder: Path) -> Iterator[Shot]:
    """Pictures of an OTB sequence, whose truth is one head; its inner half stands in for the face."""
    lines = (folder / "groundtruth_rect.txt").read_text().replace("\t", ",").split()
    for path, line in zip(sorted((folder / "img").glob("*.jpg")), lines, strict=True):
        x, y, width, height = (float(value) for value in line.split(","))
        inner = np.array([x + width / 4, y + height / 4, x + 3 * width / 4, y + 3 * height / 4])
        yield Shot(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), [Truth(1, inner)])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--data", type=Path, help="folder of the evaluation data, for the pseudo-truth clips")
    parser.add_argument(
        "--codebook", type=Path, help="codebook whose people play in the scenes (default: the shipped one)"
    )
    parser.add_argument("--scenes", nargs="*", choices=list(SCENES), default=list(SCENES))
    parser.add_argument("--seeds", type=int, default=2, help="variants of each scene")
    parser.add_argument("--height", type=int, default=360, help="height of the scenes, px")
    parser.add_argument("--detector", choices=[name.value for name in DetectorName], default="retinaface")
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--detect-every", type=int, default=1)
    parser.add_argument("--look-ahead-seconds", type=float, default=0.4)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    analysis = {
        "detector": options.detector,
        "tiles": options.tiles,
        "detect_every": options.detect_every,
        "look_ahead_seconds": options.look_ahead_seconds,
    }
    toolkit = Toolkit(make_settings(replace_with="solid", analysis=analysis, threads=1))
    print(HEADER)
    scores: list[Score] = []
    try:
        for score in _scores(Examiner(toolkit), options):
            print(_row(score), flush=True)
            scores.append(score)
    finally:
        toolkit.close()
    if options.json:
        rows = [{**asdict(score), "track_ids": len(score.track_ids)} for score in scores]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def _scores(examiner: Examiner, options: argparse.Namespace) -> Iterator[Score]:
    if options.scenes:
        codebook = open_codebook(options.codebook)
        yield from scene_scores(examiner, codebook, options.scenes, options.seeds, options.height)
    if options.data is not None:
        for truth in sorted((options.data / "detection/video_pseudo_gt").glob("*.txt")):
            yield examiner.run(truth.stem, clip_shots(truth, options.data / "videos"), frames_per_second=13)
        yield examiner.run("otb_girl", folder_shots(options.data / "detection/otb_girl"))


if __name__ == "__main__":
    main()
