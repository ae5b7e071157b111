"""Clips through the product's own stages, with every face measured before and after: what `benchmarks.utility` and
`benchmarks.temporal` compute their figures from.

Nothing is encoded: what is measured is what the sink is given. The pictures stay in memory; of a face only numbers are
kept, and those only until the figures are computed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.eyes import EyeReader
from engines.face.template import transform_points
from engines.face.topology import five_points
from engines.landmarks import MESH_PATCH_PX, FaceMesh, patch_from_box_and_points
from streamer.analysis import Analyzer, AnalyzerSettings, DetectionCadence, frames_for
from streamer.audit.pictures import FoundFace, frame_of_picture, rgb_of_frame
from streamer.audit.recognisers import Recogniser, open_recognisers
from streamer.frame import Frame, TrackedFace, invert_affine
from streamer.job import DEFAULT_FRAMES_PER_SECOND
from streamer.pipeline import Pipeline
from streamer.planes import analysis_picture, cover_face
from streamer.render.compositor import AnonymizedFrame, Compositor
from streamer.report import JobRecorder
from streamer.settings import AnonymizeSettings, make_settings
from streamer.source import open_source
from streamer.toolkit import Toolkit

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

# Side of the square, around the face, in which motion is compared, and its size in sides of the box.
FLOW_PX, FLOW_BOX_SCALE = 160, 1.1
# Every so many frames a face is also covered by a blur and by one colour, for comparison.
COVER_EVERY = 5
SAME_PLACE_IOU = 0.3


@dataclass(slots=True)
class Seen:
    """One face of one frame, before (`_in`) and after (`_out`).

    Attributes:
        index: of the frame.
        mesh_in, mesh_out: (468, 3) display px.
        presence_out: the landmark model's raw score of the result.
        found_again: the detector sees a face at the place.
        eyes_in, eyes_out: (2,) opening over width.
        gaze_in, gaze_out: (2,) see `benchmarks.eyes`.
        codes_in, codes_out: unit codes by recogniser.
        codes_covered: the same of the face blurred and of one colour, by (recogniser, covering); now and then.
        warp_error_in, warp_error_out: mean difference (0..1) to the frame before, moved along the input's optical flow;
            None at the first frame.
    """

    index: int
    mesh_in: Float32Array
    mesh_out: Float32Array
    presence_out: float
    found_again: bool
    eyes_in: Float64Array
    eyes_out: Float64Array
    gaze_in: Float64Array
    gaze_out: Float64Array
    codes_in: dict[str, Float32Array]
    codes_out: dict[str, Float32Array]
    codes_covered: dict[tuple[str, str], Float32Array] = field(default_factory=dict)
    warp_error_in: float | None = None
    warp_error_out: float | None = None


@dataclass(slots=True)
class TrackRecord:
    """A track: the codebook's code of the person it wears, the frames with a synthetic face, and how many without."""

    clip: str
    track_id: int
    asked_code: Float32Array
    seen: list[Seen]
    covered_otherwise: int


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """What both benchmarks ask for."""
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=120, help="of each clip, from its beginning")
    parser.add_argument("--skip", type=int, default=0, help="frames of each clip that are left out first")
    parser.add_argument("--decoder", type=Path, default=None, help="an .onnx file (default: the shipped one)")
    parser.add_argument("--key-file", type=Path, default=None, help="the same people in every run")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")


def watch(options: argparse.Namespace) -> list[TrackRecord]:
    """The clips one after another, as `add_clip_arguments` describes them."""
    with tempfile.TemporaryDirectory() as folder:
        # A draw that does not look at the face: what is then left of it in the result came past the code.
        privacy: dict[str, object] = {"mechanism": "uniform"}
        if options.key_file is not None:
            privacy |= {"key_file": options.key_file, "ledger": Path(folder) / "ledger.jsonl"}
        settings = make_settings(decoder=options.decoder, privacy=privacy, threads=1)
        toolkit, tools = Toolkit(settings), _Tools.open()
        window = slice(options.skip, options.skip + options.frames)
        try:
            return [
                one for clip in options.clips for one in _watch_clip(clip, settings, toolkit, tools, window)
            ]
        finally:
            toolkit.close()


