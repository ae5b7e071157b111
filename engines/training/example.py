"""The example clip of the project: two synthetic people side by side, as in a video call, with a soft tone as sound.

python -m engines.training.example CLIP_FOLDER CLIP_FOLDER -o examples/two_people.mp4

The folders hold the frames that `python -m engines.training synthesize` makes of scripted clips (512 px).
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

FRAMES_PER_SECOND = 25
TILE_WIDTH, TILE_HEIGHT = 320, 360
# Part of the 512 px pictures that is shown: left, top, width, height. The teacher's borders are its weak place.
SHOWN = (66, 36, 384, 432)
SAMPLE_RATE = 48_000


def _tile(path: Path) -> npt.NDArray[np.uint8]:
    """(360, 320, 3) BGR of one frame."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path}: not a picture; give the folders of two synthesized clips")
    left, top, width, height = SHOWN
    part = picture[top : top + height, left : left + width]
    return np.asarray(
        cv2.resize(part, (TILE_WIDTH, TILE_HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )


def _tone(seconds: float) -> npt.NDArray[np.float32]:
    """A quiet chord that swells and falls, (1, samples) in -1..1."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    chord = sum(np.sin(2.0 * np.pi * hertz * time) for hertz in (220.0, 277.18, 329.63))
    swell = 0.02 * np.sin(np.pi * time / seconds) ** 2
    return np.asarray((chord * swell)[None], dtype=np.float32)


def write_example(folders: list[Path], output: Path) -> int:
    """Write the clip; returns the number of frames."""
    sequences = [sorted(folder.glob("frame_*.jpg")) for folder in folders]
    count = min(len(sequence) for sequence in sequences)
    with av.open(str(output), "w") as container:
        video = container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"crf": "22", "preset": "slow"}
        )
        video.width, video.height, video.pix_fmt = TILE_WIDTH * len(folders), TILE_HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index in range(count):
            tiles = [_tile(sequence[index]) for sequence in sequences]
            frame = av.VideoFrame.from_ndarray(np.concatenate(tiles, axis=1), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound = _tone(count / FRAMES_PER_SECOND)
        for start in range(0, sound.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(sound[:, start : start + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    print(f"{write_example(arguments.folders, arguments.output)} frames")
