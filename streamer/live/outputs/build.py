"""The outputs of a camera from its settings: one encoder for all that want the same encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from streamer.errors import SettingsError
from streamer.live.link import has_protocol
from streamer.live.outputs.encoder import LiveEncoder, codec_of
from streamer.live.outputs.hls import HlsMuxer
from streamer.live.outputs.muxer import Muxer
from streamer.live.outputs.output import PacketOutput
from streamer.live.outputs.preview import PreviewHub
from streamer.live.outputs.push import PushMuxer
from streamer.live.outputs.segments import SegmentMuxer
from streamer.live.settings import CameraSettings, HlsOutput, PreviewOutput, PushOutput, SegmentsOutput
from streamer.live.telemetry import CameraTelemetry
from streamer.settings import EncodeSettings


@dataclass(frozen=True, slots=True)
class Outputs:
    """What takes a camera's frames.

    Attributes:
        encoders: each with its outputs behind it.
        preview: None where there is none.
    """

    encoders: tuple[LiveEncoder, ...]
    preview: PreviewHub | None

    @property
    def all(self) -> tuple[LiveEncoder | PreviewHub, ...]:
        return self.encoders if self.preview is None else (*self.encoders, self.preview)


def check_outputs(camera: CameraSettings) -> None:
    """Raises SettingsError for encodings that an output cannot carry, and protocols that are not built in."""
    schemes = {camera.input.scheme, *(o.url.scheme for o in camera.outputs if isinstance(o, PushOutput))}
    for scheme in sorted(schemes):
        if not has_protocol(scheme):
            raise SettingsError(
                f"camera {camera.name!r}: this FFmpeg was built without {scheme}; "
                "use rtsp or rtmp, or a PyAV that is built on your own FFmpeg"
            )
    for output in camera.outputs:
        if isinstance(output, PreviewOutput):
            continue
        codec = codec_of(output.encode)
        if isinstance(output, PushOutput) and output.url.scheme in ("rtmp", "rtmps") and codec != "h264":
            raise SettingsError(f"camera {camera.name!r}: RTMP carries h264; take codec {codec} out")


def build_outputs(
    camera: CameraSettings, telemetry: CameraTelemetry, ask_for_key: Callable[[], None]
) -> Outputs:
    """Start the threads that encode and send. Raises SettingsError as `check_outputs`."""
    check_outputs(camera)
    groups: dict[EncodeSettings, list[PacketOutput]] = {}
    preview: PreviewHub | None = None
    for settings in camera.outputs:
        if isinstance(settings, PreviewOutput):
            preview = PreviewHub(camera.name, settings, telemetry)
            continue
        output = PacketOutput(
            camera.name,
            _name_of(settings),
            partial(_muxer, camera.name, settings),
            telemetry,
            ask_for_key,
            # One measures for all: a frame's delay is to be counted once.
            measures_delay=not groups,
        )
        groups.setdefault(settings.encode, []).append(output)
    encoders = [
        LiveEncoder(camera.name, encode, tuple(outputs), telemetry) for encode, outputs in groups.items()
    ]
    return Outputs(tuple(encoders), preview)


def _name_of(settings: PushOutput | HlsOutput | SegmentsOutput) -> str:
    """For the log, without credentials."""
    place = settings.url if isinstance(settings, PushOutput) else settings.folder
    return f"{settings.kind} {place}"


def _muxer(camera: str, settings: PushOutput | HlsOutput | SegmentsOutput) -> Muxer:
    if isinstance(settings, PushOutput):
        return PushMuxer(settings)
    if isinstance(settings, HlsOutput):
        return HlsMuxer(settings)
    return SegmentMuxer(camera, settings)