@dataclass(frozen=True, slots=True)
class _Tools:
    """What measures."""

    mesh: FaceMesh
    eyes: EyeReader
    recognisers: tuple[Recogniser, ...]

    @classmethod
    def open(cls) -> _Tools:
        # dlib's codes have a large part in common, and its network is slow: it is asked by the audits alone.
        recognisers = tuple(one for one in open_recognisers().ready if not one.has_common_part)
        return cls(FaceMesh.open(threads=1), EyeReader(), recognisers)


def _watch_clip(
    clip: Path, settings: AnonymizeSettings, toolkit: Toolkit, tools: _Tools, window: slice
) -> list[TrackRecord]:
    with open_source(clip) as source, open_source(clip) as again:
        rate = float(source.stream_info.frame_rate or DEFAULT_FRAMES_PER_SECOND)
        depth = frames_for(settings.analysis.look_ahead_seconds, rate)
        rendering = toolkit.new_renderer(f"clip:{clip.name}", depth)
        assert rendering is not None
        renderer, keeper = rendering
        analyzer = Analyzer(
            toolkit.detect,
            lambda frame: analysis_picture(frame.video, frame.geometry, toolkit.picture_side_px),
            AnalyzerSettings(
                score_threshold=settings.analysis.score_threshold,
                continue_threshold=settings.analysis.continue_threshold,
                depth_frames=depth,
                hold_frames=frames_for(settings.analysis.hold_seconds, rate),
            ),
            cadence=DetectionCadence(settings.analysis.detect_every),
        )
        watcher = _Watcher(tools, toolkit, islice(iter(again), window.start, window.stop))
        Pipeline(
            frames=islice(iter(source), window.start, window.stop),
            analyzer=analyzer,
            compositor=Compositor(renderer),
            sink=watcher,
            recorder=JobRecorder(),
            observe=keeper.observe,
        ).run()
        codebook = toolkit.synthetic.codebook if toolkit.synthetic is not None else None
        assert codebook is not None
        return [
            TrackRecord(
                clip.stem,
                track_id,
                codebook.codes_unit[keeper.assignments[track_id].index],
                seen,
                watcher.otherwise.get(track_id, 0),
            )
            for track_id, seen in watcher.seen.items()
        ]


