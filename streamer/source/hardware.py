"""Decoding in hardware: which devices to try, and the proof that frames really come from one.

FFmpeg names a decoder "accelerated" as soon as a device could be opened, and decodes in software without a word when
the device does not take this stream. The proof is the first frame: only after it is known who decoded."""

from __future__ import annotations

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamer.settings import HardwareDecoding

_ORDER = (HardwareDecoding.CUDA, HardwareDecoding.QSV, HardwareDecoding.VAAPI)


def devices(wanted: HardwareDecoding) -> tuple[HardwareDecoding, ...]:
    """The kinds of devices to try, in order."""
    if wanted is HardwareDecoding.NONE:
        return ()
    return _ORDER if wanted is HardwareDecoding.AUTO else (wanted,)


def is_built_in(device: HardwareDecoding) -> bool:
    """Whether this FFmpeg can use such devices at all."""
    return device.value in hwdevices_available()


def accelerator(device: HardwareDecoding) -> HWAccel | None:
    """What a container is opened with; frames are copied into main memory, in the format the device stores them.

    Quick Sync has decoders of its own instead, see `decoder_for`.
    """
    return None if device is HardwareDecoding.QSV else HWAccel(device.value, allow_software_fallback=True)


def decoder_for(stream: VideoStream, device: HardwareDecoding) -> VideoCodecContext:
    """What decodes the packets of a stream. Raises ValueError where the device has no decoder for its codec."""
    if device is not HardwareDecoding.QSV:
        return stream.codec_context
    own = stream.codec_context
    context = av.CodecContext.create(f"{own.codec.canonical_name}_qsv", "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = own.extradata
    context.width, context.height = own.width, own.height
    context.pix_fmt = "nv12"
    return context


def is_used(decoder: VideoCodecContext, device: HardwareDecoding) -> bool:
    """Whether frames come from the device. Only true or false once the first frame has been decoded."""
    return device is HardwareDecoding.QSV or (decoder.is_hwaccel and decoder.pix_fmt == device.value)
