"""Encoders and hardware decoders, each proven by frames that it really encodes or decodes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial

import av

from streamer.doctor.check import Check, Verdict, tried
from streamer.settings import HardwareDecoding
from streamer.sink.hardware import FAMILIES
from streamer.sink.trial import encode_problem
from streamer.source.hardware import accelerator, decoder_for, devices, is_built_in, is_used

# Those an output gets by default, each with a format it takes.
_SOFTWARE = {
    "libx264": "yuv420p",
    "libx265": "yuv420p10le",
    "libsvtav1": "yuv420p",
    "libvpx-vp9": "yuv420p",
    "libvpx": "yuv420p",
    "mpeg4": "yuv420p",
    "mpeg2video": "yuv420p",
    "prores_ks": "yuv422p10le",
    "mjpeg": "yuvj420p",
    "ffv1": "yuv420p",
}
_ESSENTIAL = "libx264"
# Each with a format its encoders take.
_HARDWARE = {"nvenc": "yuv420p", "qsv": "nv12", "vaapi": "nv12", "videotoolbox": "nv12"}
_CLIP_FRAMES = 16


def check_encoders() -> Iterator[Check]:
    """Each encodes 16 frames into memory."""
    for encoder, pixel_format in _SOFTWARE.items():
        problem = encode_problem(encoder, pixel_format)
        verdict = Verdict.FAILED if problem else Verdict.OK
        yield Check("encoders", encoder, verdict, problem or "encodes", essential=encoder == _ESSENTIAL)
    for family in FAMILIES:
        for kind, pixel_format in _HARDWARE.items():
            device = "vaapi" if kind == "vaapi" else None
            problem = encode_problem(f"{family}_{kind}", pixel_format, device=device)
            verdict = Verdict.ABSENT if problem else Verdict.OK
            yield Check("hardware encoders", f"{family}_{kind}", verdict, problem or "encodes")


def check_hardware_decoding() -> Iterator[Check]:
    """Each way of decoding in hardware decodes a clip that was encoded here."""
    clip = io.BytesIO()
    made = tried("hardware decoders", "clip to decode", partial(_write_clip, clip))
    if made.verdict is not Verdict.OK:
        yield made
        return
    for device in devices(HardwareDecoding.AUTO):
        problem = _decode_problem(clip, device)
        verdict = Verdict.ABSENT if problem else Verdict.OK
        yield Check("hardware decoders", device.value, verdict, problem or "decodes H.264")


def _write_clip(file: io.BytesIO) -> str:
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(_ESSENTIAL, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(_CLIP_FRAMES):
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([60 + index]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return f"{_CLIP_FRAMES} frames"


def _decode_problem(file: io.BytesIO, device: HardwareDecoding) -> str:
    """Why the clip cannot be decoded there; empty when all its frames came from the device."""
    if not is_built_in(device):
        return "not built into this FFmpeg"
    file.seek(0)
    try:
        with av.open(file, hwaccel=accelerator(device)) as container:
            stream = container.streams.video[0]
            decoder = decoder_for(stream, device)
            packets = [*container.demux(stream)]
            frames = sum(len(decoder.decode(packet)) for packet in packets)
            if not is_used(decoder, device):
                return "decodes in software instead"
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
        return "no device or driver for it here"
    return "" if frames == _CLIP_FRAMES else f"{frames} frames came of {_CLIP_FRAMES}"
