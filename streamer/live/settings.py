"""What a gateway is asked to do, checked before the first camera is opened. Read from a file by `config.py`."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from streamer.live.polygons import Polygon
from streamer.live.urls import PUSH_SCHEMES, SourceUrl
from streamer.settings import (
    AnalysisSettings,
    AnonymizeSettings,
    Decoder,
    DecoderTier,
    DetectorName,
    EncodeSettings,
    HardwareEncoding,
    Precision,
    PrivacySettings,
    ReplaceWith,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
SHORTEST_TOKEN = 16


class _Settings(BaseModel):
    # Inputs stay out of pydantic's own error texts: they may be URLs with a password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Transport(str, Enum):
    """How RTSP carries its media."""

    TCP = "tcp"
    UDP = "udp"


class LogFormat(str, Enum):
    """How log records are written to stderr."""

    TEXT = "text"
    JSON = "json"


def _in_software(encode: EncodeSettings) -> EncodeSettings:
    if encode.hardware is not HardwareEncoding.NONE:
        raise ValueError("live video is encoded in software; take hardware out")
    return encode


LiveEncode = Annotated[EncodeSettings, AfterValidator(_in_software)]


class PushOutput(_Settings):
    """Sends the stream to a server; the protocol is the URL's scheme (rtsp, rtsps, rtmp, rtmps, srt).

    Attributes:
        url: where to; may hold credentials.
        transport: for RTSP.
    """

    kind: Literal["push"]
    url: SourceUrl
    transport: Transport = Transport.TCP
    encode: LiveEncode = EncodeSettings()

    @field_validator("url")
    @classmethod
    def _can_be_pushed_to(cls, url: SourceUrl) -> SourceUrl:
        if url.scheme not in PUSH_SCHEMES:
            raise ValueError(f"cannot push to {url.scheme}; give a URL with {', '.join(PUSH_SCHEMES)}")
        return url


class HlsOutput(_Settings):
    """Writes an HLS playlist and its segments into a folder that a web server serves.

    Attributes:
        folder: gets `index.m3u8` and the segments.
        segment_seconds: length of a segment.
        keep: segments in the playlist; older ones are deleted.
    """

    kind: Literal["hls"]
    folder: Path
    segment_seconds: float = Field(default=2.0, ge=0.5, le=30.0)
    keep: int = Field(default=6, ge=3, le=10_000)
    encode: LiveEncode = EncodeSettings()


class SegmentsOutput(_Settings):
    """Records into files of a fixed length, each playable alone.

    Attributes:
        folder: gets the files.
        segment_seconds: length of a file.
        keep_seconds: files that ended longer ago than this are deleted; None keeps them.
        keep_bytes: the oldest files are deleted while all together take more than this; None sets no limit.
    """

    kind: Literal["segments"]
    folder: Path
    segment_seconds: float = Field(default=300.0, ge=1.0, le=86_400.0)
    keep_seconds: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    keep_bytes: int | None = Field(default=None, ge=1_000_000)
    encode: LiveEncode = EncodeSettings()


class PreviewOutput(_Settings):
    """Small anonymized JPEG pictures for the web page.

    Attributes:
        jpeg_quality: 1 to 95.
        max_fps: at most so many pictures a second.
        width: of the picture, px; smaller ones are not enlarged.
    """

    kind: Literal["preview"]
    jpeg_quality: int = Field(default=75, ge=1, le=95)
    max_fps: float = Field(default=5.0, gt=0.0, le=30.0)
    width: int = Field(default=640, ge=64, le=1920)


OutputSettings = Annotated[
    PushOutput | HlsOutput | SegmentsOutput | PreviewOutput, Field(discriminator="kind")
]


class CameraSettings(_Settings):
    """One camera.

    Attributes:
        name: unique; stands in file names, metrics and the ledger's stream.
        input: where the pictures come from.
        outputs: where the anonymized pictures go.
        transport: for RTSP.
        look_ahead_seconds: how long pictures are held back, so that a face found late is covered from before it was
            found. It adds to the delay.
        privacy: how synthetic people are drawn; its scope is the camera's name unless given.
        replace_with: what stands in the place of a face.
        analysis: how faces are found; the detector is the gateway's, the look-ahead the camera's.
        zones: always covered, whatever is there.
        ignore: no face is looked for in there (posters, a screen).
        read_timeout_seconds: a connection that gives nothing for this long is lost.
        stall_seconds: without a picture for this long the camera counts as stalled, and the placeholder stands in.
    """

    name: str
    input: SourceUrl
    outputs: tuple[OutputSettings, ...] = Field(min_length=1)
    transport: Transport = Transport.TCP
    look_ahead_seconds: float = Field(default=0.5, ge=0.0, le=5.0)
    privacy: PrivacySettings = PrivacySettings()
    replace_with: ReplaceWith = ReplaceWith.SYNTHETIC
    analysis: AnalysisSettings = AnalysisSettings()
    zones: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    read_timeout_seconds: float = Field(default=5.0, ge=0.5, le=120.0)
    stall_seconds: float = Field(default=2.0, ge=0.2, le=60.0)

    @field_validator("name")
    @classmethod
    def _safe_as_file_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                "a name has 1 to 63 letters (a to z), digits, '.', '_' or '-', and begins with a letter or digit"
            )
        return name

    @field_validator("analysis")
    @classmethod
    def _given_elsewhere(cls, analysis: AnalysisSettings) -> AnalysisSettings:
        if "detector" in analysis.model_fields_set:
            raise ValueError("detector is shared by all cameras; give it once, beside cameras")
        if "look_ahead_seconds" in analysis.model_fields_set:
            raise ValueError("give look_ahead_seconds beside the camera's name")
        return analysis

    @model_validator(mode="after")
    def _consistent(self) -> CameraSettings:
        if sum(isinstance(output, PreviewOutput) for output in self.outputs) > 1:
            raise ValueError("a camera has at most one preview")
        return self


class WebSettings(_Settings):
    """The web page, metrics and health checks.

    Attributes:
        host: address to listen on.
        port: 0 takes a free one.
        token: whoever shows it may look; needed for any host that others can reach.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65_535)
    token: SecretStr | None = None

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(
                f"a token has at least {SHORTEST_TOKEN} characters; make one with: openssl rand -hex 32"
            )
        return token

    @model_validator(mode="after")
    def _token_for_others(self) -> WebSettings:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines: set token, or listen on 127.0.0.1"
            )
        return self


