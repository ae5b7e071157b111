"""Proof that an encoder works: it encodes a few frames into memory, here and now.

FFmpeg lists encoders it was built with, whether or not the machine has what they need: a GPU, a driver, a free session.
Only a real encode tells."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import av
from av.codec.hwaccel import HWAccel

from streamer.redact import reason_of
from streamer.sink.silence import silenced

TRIAL_FRAMES = 16
_TRIAL_SIZE = (320, 240)
_RATE = Fraction(25)


def encode_problem(
    encoder: str,
    pixel_format: str,
    *,
    size: tuple[int, int] = _TRIAL_SIZE,
    options: Mapping[str, str] | None = None,
    device: str | None = None,
    frames: int = TRIAL_FRAMES,
) -> str:
    """Why this encoder cannot be used, in a few words; empty when every frame came out as a packet.

    Args:
        size: width and height; limits of hardware depend on them.
        device: kind of device that frames are uploaded to ("vaapi"), for encoders that take no others.
    """
    try:
        packets = sum(
            packet.size > 0 for packet in _encode(encoder, pixel_format, size, options, device, frames)
        )
    except av.codec.codec.UnknownCodecError:
        return "not built into this FFmpeg"
    except PermissionError:
        # What FFmpeg makes of a driver that cannot be loaded.
        return "no device or driver for it here"
    # PyAV before 18.1 has no devices for encoders and says so by a NotImplementedError.
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError) as error:
        return reason_of(error)
    return "" if packets == frames else f"{packets} packets came of {frames} frames"


def _encode(
    encoder: str,
    pixel_format: str,
    size: tuple[int, int],
    options: Mapping[str, str] | None,
    device: str | None,
    frames: int,
) -> list[av.Packet[av.VideoStream]]:
    hwaccel = None if device is None else HWAccel(device)
    context = av.CodecContext.create(encoder, "w", hwaccel=hwaccel)
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt = pixel_format
    context.time_base, context.framerate = 1 / _RATE, _RATE
    context.options = silenced(encoder, options or {})
    packets = []
    for index in range(frames):
        frame = av.VideoFrame(*size, pixel_format)
        # Changing, or an encoder that drops repeated frames would look broken; and within the depth of deep samples.
        level = 40 + 8 * index % 128 if frame.format.components[0].bits == 8 else index % 4
        for plane in frame.planes:
            plane.update(bytes([level]) * plane.buffer_size)
        frame.pts = index
        packets += context.encode(frame)
    return packets + context.encode(None)
