"""What a user can ask of a job, checked before the first frame is read."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from calibration.errors import CalibrationError
from calibration.names import check_name
from engines.backends import BACKENDS
from streamer.errors import SettingsError


class ReplaceWith(str, Enum):
    """What stands in the place of a face."""

    SYNTHETIC = "synthetic"
    SOLID = "solid"
    PIXELATE = "pixelate"
    BLUR = "blur"


class Mode(str, Enum):
    """What the synthetic person has to do with the real one."""

    ANONYMIZE = "anonymize"
    HIDE = "hide"


class MechanismName(str, Enum):
    """Mechanisms that choose a synthetic person from the codebook."""

    UNIFORM = "uniform"
    CODEBOOK = "codebook"
    PRIVUNIT = "privunit"
    LAPLACE = "laplace"
    GAUSSIAN = "gaussian"
    VMF = "vmf"


class DetectorName(str, Enum):
    """Face detectors that can be asked for."""

    RETINAFACE = "retinaface"
    YUNET = "yunet"
    CENTERFACE = "centerface"
    RETINA_FACE_PACKAGE = "retina-face-package"


# What says nothing in mode `hide`.
EPSILON_OPTIONS = ("mechanism", "epsilon", "delta", "budget", "delta_budget")


class PrivacySettings(BaseModel):
    """How the identity of a track is drawn and accounted for.

    Attributes:
        mode: `anonymize` draws under epsilon; `hide` rotates the code by a key instead, has no epsilon and is keyed
            pseudonymisation: who holds the key can match.
        mechanism: `codebook` draws near the track's own code with a bounded preference; `uniform` ignores the face;
            the others, for comparison, disturb the code and take the nearest person.
        epsilon: privacy parameter of one track's draw (natural logarithm of the largest likelihood ratio); `uniform`
            has none.
        delta: of the mechanism `gaussian`; the others have none.
        allow_large_epsilon: accept an epsilon above 8, whose statement is empty in practice.
        key_file: makes the draws replayable for whoever holds the key; the claim is then computational. With `hide`,
            the key of the rotation.
        ledger: file that takes one line per draw; None keeps the ledger in memory for the report alone.
        scope: name under which epsilon is summed in the ledger. With `hide`, the purpose: another scope is another
            rotation under the same key.
        budget: largest sum of epsilon in the scope; faces are masked once it is spent. None sets no limit.
        delta_budget: the same for delta; with `gaussian` both are needed, or none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Mode.ANONYMIZE
    mechanism: MechanismName = MechanismName.CODEBOOK
    epsilon: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    delta: float = Field(default=1e-6, gt=0.0, lt=1.0)
    allow_large_epsilon: bool = False
    key_file: Path | None = None
    ledger: Path | None = None
    scope: str = Field(default="default", min_length=1, max_length=200)
    budget: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    delta_budget: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    codebook: Path | None = None

    @field_validator("scope")
    @classmethod
    def _carries_no_credentials(cls, scope: str) -> str:
        try:
            check_name("scope", scope)
        except CalibrationError as error:
            raise ValueError(str(error)) from None
        return scope

    @model_validator(mode="after")
    def _hide_states_no_epsilon(self) -> PrivacySettings:
        if self.mode is Mode.HIDE:
            if self.key_file is None:
                raise ValueError("mode hide needs a key_file; make one with `veilstream key new`")
            if needless := sorted(name for name in EPSILON_OPTIONS if name in self.model_fields_set):
                raise ValueError(f"mode hide has no epsilon: take out {', '.join(needless)}")
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> PrivacySettings:
        if self.mode is Mode.HIDE:
            return self
        if unused := sorted(self.unused_options() & self.model_fields_set):
            raise ValueError(
                f"mechanism {self.mechanism.value} has no {' and no '.join(unused)}: take it out"
            )
        return self

    def unused_options(self) -> set[str]:
        """Settings that say nothing with this mode and mechanism."""
        if self.mode is Mode.HIDE:
            return set(EPSILON_OPTIONS)
        if self.mechanism is MechanismName.GAUSSIAN:
            return set()
        return {"delta", "epsilon"} if self.mechanism is MechanismName.UNIFORM else {"delta"}

    @model_validator(mode="after")
    def _budget_limits_what_is_spent(self) -> PrivacySettings:
        if self.mechanism is MechanismName.GAUSSIAN and (self.budget is None) != (self.delta_budget is None):
            raise ValueError("gaussian spends epsilon and delta: give budget and delta_budget, or neither")
        return self