class GatewaySettings(_Settings):
    """A gateway: its cameras, and what they share.

    Attributes:
        web: None serves nothing.
        ledger: file that takes one line per draw of every camera that names none of its own.
        engine, require_gpu, precision, engine_timeout_seconds, threads, decoder, teacher: see `AnonymizeSettings`.
        log_format: of standard error.
    """

    cameras: tuple[CameraSettings, ...] = Field(min_length=1)
    web: WebSettings | None = None
    ledger: Path | None = None
    detector: DetectorName = DetectorName.RETINAFACE
    engine: str = "auto"
    require_gpu: bool = False
    precision: Precision = Precision.AUTO
    engine_timeout_seconds: float = Field(default=30.0, gt=0.0)
    threads: int = Field(default=1, ge=0, le=64)
    decoder: Decoder = DecoderTier.REALTIME
    teacher: Path | None = None
    log_format: LogFormat = LogFormat.TEXT

    @model_validator(mode="after")
    def _consistent(self) -> GatewaySettings:
        names = Counter(camera.name.lower() for camera in self.cameras)
        twice = [camera.name for camera in self.cameras if names[camera.name.lower()] > 1]
        if twice:
            raise ValueError(f"two cameras are named {twice[0]!r}; names must differ in more than case")
        _check_places(self.cameras)
        for camera in self.cameras:
            self.anonymize_settings(camera)
        return self

    def anonymize_settings(self, camera: CameraSettings) -> AnonymizeSettings:
        """What the toolkit is given for a camera: its own settings and the shared ones."""
        privacy = camera.privacy.model_copy(
            update={
                "ledger": camera.privacy.ledger or self.ledger,
                "scope": camera.privacy.scope if "scope" in camera.privacy.model_fields_set else camera.name,
            }
        )
        analysis = camera.analysis.model_copy(
            update={"detector": self.detector, "look_ahead_seconds": camera.look_ahead_seconds}
        )
        try:
            return AnonymizeSettings(
                replace_with=camera.replace_with,
                privacy=privacy,
                analysis=analysis,
                decoder=self.decoder,
                teacher=self.teacher,
                engine=self.engine,
                require_gpu=self.require_gpu,
                precision=self.precision,
                engine_timeout_seconds=self.engine_timeout_seconds,
                threads=self.threads,
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(first["msg"].removeprefix("Value error, ")) from None

    def secrets(self) -> frozenset[str]:
        """Every text that must not appear in a log: see `SourceUrl.secrets`, and the token."""
        found: set[str] = set()
        for camera in self.cameras:
            found |= camera.input.secrets()
            for output in camera.outputs:
                if isinstance(output, PushOutput):
                    found |= output.url.secrets()
        if self.web is not None and self.web.token is not None:
            found.add(self.web.token.get_secret_value())
        return frozenset(found)


def is_loopback(host: str) -> bool:
    """True when only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_places(cameras: tuple[CameraSettings, ...]) -> None:
    """No two outputs share a place, and none is an input. Raises ValueError."""
    taken: dict[Any, str] = {}
    inputs = {camera.input for camera in cameras if camera.input.is_network}
    for camera in cameras:
        for output in camera.outputs:
            if isinstance(output, PreviewOutput):
                continue
            place = output.url if isinstance(output, PushOutput) else output.folder.resolve()
            if place in inputs:
                raise ValueError(f"camera {camera.name!r} writes to {place}, which is also an input")
            for other, owner in taken.items():
                if _overlap(place, other):
                    raise ValueError(
                        f"cameras {owner!r} and {camera.name!r} write to the same place ({place}); "
                        "give each output its own"
                        if owner != camera.name
                        else f"camera {camera.name!r} has two outputs that write to the same place ({place})"
                    )
            taken[place] = camera.name


def _overlap(first: SourceUrl | Path, second: SourceUrl | Path) -> bool:
    """Folders inside one another overlap as well: retention deletes files."""
    if isinstance(first, Path) and isinstance(second, Path):
        return first == second or first in second.parents or second in first.parents
    return first == second