class _Watcher:
    """Takes the place of the sink. Reads the clip a second time for the pictures before."""

    def __init__(self, tools: _Tools, toolkit: Toolkit, originals: Iterator[Frame]) -> None:
        self._tools, self._toolkit, self._originals = tools, toolkit, originals
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._before: tuple[Picture, Picture] | None = None
        self._last_index: dict[int, int] = {}
        self.seen: dict[int, list[Seen]] = {}
        self.otherwise: dict[int, int] = {}

    def write(self, frame: AnonymizedFrame) -> None:
        original = next(self._originals)
        assert original.index == frame.frame.index
        pictures = rgb_of_frame(original), rgb_of_frame(frame.frame)
        boxes = self._detected(frame.frame)
        for covering in frame.coverings:
            track_id = covering.face.track_id
            if covering.reason is not None:
                self.otherwise[track_id] = self.otherwise.get(track_id, 0) + 1
                continue
            one = self._measure(covering.face, original, frame.frame, pictures, boxes)
            if self._before is not None and self._last_index.get(track_id) == original.index - 1:
                one.warp_error_in, one.warp_error_out = self._warp_errors(covering.face, pictures)
            self.seen.setdefault(track_id, []).append(one)
            self._last_index[track_id] = original.index
        self._before = pictures

    def _detected(self, frame: Frame) -> list[Float64Array]:
        """Boxes (4,) of the faces that the detector sees in the result, display px."""
        small, display_from_small = analysis_picture(
            frame.video, frame.geometry, self._toolkit.picture_side_px
        )
        threshold = self._toolkit.settings.analysis.score_threshold
        return [
            transform_points(display_from_small, found.box_xyxy_px.reshape(2, 2)).reshape(4)
            for found in self._toolkit.detect(small)
            if found.score >= threshold
        ]

    def _measure(
        self,
        face: TrackedFace,
        original: Frame,
        result: Frame,
        pictures: tuple[Picture, Picture],
        boxes: list[Float64Array],
    ) -> Seen:
        affine = patch_from_box_and_points(face.box_xyxy_px, face.points_xy_px, MESH_PATCH_PX)
        side = (MESH_PATCH_PX, MESH_PATCH_PX)
        patches = [cv2.warpAffine(picture, affine, side).astype(np.float32) / 255.0 for picture in pictures]
        points, presence = self._tools.mesh.run(np.stack(patches).astype(np.float32))
        # Each picture is aligned by its own landmarks, as whoever looks at it alone would.
        mesh_in, mesh_out = (
            transform_points(invert_affine(affine), one).astype(np.float32) for one in points
        )
        eyes_in, gaze_in = self._tools.eyes.read(pictures[0], mesh_in)
        eyes_out, gaze_out = self._tools.eyes.read(pictures[1], mesh_out)
        one = Seen(
            index=original.index,
            mesh_in=mesh_in,
            mesh_out=mesh_out,
            presence_out=float(presence[1]),
            found_again=any(_iou(box, face.box_xyxy_px) > SAME_PLACE_IOU for box in boxes),
            eyes_in=eyes_in,
            eyes_out=eyes_out,
            gaze_in=gaze_in,
            gaze_out=gaze_out,
            codes_in=self._codes(pictures[0], mesh_in),
            codes_out=self._codes(pictures[1], mesh_out),
        )
        if original.index % COVER_EVERY == 0:
            for kind in ("blur", "solid"):
                covered = frame_of_picture(pictures[0])
                cover_face(covered.video, covered.geometry, face.box_xyxy_px, kind)
                for name, code in self._codes(rgb_of_frame(covered), mesh_in).items():
                    one.codes_covered[name, kind] = code
        return one

    def _codes(self, picture: Picture, mesh: Float32Array) -> dict[str, Float32Array]:
        points = five_points(mesh).astype(np.float32)
        found = FoundFace(np.zeros(4, np.float32), points, 1.0)
        codes = {one.name: one.encode(picture, found) for one in self._tools.recognisers}
        return {name: code / max(float(np.linalg.norm(code)), 1e-9) for name, code in codes.items()}

    def _warp_errors(self, face: TrackedFace, pictures: tuple[Picture, Picture]) -> tuple[float, float]:
        """Of the input and of the result; the flow is the input's, of the face and a little around it."""
        box = face.box_xyxy_px.astype(np.float64)
        centre, side = (box[:2] + box[2:]) / 2, FLOW_BOX_SCALE * float((box[2:] - box[:2]).max())
        zoom = FLOW_PX / side
        affine = np.array(
            [[zoom, 0, FLOW_PX / 2 - zoom * centre[0]], [0, zoom, FLOW_PX / 2 - zoom * centre[1]]]
        )

        def cut(picture: Picture) -> Picture:
            return np.asarray(cv2.warpAffine(picture, affine, (FLOW_PX, FLOW_PX)), dtype=np.uint8)

        assert self._before is not None
        before, now = [cut(one) for one in self._before], [cut(one) for one in pictures]
        grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (before[0], now[0])]
        flow = self._flow.calc(grey[0], grey[1], np.zeros((FLOW_PX, FLOW_PX, 2), np.float32))
        ys, xs = np.mgrid[0:FLOW_PX, 0:FLOW_PX].astype(np.float32)
        errors = []
        for first, second in zip(before, now, strict=True):
            moved = cv2.remap(second, xs + flow[..., 0], ys + flow[..., 1], cv2.INTER_LINEAR)
            errors.append(float(np.abs(moved.astype(np.float32) - first).mean() / 255.0))
        return errors[0], errors[1]


def _iou(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.maximum(sides, 0.0)))
    areas = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]))
    return common / max(areas - common, 1e-6)
