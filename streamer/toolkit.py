"""What a job needs besides its files: engines, codebook, ledger. Opened once, shared by all files of a batch."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibration.assign import IdentityAssigner
from calibration.bounds import bound_row, check_epsilon
from calibration.claims import HIDDEN, WITH_DELTA, claim_of
from calibration.codebook import Codebook
from calibration.hide import KeyedRotation
from calibration.keys import load_key
from calibration.ledger import Ledger, MemoryLedger, open_ledger
from calibration.mechanisms import Mechanism, create_mechanism
from engines.appearance.teacher import teacher_info
from engines.backends import EngineOptions, choose_backend
from engines.backends.tensorrt import Profiles
from engines.contract import Engine, EngineInfo
from engines.decoder import DECODER_MODEL, FaceDecoder
from engines.detectors import Detection, FaceDetector, detect_tiled, detector_on, open_detector_engine
from engines.detectors.doubt import Detect, DoubtingDetector
from engines.guard import GuardedEngine
from engines.identity import IdentityEncoder
from engines.landmarks import FaceMesh, IrisLandmarks
from engines.precision import choose_precision
from engines.processor import has_vnni, usable_cpus
from engines.zoo.opening import open_in
from engines.zoo.registry import entry, model_path
from streamer.engine_pool import EnginePool
from streamer.errors import SettingsError
from streamer.frame import UInt8Array
from streamer.identity import IdentityKeeper
from streamer.identity.appearances import Appearances
from streamer.identity.finer import open_appearances
from streamer.render.lids import EyeReader
from streamer.render.renderer import SyntheticRenderer
from streamer.settings import (
    AnalysisSettings,
    AnonymizeSettings,
    DecoderTier,
    DetectorName,
    Mode,
    Precision,
    PrivacySettings,
    ReplaceWith,
)

# What a second detector is asked for when it is to deny a face: it should say yes easily.
SECOND_LOOK_THRESHOLD = 0.3
# Tiles are cut from a picture this many times larger than the one shown as a whole.
TILED_PICTURE_SCALE = 3
NOTHING_QUANTISED = "no INT8 model is there, all compute in float; run: veilstream calibrate int8"
NON_COMMERCIAL = (
    "people are rendered by a generator of StyleGAN2-FFHQ lineage: treat the result as non-commercial"
)
INEXACT_INT8 = "this CPU has no VNNI instructions: INT8 sums saturate and results suffer; better take float"


@dataclass(slots=True)
class SyntheticTools:
    """What only synthetic replacement needs."""

    mesh: FaceMesh
    lids: EyeReader
    decoder: FaceDecoder
    encoder: IdentityEncoder | None
    codebook: Codebook
    mechanism: Mechanism | KeyedRotation
    appearances: Appearances | None = None

    def renderer(self, keeper: IdentityKeeper) -> SyntheticRenderer:
        """A renderer with tracks of its own."""
        return SyntheticRenderer(self.mesh, self.lids, self.decoder, keeper, self.appearances)


class Toolkit:
    """Engines, codebook and ledger of a job.

    Args:
        pool: shares its engines with other toolkits; without one they are this one's own.
        wrap_engine: put around each engine but the detectors', for audits that show it the same picture many times.

    Raises (from the constructor):
        SettingsError: options that cannot be honoured.
        EngineError, CalibrationError: a model, key, codebook or ledger that cannot be opened.
    """

    def __init__(
        self,
        settings: AnonymizeSettings,
        *,
        pool: EnginePool | None = None,
        wrap_engine: Callable[[Engine], Engine] | None = None,
    ) -> None:
        self.settings = settings
        self._pool = pool
        self._wrap_engine = wrap_engine
        self.backend = choose_backend(settings.engine, require_gpu=settings.require_gpu)
        self._precision = choose_precision(settings.precision.value, self.backend.name)
        self._options: EngineOptions = {
            "backend": self.backend.name,
            "threads": settings.threads or usable_cpus(),
        }
        self._infos: list[dict[str, Any]] = []
        self._engines: list[Engine] = []
        self._mesh_engine = self._open("face-mesh", "landmarks")
        self.detect = self._open_detect()
        self.ledger: Ledger = MemoryLedger()
        self._key: bytes | None = None
        self.synthetic: SyntheticTools | None = None
        self.warnings: list[str] = []
        if settings.replace_with is ReplaceWith.SYNTHETIC:
            self.synthetic = self._open_synthetic(settings.privacy)
        if settings.precision is Precision.INT8:
            self.warnings += self._int8_warnings()
        # Without a key each run is a session of its own; with one, the same input gets the same draws again.
        self._session = secrets.token_hex(8) if self._key is None else "keyed"

    @property
    def picture_side_px(self) -> int:
        """Long side of the picture `detect` wants; tiles are cut from a larger one."""
        return picture_side_px(self.settings.analysis)

    @property
    def denied_detections(self) -> int:
        """Detections that three other looks denied, so far; see `engines.detectors.doubt`."""
        return self.detect.denied if isinstance(self.detect, DoubtingDetector) else 0

    def begin_stream(self) -> None:
        """What is detected from now on belongs to another file than what was before."""
        if isinstance(self.detect, DoubtingDetector):
            self.detect.forget()

    def new_renderer(
        self, stream: str, horizon_frames: int = 0
    ) -> tuple[SyntheticRenderer, IdentityKeeper] | None:
        """A renderer with its own tracks for one stream; None when no synthetic faces were asked for."""
        tools = self.synthetic
        if tools is None:
            return None
        privacy = self.settings.privacy
        assigner = IdentityAssigner(
            tools.mechanism,
            tools.codebook,
            session=self._session,
            ledger=self.ledger,
            scope=privacy.scope,
            budget=privacy.budget,
            delta_budget=privacy.delta_budget,
            key=self._key,
        )
        keeper = IdentityKeeper(
            assigner, tools.codebook, tools.encoder, stream=stream, horizon_frames=horizon_frames
        )
        return tools.renderer(keeper), keeper

    def close(self) -> None:
        """Let go of the engines that are not shared."""
        for engine in self._engines:
            engine.close()

    def engine_line(self) -> str:
        """What the models run on and compute in, for people."""
        counts = Counter(info["precision"] for info in self._infos)
        models = ", ".join(f"{count} in {precision}" for precision, count in sorted(counts.items()))
        return f"{self.backend.name} {self.backend.detail}, models: {models}"

    def describe(self) -> dict[str, Any]:
        """Models and privacy of the job, for the report."""
        described: dict[str, Any] = {"models": self._infos}
        if self.synthetic is not None:
            mechanism = self.synthetic.mechanism
            spent = self.ledger.spent_cost(self.settings.privacy.scope)
            described["privacy"] = {
                "mode": self.settings.privacy.mode.value,
                "claim": claim_of(mechanism, keyed=self._key is not None),
                "mechanism": mechanism.describe(),
                "unit": "one track",
                "scope": self.settings.privacy.scope,
                "epsilon_spent_in_scope": float(spent.epsilon),
                "delta_spent_in_scope": float(spent.delta),
                "ledger_head": self.ledger.head,
                "codebook_sha256": self.synthetic.codebook.sha256,
                "codebook_size": self.synthetic.codebook.size,
                "bounds": None if isinstance(mechanism, KeyedRotation) else _bounds(mechanism),
            }
        return described

    def _open_detect(self) -> Detect:
        settings = self.settings.analysis
        detector = self._detector(settings.detector, settings.continue_threshold)
        detect: Detect = detector.detect
        if settings.tiles:
            detect = partial(_detect_tiled, detector)
        if settings.cover_doubtful:
            return detect
        other = DetectorName.RETINAFACE if settings.detector is DetectorName.YUNET else DetectorName.YUNET
        return DoubtingDetector(
            detect, detector, self._detector(other, SECOND_LOOK_THRESHOLD), FaceMesh(self._mesh_engine)
        )

    def _detector(self, name: DetectorName, score_threshold: float) -> FaceDetector:
        options: EngineOptions = {**self._options, "profiles": detector_profiles(self.settings.analysis)}
        engine = self._guarded(
            name.value,
            "detector",
            lambda: open_detector_engine(name.value, precision=self._precision, **options),
        )
        return detector_on(engine, name.value, score_threshold=score_threshold)

    def _open_synthetic(self, privacy: PrivacySettings) -> SyntheticTools:
        codebook = self._open_codebook(privacy.codebook)
        mechanism = self._open_mechanism(privacy, codebook.space.dimension)
        if privacy.key_file is not None and privacy.mode is not Mode.HIDE:
            if privacy.ledger is None:
                raise SettingsError(
                    "key-file: replayable draws need a ledger file to replay from; give --ledger"
                )
            self._key = load_key(privacy.key_file)
        if privacy.ledger is not None:
            self.ledger = open_ledger(privacy.ledger)
        encoder = IdentityEncoder(self._open("sface", "identity encoder")) if mechanism.needs_code else None
        return SyntheticTools(
            FaceMesh(self._mesh_engine),
            EyeReader(IrisLandmarks(self._open("iris", "lids"))),
            FaceDecoder(self._open(DECODER_MODEL, "decoder", self._decoder_file())),
            encoder,
            codebook,
            mechanism,
            self._open_appearances(codebook, privacy.codebook),
        )

    def _decoder_file(self) -> Path | None:
        """None for the decoder that ships, which both tiers have."""
        decoder = self.settings.decoder
        return None if isinstance(decoder, DecoderTier) else decoder

    def _open_appearances(self, codebook: Codebook, path: Path | None) -> Appearances | None:
        if self.settings.decoder is not DecoderTier.QUALITY:
            return None
        appearances = open_appearances(codebook, path, self.settings.teacher)
        self._note("teacher-synthesis", "teacher", teacher_info())
        self.warnings.append(NON_COMMERCIAL)
        return appearances

    def _open_mechanism(self, privacy: PrivacySettings, dimension: int) -> Mechanism | KeyedRotation:
        if privacy.mode is Mode.HIDE:
            assert privacy.key_file is not None
            self.warnings.append(HIDDEN)
            return KeyedRotation(load_key(privacy.key_file), dimension, privacy.scope)
        mechanism = create_mechanism(
            privacy.mechanism.value, str(privacy.epsilon), dimension=dimension, delta=privacy.delta
        )
        if warning := check_epsilon(privacy.epsilon, privacy.allow_large_epsilon, delta=mechanism.delta):
            self.warnings.append(warning)
        if mechanism.delta:
            self.warnings.append(WITH_DELTA)
        return mechanism

    def _open_codebook(self, path: Path | None) -> Codebook:
        if path is not None:
            return Codebook.load(path)
        return _shipped_codebook()

    def _open(self, name: str, role: str, weights: Path | None = None) -> Engine:
        return self._guarded(
            name if weights is None else weights.name,
            role,
            lambda: open_in(self._precision, name, weights=weights, **self._options),
        )

    def _guarded(self, name: str, role: str, open_one: Callable[[], Engine]) -> Engine:
        """An engine with a deadline: the pool's, or one of our own."""

        def guarded() -> Engine:
            return GuardedEngine(open_one(), timeout_seconds=self.settings.engine_timeout_seconds)

        engine = guarded() if self._pool is None else self._pool.shared(name, guarded)
        self._note(name, role, engine.describe())
        if self._wrap_engine is not None and role != "detector":
            engine = self._wrap_engine(engine)
        if self._pool is None:
            self._engines.append(engine)
        return engine

    def _note(self, name: str, role: str, info: EngineInfo) -> None:
        self._infos.append(
            {
                "name": name,
                "role": role,
                "backend": info.backend,
                "device": info.device,
                "precision": info.precision,
                "sha256": info.weights_sha256,
            }
        )

    def _int8_warnings(self) -> list[str]:
        if not any(info["precision"] == "int8" for info in self._infos):
            return [NOTHING_QUANTISED]
        return [] if self.backend.name == "tensorrt" or has_vnni() else [INEXACT_INT8]


