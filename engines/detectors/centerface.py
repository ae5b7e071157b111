"""CenterFace: the slowest of the three, with the fewest false detections.

Xu, Yan, Yang, Zhao, Lin: CenterFace: Joint Face Detection and Alignment Using Face as Point (Scientific
Programming 2020). A heat map at stride 4 marks face centres; scale (log), offset and five points are read
at its peaks."""

from __future__ import annotations

import numpy as np

from engines.contract import Engine, checked_infer
from engines.detectors.base import FaceDetector, Floats, InputBuffer, PictureU8

STRIDE_PX = 4
PADDING_PX = 32
HEAT, SCALE, OFFSET, POINTS = "537", "538", "539", "540"


class CenterFaceDetector(FaceDetector):
    """Inputs: `input.1` NCHW RGB 0..255; outputs: heat map; scale, offset and points, y before x."""

    def __init__(self, engine: Engine, *, score_threshold: float = 0.5) -> None:
        super().__init__(engine, score_threshold)
        self._input = InputBuffer(PADDING_PX, (0.0, 0.0, 0.0), bgr=False)

    def _detect(self, picture_rgb_u8: PictureU8) -> tuple[Floats, Floats, Floats]:
        tensor = self._input.fill(picture_rgb_u8)
        heat, scale, offset, places = checked_infer(
            self._engine, {"input.1": tensor}, (HEAT, SCALE, OFFSET, POINTS)
        )
        rows, columns = np.nonzero(heat[0, 0] >= self.score_threshold)
        cells = np.stack([columns, rows], axis=1).astype(np.float32)
        # The model orders y before x in all three maps.
        sides = np.exp(scale[0, ::-1, rows, columns]) * STRIDE_PX
        middle = (cells + offset[0, ::-1, rows, columns] + np.float32(0.5)) * STRIDE_PX
        corner = middle - sides / 2
        relative = places[0, :, rows, columns].reshape(-1, 5, 2)[..., ::-1]
        points = relative * sides[:, None] + corner[:, None]
        return np.concatenate([corner, corner + sides], axis=1), heat[0, 0, rows, columns], points
