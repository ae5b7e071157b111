"""Before and after, side by side: `python -m benchmarks.sheet CLIP... -o sheet.jpg [--frames 5] [--whole]`.

Each clip is anonymized as a user would do it; then a few frames are shown, cut around the largest face (or whole),
the input above the output.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from streamer import anonymize_file, make_settings

Picture = npt.NDArray[np.uint8]
TILE_PX = 256


def frames_of(path: Path, wanted: list[int]) -> dict[int, Picture]:
    with av.open(str(path)) as container:
        pictures = {}
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                pictures[index] = frame.to_ndarray(format="rgb24")
            if index >= wanted[-1]:
                break
        return pictures


def largest_boxes(mot_lines: list[str]) -> dict[int, tuple[float, float, float, float]]:
    """Largest face of each frame: (left, top, width, height)."""
    boxes: dict[int, tuple[float, float, float, float]] = {}
    for line in mot_lines:
        values = line.split(",")
        index = int(values[0]) - 1
        left, top, width, height = (float(value) for value in values[2:6])
        if index not in boxes or width * height > boxes[index][2] * boxes[index][3]:
            boxes[index] = (left, top, width, height)
    return boxes


def tile(picture: Picture, box: tuple[float, float, float, float] | None) -> Picture:
    """A square around a face, or the whole picture at the same height."""
    if box is None:
        scale = TILE_PX / picture.shape[0]
        whole = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.asarray(whole, dtype=np.uint8)
    left, top, width, height = box
    side = 1.9 * max(width, height)
    scale = TILE_PX / side
    centre_x, centre_y = left + width / 2, top + height / 2
    affine = np.array(
        [[scale, 0, TILE_PX / 2 - scale * centre_x], [0, scale, TILE_PX / 2 - scale * centre_y]]
    )
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(picture, affine, (TILE_PX, TILE_PX), flags=flags), dtype=np.uint8)


def sheet(clip: Path, count: int, folder: Path, *, whole: bool, decoder: Path | None = None) -> Picture:
    """(2 * 256, n, 3) uint8 RGB: `count` frames of a clip, spread evenly over those with a face."""
    output = folder / f"{clip.stem}.mp4"
    result = anonymize_file(clip, output, settings=make_settings(decoder=decoder), overwrite=True)
    boxes = largest_boxes(result.mot_lines)
    indices = sorted(boxes) or list(range(result.coverage["frames"]))
    wanted = [indices[round(k)] for k in np.linspace(0, len(indices) - 1, count + 2)[1:-1]]
    before, after = frames_of(clip, wanted), frames_of(output, wanted)
    columns = []
    for index in wanted:
        box = None if whole else boxes.get(index)
        columns.append(np.concatenate([tile(before[index], box), tile(after[index], box)], axis=0))
    return np.concatenate(columns, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--decoder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            sheet(clip, arguments.frames, Path(folder), whole=arguments.whole, decoder=arguments.decoder)
            for clip in arguments.clips
        ]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    picture = np.concatenate(padded, axis=0)
    cv2.imwrite(str(arguments.output), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
