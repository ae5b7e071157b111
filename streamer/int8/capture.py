"""What the models of the pipeline are shown: captured while scenes or footage run through it.

Everything stays in memory and ends with the process: the crops are of real faces when the footage is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

from calibration.codebook import Codebook
from calibration.int8 import Sample
from calibration.scenes import Cutout, make_scene
from engines.contract import Engine, EngineInfo, Tensor, TensorSpec
from engines.detectors import Detection
from streamer.analysis import Analyzer, AnalyzerSettings
from streamer.audit.coverage import codebook_cutouts
from streamer.audit.pictures import frame_of_picture
from streamer.errors import InputError
from streamer.frame import Frame, UInt8Array
from streamer.planes import analysis_picture
from streamer.settings import AnonymizeSettings
from streamer.source import open_source
from streamer.toolkit import Toolkit

Part = Literal["calibration", "held-out"]
PARTS: tuple[Part, Part] = ("calibration", "held-out")

# Scenes whose faces are large enough to be rendered; the others add nothing but time.
SCENE_NAMES = ("walk", "crossing", "low_light", "blur", "turning", "cut", "crowd")
SCENE_SIZE = (640, 360)
# Every third frame: neighbours are alike, and motion stays small enough to be tracked.
SCENE_STEP = 3
# Footage goes to calibration and to the judging of it in turns this long, so that the two are not neighbours.
FOOTAGE_BLOCK_FRAMES = 50
FOOTAGE_FRAMES = 600
SAMPLES_PER_PART = 64
# Each takes 0.7 MB, and as a detector's input 3 MB.
PICTURES_PER_PART = 32

_DEPTH_FRAMES = 6

T = TypeVar("T")
PartedFrame = tuple[Part, Frame]


class Reservoir(Generic[T]):
    """A fair choice of at most `limit` of all that is offered (Vitter: Random Sampling with a Reservoir, 1985)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._random = np.random.default_rng(0)
        self._offered = 0
        self.items: list[T] = []

    def offer(self, make: Callable[[], T]) -> None:
        """`make` is called only when its result is kept."""
        self._offered += 1
        if len(self.items) < self._limit:
            self.items.append(make())
            return
        place = int(self._random.integers(self._offered))
        if place < self._limit:
            self.items[place] = make()


@dataclass
class Captured:
    """Inputs of one part.

    Attributes:
        samples: for each model, by the sha256 of its file, inputs of one face each.
        pictures: (H, W, 3) uint8 RGB, as shown to the detector.
    """

    samples: dict[str, Reservoir[Sample]] = field(default_factory=dict)
    pictures: Reservoir[UInt8Array] = field(default_factory=lambda: Reservoir(PICTURES_PER_PART))

    def of(self, sha256: str) -> list[Sample]:
        """What the model with this sha256 was shown; empty when it never ran."""
        return self.samples[sha256].items if sha256 in self.samples else []


class _Recorder:
    """Writes into the captured inputs of the part that is running."""

    def __init__(self) -> None:
        self.parts: dict[Part, Captured] = {part: Captured() for part in PARTS}
        self.now: Part = PARTS[0]

    def wrap(self, engine: Engine) -> Engine:
        return RecordingEngine(engine, partial(self._note, engine.describe().weights_sha256))

    def _note(self, sha256: str, inputs: Sample) -> None:
        reservoir = self.parts[self.now].samples.setdefault(sha256, Reservoir(SAMPLES_PER_PART))
        for row in range(len(next(iter(inputs.values())))):
            reservoir.offer(partial(_row, inputs, row))


def _row(inputs: Sample, row: int) -> Sample:
    return {name: array[row : row + 1].copy() for name, array in inputs.items()}


class RecordingEngine(Engine):
    """Another engine that tells `on_inputs` what it is shown; the arrays must be copied to be kept."""

    def __init__(self, engine: Engine, on_inputs: Callable[[Sample], None]) -> None:
        self._engine = engine
        self._on_inputs = on_inputs

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._engine.outputs

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self._on_inputs(inputs)
        return self._engine.infer(inputs)

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        self._engine.close()


def capture(streams: Iterable[Iterable[PartedFrame]], settings: AnonymizeSettings) -> dict[Part, Captured]:
    """Run streams of frames through detection, tracking and rendering; nothing is written.

    Raises:
        InputError: the frames cannot be read, or show no face that could be rendered.
        EngineError, CalibrationError: a model or the codebook cannot be opened.
    """
    recorder = _Recorder()
    toolkit = Toolkit(settings, wrap_engine=recorder.wrap)
    try:
        for number, frames in enumerate(streams):
            _run(toolkit, f"calibration-{number}", frames, recorder)
    finally:
        toolkit.close()
    for part in PARTS:
        if not recorder.parts[part].samples:
            raise InputError(
                "no face in the footage could be rendered; give footage with larger faces, or more of it"
            )
    return recorder.parts


def _run(toolkit: Toolkit, stream: str, frames: Iterable[PartedFrame], recorder: _Recorder) -> None:
    rendering = toolkit.new_renderer(stream, _DEPTH_FRAMES)
    assert rendering is not None
    renderer, keeper = rendering

    def detect(picture_rgb_u8: UInt8Array) -> Sequence[Detection]:
        recorder.parts[recorder.now].pictures.offer(picture_rgb_u8.copy)
        return toolkit.detect(picture_rgb_u8)

    long_side_px = toolkit.picture_side_px
    analyzer = Analyzer(
        detect,
        lambda frame: analysis_picture(frame.video, frame.geometry, long_side_px),
        AnalyzerSettings(depth_frames=_DEPTH_FRAMES),
    )
    for part, frame in frames:
        recorder.now = part
        ready = analyzer.push(frame)
        keeper.observe(frame, analyzer.latest_faces)
        for item in ready:
            renderer.look(item.frame, item.faces)()


def scene_streams(codebook: Codebook) -> Iterator[Iterator[PartedFrame]]:
    """Scenes with synthetic people; those of the two parts share neither people nor backgrounds."""
    cutouts = codebook_cutouts(codebook)
    for name in SCENE_NAMES:
        for seed, part in enumerate(PARTS):
            yield _scene(name, part, cutouts[seed :: len(PARTS)], seed)


def _scene(name: str, part: Part, cutouts: Sequence[Cutout], seed: int) -> Iterator[PartedFrame]:
    scene = make_scene(name, cutouts, size=SCENE_SIZE, seed=seed)
    for number, frame in enumerate(scene.frames()):
        if number % SCENE_STEP == 0:
            yield part, frame_of_picture(frame.picture_rgb_u8, number)


def footage_streams(paths: Sequence[Path]) -> Iterator[Iterator[PartedFrame]]:
    """The first frames of the user's own files, in turns for calibration and for judging it."""
    for path in paths:
        yield _footage(path)


def _footage(path: Path) -> Iterator[PartedFrame]:
    with open_source(path) as source:
        for number, frame in enumerate(source):
            if number >= FOOTAGE_FRAMES:
                return
            yield PARTS[number // FOOTAGE_BLOCK_FRAMES % len(PARTS)], frame
