"""The floor: decode a file and encode it again with PyAV, with the same settings and nothing between.

python -m benchmarks.floor INPUT OUTPUT [--crf 18] [--preset veryfast]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av


def transcode(source: Path, target: Path, crf: float, preset: str) -> int:
    """Returns the number of frames."""
    count = 0
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        video.thread_type = "AUTO"
        out = writer.add_stream(
            "libx264", rate=video.average_rate, options={"crf": f"{crf:g}", "preset": preset}
        )
        out.width, out.height = video.width, video.height
        out.pix_fmt = video.codec_context.pix_fmt or "yuv420p"
        assert video.time_base is not None
        out.codec_context.time_base = video.time_base
        # As our own sink does: frame threads are faster than PyAV's default slice threads.
        out.codec_context.thread_type = "FRAME"
        for frame in reader.decode(video):
            frame.pict_type = av.video.frame.PictureType.NONE
            writer.mux(out.encode(frame))
            count += 1
        writer.mux(out.encode(None))
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--crf", type=float, default=18)
    parser.add_argument("--preset", default="veryfast")
    arguments = parser.parse_args()
    frames = transcode(arguments.source, arguments.target, arguments.crf, arguments.preset)
    print(f"{frames} frames")
