"""YuNet: the fastest detector.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector (Machine Intelligence Research 2023).
Anchor-free: every cell of strides 8, 16 and 32 gives a class score, an object score, a box and five points
relative to its corner. The graph is run by the engine and decoded here, not by `cv2.FaceDetectorYN`:
OpenCV's reading of this file depends on its version, and one runtime serves all models."""

from __future__ import annotations

import numpy as np

from engines.contract import Engine, checked_infer
from engines.detectors.base import FaceDetector, Floats, InputBuffer, PictureU8

STRIDES_PX = (8, 16, 32)
OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES_PX for kind in ("cls", "obj", "bbox", "kps"))


class YuNetDetector(FaceDetector):
    """Inputs: `input` NCHW BGR 0..255; outputs: `cls_s`, `obj_s`, `bbox_s`, `kps_s` for each stride s."""

    def __init__(self, engine: Engine, *, score_threshold: float = 0.6) -> None:
        super().__init__(engine, score_threshold)
        self._input = InputBuffer(STRIDES_PX[-1], (0.0, 0.0, 0.0), bgr=True)

    def _detect(self, picture_rgb_u8: PictureU8) -> tuple[Floats, Floats, Floats]:
        tensor = self._input.fill(picture_rgb_u8)
        outputs = checked_infer(self._engine, {"input": tensor}, OUTPUTS)
        levels = [
            self._level(
                stride, tensor.shape[3] // stride, *(array[0] for array in outputs[4 * i : 4 * i + 4])
            )
            for i, stride in enumerate(STRIDES_PX)
        ]
        boxes, scores, points = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        return boxes, scores, points

    def _level(
        self, stride: int, columns: int, cls: Floats, obj: Floats, bbox: Floats, kps: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Candidates of one stride. The score is the geometric mean of class and object, as in OpenCV."""
        scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        above = np.flatnonzero(scores >= self.score_threshold)
        corners = np.stack([above % columns, above // columns], axis=1).astype(np.float32)
        middle = (corners + bbox[above, :2]) * stride
        half = np.exp(bbox[above, 2:]) * (stride / 2)
        points = (corners[:, None] + kps[above].reshape(-1, 5, 2)) * stride
        return np.concatenate([middle - half, middle + half], axis=1), scores[above], points