class AnalysisSettings(BaseModel):
    """How faces are found and followed.

    Attributes:
        detector: which detector.
        score_threshold: detections at least this sure are covered and start tracks.
        continue_threshold: detections at least this sure may continue a track.
        long_side_px: long side of the picture shown to the detector.
        cover_doubtful: cover also what the detector alone takes for a face and three other looks deny (see
            `engines.detectors.doubt`), such as a pattern on a shirt.
        tiles: cut the picture into overlapping tiles as well, for small faces; costs time.
        detect_every: run the detector on every n-th frame.
        look_ahead_seconds: how long frames wait, so that a face found late is covered from before it was found.
        hold_seconds: how long a face stays covered after it was last found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: DetectorName = DetectorName.RETINAFACE
    score_threshold: float = Field(default=0.5, gt=0.0, lt=1.0)
    continue_threshold: float = Field(default=0.25, gt=0.0, lt=1.0)
    long_side_px: int = Field(default=640, ge=128, le=4096)
    cover_doubtful: bool = False
    tiles: bool = False
    detect_every: int = Field(default=1, ge=1, le=30)
    look_ahead_seconds: float = Field(default=0.4, ge=0.0, le=5.0)
    hold_seconds: float = Field(default=0.4, ge=0.0, le=5.0)

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> AnalysisSettings:
        if self.continue_threshold > self.score_threshold:
            raise ValueError(
                f"continue_threshold ({self.continue_threshold}) must not exceed "
                f"score_threshold ({self.score_threshold})"
            )
        return self


class HardwareEncoding(str, Enum):
    """Kinds of encoders in hardware; the values are FFmpeg's."""

    NONE = "none"
    AUTO = "auto"
    NVENC = "nvenc"
    QSV = "qsv"
    VAAPI = "vaapi"


class HardwareDecoding(str, Enum):
    """Kinds of decoders in hardware; the values are FFmpeg's."""

    NONE = "none"
    AUTO = "auto"
    CUDA = "cuda"
    QSV = "qsv"
    VAAPI = "vaapi"


class EncodeSettings(BaseModel):
    """How the output is encoded. None keeps what the input has, or the encoder's good default.

    Attributes:
        codec: codec family, or an encoder by FFmpeg's name.
        hardware: encode in hardware where a trial shows that it works; in software, with a notice, where not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: str | None = None
    crf: float | None = Field(default=None, ge=0, le=63)
    preset: str | None = None
    hardware: HardwareEncoding = HardwareEncoding.NONE


class Precision(str, Enum):
    """What the models compute in."""

    AUTO = "auto"
    FLOAT = "float"
    FP16 = "fp16"
    INT8 = "int8"


class DecoderTier(str, Enum):
    """How finely synthetic people are drawn."""

    REALTIME = "realtime"
    QUALITY = "quality"


# A tier by its name; whatever else is given is a file.
Decoder = Annotated[DecoderTier | Path, Field(union_mode="left_to_right")]


class AnonymizeSettings(BaseModel):
    """Everything that decides what an anonymized file looks like.

    Attributes:
        decoder: `realtime` draws from the codebook's pictures of 256 px; `quality` draws large faces from pictures of
            512 px, which the teacher generator (non-commercial lineage, fetched by the user) renders in a thread;
            or another face decoder as an ONNX file.
        teacher: with `quality`, the folder of the teacher's files in place of the fetched ones.
        hardware_decoding: decode in hardware where that works; in software, with a notice, where not.
        engine: inference backend; `auto` takes the fastest that can be used here.
        require_gpu: fail rather than compute on the CPU.
        precision: `auto` is `fp16` on TensorRT, `int8` on a CPU with VNNI, else `float`; `int8` takes the quantised
            version of each model that has one. See `engines.precision.choose_precision`.
        engine_timeout_seconds: an engine that does not answer for this long is taken for dead, and faces are masked.
        threads: threads of each engine; 0 takes as many as this process may use CPUs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    replace_with: ReplaceWith = ReplaceWith.SYNTHETIC
    privacy: PrivacySettings = PrivacySettings()
    analysis: AnalysisSettings = AnalysisSettings()
    encode: EncodeSettings = EncodeSettings()
    hardware_decoding: HardwareDecoding = HardwareDecoding.NONE
    decoder: Decoder = DecoderTier.REALTIME
    teacher: Path | None = None
    engine: str = "auto"
    require_gpu: bool = False
    precision: Precision = Precision.AUTO
    engine_timeout_seconds: float = Field(default=30.0, gt=0.0)
    threads: int = Field(default=1, ge=0, le=64)

    def files(self) -> list[tuple[str, Path | None]]:
        """The files that a job reads beside its inputs, by what they are; the ledger is written too."""
        ledger, privacy = self.privacy.ledger, self.privacy
        return [
            ("the ledger", ledger),
            ("the head of the ledger", None if ledger is None else ledger.with_name(f"{ledger.name}.head")),
            ("the key file", privacy.key_file),
            ("the codebook", privacy.codebook),
            ("the decoder", None if isinstance(self.decoder, DecoderTier) else self.decoder),
        ]

    @field_validator("decoder", mode="before")
    @classmethod
    def _no_file_is_realtime(cls, value: object) -> object:
        return DecoderTier.REALTIME if value is None else value

    @model_validator(mode="after")
    def _teacher_renders_for_quality(self) -> AnonymizeSettings:
        if self.teacher is not None and self.decoder is not DecoderTier.QUALITY:
            raise ValueError(
                "teacher is used by decoder quality alone: take it out, or set decoder to quality"
            )
        return self

    @field_validator("engine")
    @classmethod
    def _engine_known(cls, value: str) -> str:
        if value not in BACKENDS:
            raise ValueError(f"engine must be one of {', '.join(BACKENDS)}, got {value!r}")
        return value


def make_settings(**values: object) -> AnonymizeSettings:
    """Build settings from plain values; raises SettingsError with one line that names the first wrong option."""
    try:
        return AnonymizeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where}: {message}") from None
