"""The same moments with the face at several sizes, before and after:

python -m benchmarks.sizes CLIP -o sizes.jpg [--face-px 40 80 160 300] [--skip 0] [--frames 40]

The clip is scaled so that its first face gets each size, anonymized as a user would do it, and shown cut around the
face, the input above the output, one pair of rows a size.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.sheet import Picture, frames_of, largest_boxes, tile
from engines.detectors import create_detector
from streamer import anonymize_file, make_settings

COLUMNS = 5
FRAMES_PER_SECOND = 25
_DETECTED_SIDE_PX = 640


def read(clip: Path, skip: int, count: int) -> list[Picture]:
    """`count` frames as (h, w, 3) uint8 RGB, beginning with number `skip`."""
    with av.open(str(clip)) as container:
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
            for frame in islice(container.decode(video=0), skip, skip + count)
        ]


def face_width_px(pictures: list[Picture]) -> float:
    """Of the largest face in the first picture that has one.

    Raises:
        SystemExit: there is none.
    """
    detector = create_detector("retinaface", score_threshold=0.5)
    for picture in pictures:
        scale = min(1.0, _DETECTED_SIDE_PX / max(picture.shape[:2]))
        found = detector.detect(scaled(picture, scale))
        if found:
            return float(max(one.box_xyxy_px[2] - one.box_xyxy_px[0] for one in found)) / scale
    raise SystemExit("no face was found in these frames; choose others with --skip")


def scaled(picture: Picture, scale: float) -> Picture:
    """The picture at another size, with even sides."""
    width, height = (max(2, round(side * scale / 2) * 2) for side in (picture.shape[1], picture.shape[0]))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=kind), dtype=np.uint8)


def write(path: Path, pictures: list[Picture]) -> None:
    """A clip of these pictures, nearly without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def rows_of_size(pictures: list[Picture], scale: float, folder: Path, decoder: Path | None) -> Picture:
    """(2 * 256, 5 * 256, 3) uint8 RGB."""
    before, after = folder / "before.mp4", folder / "after.mp4"
    write(before, [scaled(picture, scale) for picture in pictures])
    result = anonymize_file(before, after, settings=make_settings(decoder=decoder), overwrite=True)
    boxes = largest_boxes(result.mot_lines)
    wanted = sorted({sorted(boxes)[round(k)] for k in np.linspace(0, len(boxes) - 1, COLUMNS)})
    shown = frames_of(before, wanted), frames_of(after, wanted)
    columns = [np.concatenate([tile(some[index], boxes[index]) for some in shown]) for index in wanted]
    return np.concatenate(columns, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sizes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--face-px", type=int, nargs="+", default=[40, 80, 160, 300])
    parser.add_argument("--skip", type=int, default=0, help="frames that are left out first")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--decoder", type=Path, default=None, help="an .onnx file (default: the shipped one)")
    options = parser.parse_args()
    pictures = read(options.clip, options.skip, options.frames)
    width = face_width_px(pictures)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            rows_of_size(pictures, face_px / width, Path(folder), options.decoder)
            for face_px in options.face_px
        ]
    widest = max(row.shape[1] for row in rows)
    sheet = np.concatenate([np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0))) for row in rows])
    cv2.imwrite(str(options.output), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 72])


if __name__ == "__main__":
    main()