def picture_side_px(settings: AnalysisSettings) -> int:
    """Long side of the picture that faces are looked for in; tiles are cut from a larger one."""
    return settings.long_side_px * (TILED_PICTURE_SCALE if settings.tiles else 1)


def detector_profiles(settings: AnalysisSettings) -> Profiles:
    """Sizes that a detector's compiled plan must work for. The second look is at the whole of a tiled picture too."""
    return Profiles.for_pictures(settings.long_side_px, picture_side_px(settings))


@cache
def _shipped_codebook() -> Codebook:
    """Read once: it never changes, and every camera of a gateway draws from it."""
    return Codebook.load(model_path("codebook-v1"), expected_sha256=entry("codebook-v1").sha256)


def _bounds(mechanism: Mechanism) -> dict[str, float]:
    row = bound_row(float(mechanism.epsilon), delta=mechanism.delta)
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _detect_tiled(detector: FaceDetector, picture_rgb_u8: UInt8Array) -> list[Detection]:
    """Look at the tiles of a picture, and at the whole of it at the size it would have without tiles."""
    scale = 1.0 / TILED_PICTURE_SCALE
    whole = cv2.resize(picture_rgb_u8, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return detect_tiled(detector, picture_rgb_u8, np.asarray(whole, dtype=np.uint8))
