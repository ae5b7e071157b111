"""What a job needs besides its files: engines, codebook, ledger. Opened once, shared by all files of a batch."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from calibration.assign import IdentityAssigner
from calibration.bounds import bound_row, check_epsilon
from calibration.codebook import Codebook
from calibration.keys import load_key
from calibration.ledger import FileLedger, Ledger, MemoryLedger
from calibration.mechanisms import CodebookMechanism, DiscreteMechanism, UniformMechanism
from engines.backends import BackendName, open_engine
from engines.contract import Engine, EngineInfo
from engines.decoder import FaceDecoder
from engines.detectors import Detection, FaceDetector, create_detector, detect_tiled
from engines.detectors.doubt import Detect, DoubtingDetector
from engines.guard import GuardedEngine
from engines.identity import IdentityEncoder
from engines.landmarks import FaceMesh, IrisLandmarks
from engines.zoo.registry import entry, model_path, open_model
from streamer.errors import SettingsError
from streamer.frame import UInt8Array
from streamer.identity import IdentityKeeper
from streamer.render.lids import LidReader
from streamer.render.renderer import SyntheticRenderer
from streamer.settings import AnonymizeSettings, DetectorName, MechanismName, PrivacySettings, ReplaceWith

# What a second detector is asked for when it is to deny a face: it should say yes easily.
SECOND_LOOK_THRESHOLD = 0.3
# Tiles are cut from a picture this many times larger than the one shown as a whole.
TILED_PICTURE_SCALE = 3


@dataclass(slots=True)
class SyntheticTools:
    """What only synthetic replacement needs."""

    mesh: FaceMesh
    lids: LidReader
    decoder: FaceDecoder
    encoder: IdentityEncoder | None
    codebook: Codebook
    mechanism: DiscreteMechanism

    def renderer(self, keeper: IdentityKeeper) -> SyntheticRenderer:
        """A renderer with tracks of its own."""
        return SyntheticRenderer(self.mesh, self.lids, self.decoder, keeper)


class Toolkit:
    """Engines, codebook and ledger of a job.

    Raises (from the constructor):
        SettingsError: options that cannot be honoured.
        EngineError, CalibrationError: a model, key, codebook or ledger that cannot be opened.
    """

    def __init__(self, settings: AnonymizeSettings) -> None:
        self.settings = settings
        self._threads = settings.threads or os.cpu_count() or 1
        self._infos: list[dict[str, Any]] = []
        self._engines: list[Engine] = []
        self._detectors: list[FaceDetector] = []
        self._mesh_engine = self._open("face-mesh", "landmarks")
        self.detect = self._open_detect()
        self.ledger: Ledger = MemoryLedger()
        self._key: bytes | None = None
        self.synthetic: SyntheticTools | None = None
        self.warnings: list[str] = []
        if settings.replace_with is ReplaceWith.SYNTHETIC:
            self.synthetic = self._open_synthetic(settings.privacy)
        # Without a key each run is a session of its own; with one, the same input gets the same draws again.
        self._session = secrets.token_hex(8) if self._key is None else "keyed"

    @property
    def picture_side_px(self) -> int:
        """Long side of the picture `detect` wants; tiles are cut from a larger one."""
        settings = self.settings.analysis
        return settings.long_side_px * (TILED_PICTURE_SCALE if settings.tiles else 1)

    @property
    def denied_detections(self) -> int:
        """Detections that three other looks denied, so far; see `engines.detectors.doubt`."""
        return self.detect.denied if isinstance(self.detect, DoubtingDetector) else 0

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
            key=self._key,
        )
        keeper = IdentityKeeper(
            assigner, tools.codebook, tools.encoder, stream=stream, horizon_frames=horizon_frames
        )
        return tools.renderer(keeper), keeper

    def close(self) -> None:
        """Let go of the engines."""
        for detector in self._detectors:
            detector.close()
        for engine in self._engines:
            engine.close()

    def describe(self) -> dict[str, Any]:
        """Models and privacy of the job, for the report."""
        described: dict[str, Any] = {"models": self._infos}
        if self.synthetic is not None:
            mechanism = self.synthetic.mechanism
            row = bound_row(float(mechanism.epsilon))
            described["privacy"] = {
                "mechanism": mechanism.describe(),
                "unit": "one track",
                "scope": self.settings.privacy.scope,
                "epsilon_spent_in_scope": float(self.ledger.spent(self.settings.privacy.scope)),
                "ledger_head": self.ledger.head,
                "codebook_sha256": self.synthetic.codebook.sha256,
                "codebook_size": self.synthetic.codebook.size,
                "bounds": {name: getattr(row, name) for name in row.__dataclass_fields__},
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
        detector = create_detector(
            name.value,
            score_threshold=score_threshold,
            threads=self._threads,
            backend=self._backend,
            timeout_seconds=self.settings.engine_timeout_seconds,
        )
        self._note(name.value, "detector", detector.describe())
        self._detectors.append(detector)
        return detector

    def _open_synthetic(self, privacy: PrivacySettings) -> SyntheticTools:
        warning = check_epsilon(privacy.epsilon, privacy.allow_large_epsilon)
        if warning is not None:
            self.warnings.append(warning)
        if privacy.mechanism is MechanismName.UNIFORM:
            mechanism: DiscreteMechanism = UniformMechanism()
        else:
            mechanism = CodebookMechanism(str(privacy.epsilon))
        codebook = self._open_codebook(privacy.codebook)
        if privacy.key_file is not None:
            if privacy.ledger is None:
                raise SettingsError(
                    "key-file: replayable draws need a ledger file to replay from; give --ledger"
                )
            self._key = load_key(privacy.key_file)
        if privacy.ledger is not None:
            self.ledger = FileLedger(privacy.ledger)
        encoder = IdentityEncoder(self._open("sface", "identity encoder")) if mechanism.needs_code else None
        return SyntheticTools(
            FaceMesh(self._mesh_engine),
            LidReader(IrisLandmarks(self._open("iris", "lids"))),
            FaceDecoder(self._open_decoder()),
            encoder,
            codebook,
            mechanism,
        )

    def _open_codebook(self, path: Path | None) -> Codebook:
        if path is not None:
            return Codebook.load(path)
        return Codebook.load(model_path("codebook-v1"), expected_sha256=entry("codebook-v1").sha256)

    def _open_decoder(self) -> Engine:
        if self.settings.decoder is None:
            return self._open("decoder-v1", "decoder")
        engine = open_engine(self.settings.decoder, backend=self._backend, threads=self._threads)
        return self._guarded(engine, str(self.settings.decoder.name), "decoder")

    def _open(self, name: str, role: str) -> Engine:
        return self._guarded(open_model(name, backend=self._backend, threads=self._threads), name, role)

    def _guarded(self, engine: Engine, name: str, role: str) -> Engine:
        self._note(name, role, engine.describe())
        guarded = GuardedEngine(engine, timeout_seconds=self.settings.engine_timeout_seconds)
        self._engines.append(guarded)
        return guarded

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

    @property
    def _backend(self) -> BackendName:
        return cast(BackendName, self.settings.engine)


def _detect_tiled(detector: FaceDetector, picture_rgb_u8: UInt8Array) -> list[Detection]:
    """Look at the tiles of a picture, and at the whole of it at the size it would have without tiles."""
    scale = 1.0 / TILED_PICTURE_SCALE
    whole = cv2.resize(picture_rgb_u8, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return detect_tiled(detector, picture_rgb_u8, np.asarray(whole, dtype=np.uint8))
