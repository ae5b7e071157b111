"""Scenes as video files."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from calibration.scenes.scene import SceneFrame

_RATE_HZ = 48_000
_TONE_HZ = 440.0
_AUDIO_BLOCK = 1024


def write_clip(
    path: Path,
    frames: Iterable[SceneFrame],
    *,
    frames_per_second: int = 25,
    crf: int = 20,
    tone: bool = False,
) -> int:
    """Encode frames as H.264 in a container that the suffix of `path` names, optionally with a tone in AAC.

    Returns:
        The number of frames written. Raises ValueError when there is none, or when a side is odd (4:2:0 needs
        even).
    """
    import av

    count = 0
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=frames_per_second, options={"crf": str(crf)})
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=_RATE_HZ, layout="mono") if tone else None
        for frame in frames:
            height, width = frame.picture_rgb_u8.shape[:2]
            if width % 2 or height % 2:
                raise ValueError(f"4:2:0 video needs even sides, got {width}x{height}")
            if count == 0:
                video.width, video.height = width, height
            picture = av.VideoFrame.from_ndarray(frame.picture_rgb_u8, format="rgb24")
            picture.pts, picture.time_base = count, Fraction(1, frames_per_second)
            container.mux(video.encode(picture))
            count += 1
        if count == 0:
            raise ValueError("a clip needs at least one frame")
        container.mux(video.encode(None))
        if audio is not None:
            samples = round(_RATE_HZ * count / frames_per_second)
            wave = (0.1 * np.sin(2.0 * np.pi * _TONE_HZ * np.arange(samples) / _RATE_HZ)).astype(np.float32)
            for start in range(0, samples, _AUDIO_BLOCK):
                block = av.AudioFrame.from_ndarray(wave[None, start : start + _AUDIO_BLOCK], "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = _RATE_HZ, start, Fraction(1, _RATE_HZ)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return count
