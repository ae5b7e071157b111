"""Encoders in hardware: NVIDIA's NVENC, Intel's Quick Sync, and VA-API.

They are taken only when asked for, and only after a trial encode at the picture's own size, format and settings. What
they cannot keep (depth, chroma, odd sizes) is left to the software encoder, which can."""

from __future__ import annotations

from dataclasses import dataclass, field

import av

from streamer.errors import SettingsError
from streamer.settings import EncodeSettings, HardwareEncoding
from streamer.sink.pixel_choice import is_subsampled, loss, nearest
from streamer.sink.trial import encode_problem
from streamer.source.info import StreamInfo

FAMILIES = ("h264", "hevc")
TRIAL_FRAMES = 8
# For encoders that take nothing but frames on their device, the formats that are uploaded.
_UPLOADED_FORMATS = ("nv12", "p010le")


@dataclass(frozen=True)
class _Steering:
    """How an encoder is told what --crf and --preset mean.

    Attributes:
        quality: the option that holds a constant quantiser, on the scale of H.264 (0 to 51).
        device: kind of device that frames are uploaded to; None where the encoder does that itself.
    """

    quality: str
    presets: tuple[str, ...] = ()
    device: str | None = None
    options: dict[str, str] = field(default_factory=dict)


# Constant quantisers, visually lossless by default as the software encoders' are. No B-frames: some of these encoders
# give packets without the order in which they are decoded.
_STEERING = {
    HardwareEncoding.NVENC: _Steering(
        "qp",
        ("p1", "p2", "p3", "p4", "p5", "p6", "p7"),
        options={"rc": "constqp", "qp": "19", "preset": "p4", "bf": "0"},
    ),
    HardwareEncoding.QSV: _Steering(
        "global_quality",
        ("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
        options={"global_quality": "19", "bf": "0"},
    ),
    HardwareEncoding.VAAPI: _Steering(
        "qp", device="vaapi", options={"rc_mode": "CQP", "qp": "19", "bf": "0"}
    ),
}
_LARGEST_QUALITY = 51


@dataclass(frozen=True, slots=True)
class HardwareWish:
    """What was asked for.

    Attributes:
        family: codec family the encoder is for.
        kinds: in the order to be tried.
    """

    family: str
    kinds: tuple[HardwareEncoding, ...]

    @property
    def encoders(self) -> tuple[str, ...]:
        """FFmpeg's names."""
        return tuple(f"{self.family}_{kind.value}" for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class HardwareChoice:
    """A proven encoder and how to drive it; see `EncoderChoice`."""

    encoder: str
    pixel_format: str
    options: dict[str, str]
    device: str | None


def hardware_wish(codec: str | None, settings: EncodeSettings) -> HardwareWish | None:
    """What the settings ask of hardware, None when nothing.

    Args:
        codec: codec family to encode: the one asked for, else the input's.
    """
    family, _, suffix = (settings.codec or "").lower().partition("_")
    kinds = tuple(_STEERING)
    named = next((kind for kind in kinds if kind.value == suffix), None)
    if named is not None:
        return HardwareWish(family, (named,))
    if settings.hardware is HardwareEncoding.NONE:
        return None
    wanted = kinds if settings.hardware is HardwareEncoding.AUTO else (settings.hardware,)
    return HardwareWish(codec or "", wanted)


def choose_hardware(
    info: StreamInfo, wish: HardwareWish, settings: EncodeSettings
) -> tuple[HardwareChoice | None, list[str]]:
    """The first of the wished encoders that proves to work for this picture, and why the others do not.

    Raises:
        SettingsError: a preset or quality that no such encoder has.
    """
    if wish.family not in FAMILIES:
        return None, [
            f"no hardware encoder for {wish.family or 'this codec'}, only for {', '.join(FAMILIES)}"
        ]
    problems = []
    for kind, encoder in zip(wish.kinds, wish.encoders, strict=True):
        choice = _drive(info, kind, encoder, settings)
        problem = choice if isinstance(choice, str) else _trial(choice, info)
        if not problem and not isinstance(choice, str):
            return choice, []
        problems.append(f"{encoder}: {problem}")
    return None, problems


def _drive(
    info: StreamInfo, kind: HardwareEncoding, encoder: str, settings: EncodeSettings
) -> HardwareChoice | str:
    """How to drive this encoder, or why it cannot keep the picture."""
    steering = _STEERING[kind]
    options = dict(steering.options)
    if settings.crf is not None:
        if settings.crf > _LARGEST_QUALITY:
            raise SettingsError(
                f"quality of {encoder} goes from 0 to {_LARGEST_QUALITY}, got {settings.crf:g}"
            )
        options[steering.quality] = f"{settings.crf:.0f}"
    if settings.preset is not None:
        if settings.preset not in steering.presets:
            remedy = f"use {', '.join(steering.presets)}" if steering.presets else "leave --preset out"
            raise SettingsError(f"encoder {encoder} has no preset {settings.preset!r}; {remedy}")
        options["preset"] = settings.preset
    formats = _software_formats(encoder)
    if isinstance(formats, str):
        return formats
    pixel_format = nearest(info.pixel_format, formats)
    cost = loss(info.pixel_format, pixel_format)
    if cost.depth_bits or cost.chroma:
        return f"takes {pixel_format} at best, which is coarser than {info.pixel_format}"
    if (info.width % 2 or info.height % 2) and is_subsampled(pixel_format):
        return f"an odd size of {info.width}x{info.height} would be cropped"
    return HardwareChoice(encoder, pixel_format, options, steering.device)


def _software_formats(encoder: str) -> tuple[str, ...] | str:
    """Pixel formats in main memory that the encoder takes, or why there are none."""
    try:
        listed = av.Codec(encoder, "w").video_formats or ()
    except (av.error.FFmpegError, ValueError):
        return "not built into this FFmpeg"
    # Frames on a device have no components to describe.
    plain = tuple(item.name for item in listed if av.VideoFormat(item.name, 64, 64).components)
    return plain or _UPLOADED_FORMATS


def _trial(choice: HardwareChoice, info: StreamInfo) -> str:
    return encode_problem(
        choice.encoder,
        choice.pixel_format,
        size=(info.width, info.height),
        options=choice.options,
        device=choice.device,
        frames=TRIAL_FRAMES,
    )
