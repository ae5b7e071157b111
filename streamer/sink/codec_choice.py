"""Which encoder, pixel format and options an output gets.

The input's codec family stays where there is an encoder for it that the container takes and that keeps the
depth; otherwise the least lossy replacement is taken, and the notices say so.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.container import OutputContainer

from streamer.errors import OutputError, SettingsError
from streamer.settings import EncodeSettings
from streamer.sink.containers import video_encoders
from streamer.sink.hardware import choose_hardware, hardware_wish
from streamer.sink.pixel_choice import Loss, is_plain_yuv, is_subsampled, loss, nearest
from streamer.source.info import StreamInfo

_log = logging.getLogger(__name__)
_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "theora": "theora",
    "prores": "prores_ks",
    "flv1": "flv",
    "h263": "h263p",
    "msmpeg4v3": "msmpeg4",
}
_SAME_NAME = [
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "mjpeg",
    "ffv1",
    "gif",
    "huffyuv",
    "ffvhuff",
    "utvideo",
    "qtrle",
    "wmv1",
    "wmv2",
    "msmpeg4v2",
    "rawvideo",
    "magicyuv",
    "png",
    "jpeg2000",
    "cfhd",
    "apng",
]
# Tried in this order where the input's own codec is not possible. The last two are for containers of the
# 1990s.
_REPLACEMENTS = (
    "libx264",
    "libx265",
    "libvpx-vp9",
    "libsvtav1",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "theora",
    "gif",
)
_NEEDS_EVEN = {"libx264", "libx265", "libsvtav1"}
# Codecs steered by a quantiser of 1 (best) to 31; 2 is visually lossless.
_QUANTISER = {
    "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "h263p", "flv", "wmv1", "wmv2", "msmpeg4", "msmpeg4v2",
}  # fmt: skip
_FASTEST_GOOD = {
    "libx264": {"preset": "veryfast", "crf": "18"},
    "libx265": {"preset": "veryfast", "crf": "20"},
    "libvpx": {"deadline": "good", "cpu-used": "4", "crf": "8", "b:v": "0", "qmin": "0", "auto-alt-ref": "0"},
    "libvpx-vp9": {"deadline": "good", "cpu-used": "5", "crf": "20", "b:v": "0", "row-mt": "1"},
    "libsvtav1": {"preset": "9", "crf": "22"},
    "theora": {},
    "prores_ks": {},
}
_X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
# Other names reach the encoder's own log, and an error of FFmpeg that names nothing.
_PRESETS = {
    "libx264": _X264_PRESETS,
    "libx265": _X264_PRESETS,
    "libsvtav1": tuple(str(number) for number in range(14)),
}
_CRF_MAX = {"libx264": 51, "libx265": 51, "libvpx": 63, "libvpx-vp9": 63, "libsvtav1": 63}


@dataclass(slots=True)
class EncoderChoice:
    """An encoder and how to drive it.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        pixel_format: of the frames it is given.
        options: of the encoder.
        device: kind of device that frames are uploaded to, for encoders that take no others.
        quantiser: fixed quantiser for encoders that have no crf, else None.
        notices: what differs from the input.
    """

    encoder: str
    pixel_format: str
    options: dict[str, str] = field(default_factory=dict)
    quantiser: float | None = None
    device: str | None = None
    notices: list[str] = field(default_factory=list)


def choose_encoder(
    info: StreamInfo, container: OutputContainer, settings: EncodeSettings, output: Path
) -> EncoderChoice:
    """Choose for this container. Raises OutputError; SettingsError for a wish that cannot be met.

    A wish for hardware that cannot be met is no error: it is done in software, with a notice and a warning.
    """
    own = (settings.codec or info.codec).lower()
    wish = hardware_wish(next((name for name, encoder in _ENCODERS.items() if encoder == own), own), settings)
    if wish is None:
        return _choose_software(info, container, settings, output)
    if settings.codec is not None and wish.family not in _ENCODERS:
        _encoder_named(settings.codec)
    if _ENCODERS.get(wish.family, wish.family) in video_encoders(container):
        hardware, problems = choose_hardware(info, wish, settings)
    else:
        hardware, problems = None, [f"{wish.family} does not go into {container.format.name}"]
    if hardware is not None:
        choice = EncoderChoice(
            hardware.encoder, hardware.pixel_format, hardware.options, device=hardware.device
        )
        choice.notices.append(f"encoded in hardware with {hardware.encoder}, after a trial")
        if info.mastering_display or info.content_light:
            choice.notices.append(f"{hardware.encoder} does not write the input's HDR metadata")
        return choice
    notice = f"no encoding in hardware ({'; '.join(problems)}); encoded in software"
    _log.warning("%s: %s", output.name, notice)
    family = None if settings.codec is None else wish.family
    # A preset of hardware says nothing to an encoder in software.
    choice = _choose_software(
        info, container, settings.model_copy(update={"codec": family, "preset": None}), output
    )
    choice.notices.insert(0, notice)
    return choice


def _choose_software(
    info: StreamInfo, container: OutputContainer, settings: EncodeSettings, output: Path
) -> EncoderChoice:
    allowed = video_encoders(container)
    if settings.codec is not None:
        encoder = _encoder_named(settings.codec)
        if encoder not in allowed:
            raise SettingsError(
                f"codec {settings.codec} does not go into {container.format.name}; try another, or .mkv"
            )
        candidates = [encoder]
    else:
        own = _ENCODERS.get(info.codec, info.codec if info.codec in _SAME_NAME else None)
        names = ([own] if own else []) + [name for name in _REPLACEMENTS if name != own]
        candidates = [name for name in names if _exists(name) and name in allowed]
    if not candidates:
        raise OutputError(
            f"{output}: no video codec here goes into {container.format.name}; use .mkv or .mp4"
        )
    own_first = settings.codec is None and candidates[0] == _ENCODERS.get(info.codec, info.codec)
    rated = [_rate(info, name, rank + (not own_first)) for rank, name in enumerate(candidates)]
    _, _, encoder, pixel_format = min(rated)
    choice = EncoderChoice(encoder, pixel_format)
    _note_changes(choice, info)
    _set_quality(choice, settings)
    return choice


def _rate(info: StreamInfo, encoder: str, rank: int) -> tuple[Loss, int, str, str]:
    """Order candidates by what they lose of the samples, then by their place in the list."""
    formats = _formats(encoder)
    if rank > 0:
        # A replacement must be playable: transparency and RGB inside video codecs are not.
        formats = tuple(name for name in formats if is_plain_yuv(name)) or formats
    odd = info.width % 2 or info.height % 2
    if odd and encoder in _NEEDS_EVEN:
        formats = tuple(name for name in formats if not is_subsampled(name)) or formats
    pixel_format = nearest(info.pixel_format, formats)
    cost = loss(info.pixel_format, pixel_format)
    if odd and encoder in _NEEDS_EVEN and is_subsampled(pixel_format):
        # Would have to be cropped: as bad as it gets.
        return Loss(depth_bits=99), rank, encoder, pixel_format
    # Transparency is no reason to change the codec: few have it.
    return Loss(cost.depth_bits, cost.chroma), rank, encoder, pixel_format


def _note_changes(choice: EncoderChoice, info: StreamInfo) -> None:
    own = _ENCODERS.get(info.codec, info.codec)
    if choice.encoder != own:
        choice.notices.append(f"video codec {info.codec} is not possible here; encoded with {choice.encoder}")
    cost = loss(info.pixel_format, choice.pixel_format)
    if choice.pixel_format != info.pixel_format:
        what = "no sample is coarser" if cost.is_lossless else "with a loss of depth, chroma or alpha"
        choice.notices.append(f"pixel format {info.pixel_format} becomes {choice.pixel_format}, {what}")


def _set_quality(choice: EncoderChoice, settings: EncodeSettings) -> None:
    encoder = choice.encoder
    choice.options.update(_FASTEST_GOOD.get(encoder, {}))
    if encoder in _QUANTISER:
        choice.quantiser = min(31.0, max(1.0, settings.crf)) if settings.crf is not None else 2.0
        if settings.preset is not None:
            raise SettingsError(f"encoder {encoder} has no presets; leave --preset out")
        return
    if settings.crf is not None:
        if encoder not in _CRF_MAX:
            raise SettingsError(f"encoder {encoder} has no crf; leave --crf out")
        if settings.crf > _CRF_MAX[encoder]:
            raise SettingsError(f"crf of {encoder} goes from 0 to {_CRF_MAX[encoder]}, got {settings.crf:g}")
        choice.options["crf"] = f"{settings.crf:g}"
    if settings.preset is not None:
        if encoder not in _PRESETS:
            raise SettingsError(f"encoder {encoder} has no presets; leave --preset out")
        if settings.preset not in _PRESETS[encoder]:
            known = ", ".join(_PRESETS[encoder])
            raise SettingsError(f"encoder {encoder} has no preset {settings.preset!r}; use {known}")
        choice.options["preset"] = settings.preset


def _encoder_named(codec: str) -> str:
    encoder = _ENCODERS.get(codec.lower(), codec.lower())
    if not _exists(encoder):
        raise SettingsError(f"codec {codec} is not known or has no encoder here; try h264, hevc, vp9 or av1")
    return encoder


@functools.lru_cache(maxsize=64)
def _exists(encoder: str) -> bool:
    try:
        return av.Codec(encoder, "w").type == "video"
    except (av.error.FFmpegError, ValueError):
        return False


@functools.lru_cache(maxsize=64)
def _formats(encoder: str) -> tuple[str, ...]:
    if encoder == "gif":
        # Frames get their palette just before the encoder.
        return ("bgra",)
    return tuple(item.name for item in av.Codec(encoder, "w").video_formats or ()) or ("yuv420p",)
