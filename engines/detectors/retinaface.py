"""RetinaFace with a MobileNet-0.25 backbone: the default detector.

Deng, Guo, Ververas, Kotsia, Zafeiriou: RetinaFace: Single-shot Multi-level Face Localisation in the Wild
(CVPR 2020). Anchors as in SSD (Liu et al., ECCV 2016, section 2.2): two squares per cell at strides 8, 16
and 32."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engines.contract import Engine, checked_infer
from engines.detectors.base import FaceDetector, Floats, InputBuffer, PictureU8

STRIDES_PX = (8, 16, 32)
ANCHOR_SIDES_PX = ((16, 32), (64, 128), (256, 512))
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
MEAN_BGR = (104.0, 117.0, 123.0)


class RetinaFaceDetector(FaceDetector):
    """Inputs: `input` NCHW BGR minus the mean; outputs: `loc`, `conf`, `landmarks` per anchor."""

    def __init__(self, engine: Engine, *, score_threshold: float = 0.5) -> None:
        super().__init__(engine, score_threshold)
        self._input = InputBuffer(STRIDES_PX[-1], MEAN_BGR, bgr=True)

    def _detect(self, picture_rgb_u8: PictureU8) -> tuple[Floats, Floats, Floats]:
        tensor = self._input.fill(picture_rgb_u8)
        loc, conf, landmarks = checked_infer(self._engine, {"input": tensor}, ("loc", "conf", "landmarks"))
        scores = conf[0, :, 1]
        above = np.flatnonzero(scores >= self.score_threshold)
        anchors = anchors_px(tensor.shape[3], tensor.shape[2])[above]
        centres, sides = anchors[:, :2], anchors[:, 2:]
        middle = centres + loc[0, above, :2] * CENTRE_VARIANCE * sides
        half = sides * np.exp(loc[0, above, 2:] * SIZE_VARIANCE) / 2
        points = landmarks[0, above].reshape(-1, 5, 2) * CENTRE_VARIANCE * sides[:, None] + centres[:, None]
        return np.concatenate([middle - half, middle + half], axis=1), scores[above], points


@lru_cache(maxsize=8)
def anchors_px(width: int, height: int) -> Floats:
    """(n, 4) centre x, centre y, width, height of the anchors, in the order of the graph's outputs."""
    levels = []
    for stride, sides in zip(STRIDES_PX, ANCHOR_SIDES_PX, strict=True):
        rows, columns = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)]
        centres = (np.stack([columns, rows], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
        level = np.empty((centres.shape[0], len(sides), 4), np.float32)
        level[..., :2] = centres
        level[..., 2:] = np.array(sides, np.float32)[:, None]
        levels.append(level.reshape(-1, 4))
    anchors = np.concatenate(levels)
    anchors.flags.writeable = False
    return anchors
