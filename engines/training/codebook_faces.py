"""Examines one portrait for the codebook: finds the face in two detectors, reads its mesh, and measures it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.appearance.picture import PICTURE_PX, align, cut
from engines.detectors import Detection, FaceDetector, create_detector
from engines.face.topology import OVAL, mirror_index
from engines.identity import IdentityEncoder
from engines.landmarks import FaceMesh, IrisLandmarks
from engines.training.edits import MEASURES, FaceReading, MeshModel, read_face
from engines.training.readout import LinearReadout

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]
Encoder = Callable[[Picture], Float]

# Side of the stored picture over the longer side of the mesh's box: the oval and a rim of hair and neck.
PICTURE_MARGIN = 1.4
ATTRIBUTE_READOUT = Path(__file__).with_name("configs") / "attributes-v1.npz"

# Inside the hairline, so that hair falling beside the face does not count.
_FOREHEAD = (109, 338, 151, 108, 337, 69, 299, 9)
_CHEEKS = (50, 280, 205, 425)
# Outlines of the skin where only hair draws upright lines: the forehead, and the cheek of the picture's left.
_FOREHEAD_OUTLINE = np.array(
    [21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 301, 293, 334, 296, 336, 9, 107, 66, 105, 63, 71]
)
_CHEEK_OUTLINE = np.array([116, 117, 118, 119, 100, 36, 205, 187, 123])
_EYE_CORNERS = ((33, 133), (263, 362))  # image left first, outer corner first
_EYE_PATCH_SCALE = 2.3
_DETECTION_CANVAS = 1.6  # the detectors see the picture with a rim, as they would see a face in a scene


@dataclass(frozen=True)
class Portrait:
    """A face as it may enter the codebook.

    Attributes:
        picture_rgb_u8: (256, 256, 3).
        mesh_xyz_px: (468, 3) float32 in px of it.
        code_unit: (128,) float32, recognition code.
        measures: every number the screens look at, by name.
        second_code_unit: code of a second recogniser, or an empty array.
        source_box_xyxy_px: where the picture was cut out of its source.
        style: (512,) of the teacher, zeros for a real picture or a composed person.
        composed: put together from others.
    """

    picture_rgb_u8: Picture
    mesh_xyz_px: Float
    code_unit: Float
    measures: dict[str, float]
    second_code_unit: Float
    source_box_xyxy_px: Float
    style: Float = field(default_factory=lambda: np.zeros(512, np.float32))
    composed: bool = False


class FaceExaminer:
    """Measures portraits with the engines of the project.

    Args:
        second_recogniser: optional ONNX file of an independent recogniser (112 px aligned BGR, ``(x - 127) / 128``).
    """

    def __init__(self, *, second_recogniser: Path | None = None, threads: int = 1) -> None:
        self.mesh_model: MeshModel = FaceMesh.open(threads=threads)
        self._iris = IrisLandmarks.open(threads=threads)
        self._encoder = IdentityEncoder.open(threads=threads)
        self._detectors: dict[str, FaceDetector] = {
            name: create_detector(name, score_threshold=0.3, threads=threads)
            for name in ("retinaface", "yunet")
        }
        self._second = open_second_recogniser(second_recogniser, threads) if second_recogniser else None
        self._attributes = LinearReadout.load(ATTRIBUTE_READOUT)

    def find(self, picture_rgb_u8: Picture) -> Detection | None:
        """The largest face of a picture, or None."""
        found = [face for face in self._detectors["retinaface"].detect(picture_rgb_u8) if face.score > 0.5]
        return max(found, key=_area, default=None)

    def encode(self, picture_rgb_u8: Picture, mesh_xyz_px: Float) -> tuple[Float, Float]:
        """Recognition codes of both recognisers; the second is empty when there is none."""
        aligned = align(picture_rgb_u8, mesh_xyz_px)
        code = self._encoder.encode(aligned[None].astype(np.float32))[0]
        return code, self._second(aligned) if self._second else np.zeros(0, np.float32)

    def examine(self, source_rgb_u8: Picture, reading: FaceReading) -> Portrait:
        """Cuts the codebook picture out of a larger one and measures it."""
        box = picture_box(reading.mesh_xyz_px)
        picture = cut(source_rgb_u8, box, PICTURE_PX)
        scale = PICTURE_PX / (box[2] - box[0])
        seen = (reading.mesh_xyz_px[:, :2] - box[:2]) * scale
        face = read_face(picture, self.mesh_model, box_xyxy_px=np.concatenate([seen.min(0), seen.max(0)]))
        code, second = self.encode(picture, face.mesh_xyz_px)
        return self.measured(picture, face, code, second, box)

    def measured(
        self, picture_rgb_u8: Picture, face: FaceReading, code: Float, second: Float, source_box: Float
    ) -> Portrait:
        """A portrait of a picture that has its final cut, with everything the screens look at."""
        measures = dict(zip(MEASURES, face.measures.tolist(), strict=True))
        measures["presence"] = face.presence
        measures |= pixel_measures(picture_rgb_u8, face.mesh_xyz_px)
        measures |= self.attributes(code)
        measures |= self._detected(picture_rgb_u8)
        measures["lids_open"] = self.lids_open(picture_rgb_u8, face.mesh_xyz_px)
        return Portrait(picture_rgb_u8, face.mesh_xyz_px, code, measures, second, source_box)

    def attributes(self, code_unit: Float) -> dict[str, float]:
        """Apparent attributes read from a code: ``male``, ``child``, ``older``, ``covered``; see the readout's card."""
        return {name: float(value[0]) for name, value in self._attributes(code_unit).items()}

    def lids_open(self, picture_rgb_u8: Picture, mesh_xyz_px: Float) -> float:
        """Gap of the lids over the width of the eye, smaller of both, by the iris model.

        The face mesh hardly follows closing lids; this model does.
        """
        gaps = []
        for (outer, inner), mirrored in zip(_EYE_CORNERS, (False, True), strict=True):
            a, b = mesh_xyz_px[outer, :2], mesh_xyz_px[inner, :2]
            half = _EYE_PATCH_SCALE / 2 * float(np.linalg.norm(b - a))
            centre = (a + b) / 2
            patch = cut(picture_rgb_u8, np.array([*(centre - half), *(centre + half)], np.float32), 64)
            patch = patch[:, ::-1] if mirrored else patch
            contours, _ = self._iris.run(np.ascontiguousarray(patch, np.float32)[None] / np.float32(255))
            contour = contours[0].astype(np.float64)
            width = np.linalg.norm(contour[8, :2] - contour[0, :2])
            gaps.append(float(np.linalg.norm(contour[12, :2] - contour[4, :2]) / max(width, 1e-6)))
        return min(gaps)

    def _detected(self, picture_rgb_u8: Picture) -> dict[str, float]:
        rim = int(PICTURE_PX * (_DETECTION_CANVAS - 1) / 2)
        scene = cv2.copyMakeBorder(
            picture_rgb_u8, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(127, 127, 127)
        )
        measures: dict[str, float] = {}
        for name, detector in self._detectors.items():
            found = sorted(detector.detect(np.asarray(scene, np.uint8)), key=_area, reverse=True)
            measures[f"{name}_score"] = found[0].score if found else 0.0
            others = [_area(face) / _area(found[0]) for face in found[1:] if face.score > 0.5]
            measures[f"{name}_second_face"] = max(others, default=0.0)
        return measures


def open_second_recogniser(path: Path, threads: int = 1) -> Encoder:
    """An independent recogniser, used for screening only: aligned RGB uint8 (112, 112, 3) -> unit code."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def encode(aligned_rgb_u8: Picture) -> Float:
        planes = (aligned_rgb_u8[..., ::-1].astype(np.float32) - 127.0) / 128.0
        code = session.run(None, {name: np.ascontiguousarray(planes.transpose(2, 0, 1))[None]})[0][0]
        return np.asarray(code / np.linalg.norm(code), np.float32)

    return encode


def picture_box(mesh_xyz_px: Float) -> Float:
    """Square (4,) xyxy about the mesh that becomes the stored picture."""
    low, high = mesh_xyz_px[:, :2].min(0), mesh_xyz_px[:, :2].max(0)
    centre, half = (low + high) / 2, PICTURE_MARGIN / 2 * float((high - low).max())
    return np.array([*(centre - half), *(centre + half)], np.float32)


def pixel_measures(picture_rgb_u8: Picture, mesh_xyz_px: Float) -> dict[str, float]:
    """What the pixels say about glasses, cover of the forehead, light and sharpness.

    * ``bridge_edge``: strongest step down the bridge of the nose between the eyes, where only glasses draw a line.
    * ``forehead_difference``: largest CIE difference of a forehead spot to the cheeks: fringe, hat, hand. A spot that
      is lighter than the cheeks is a highlight and counts by its colour only.
    * ``light_uneven``: difference in CIE L* of the two halves of the face, from many spots.
    * ``sharpness``: spread of the Laplacian inside the oval, over the mean brightness.
    """
    grey = cv2.cvtColor(picture_rgb_u8, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mesh = mesh_xyz_px[:, :2].astype(np.float64)
    eye_span = float(np.linalg.norm(mesh[263] - mesh[33]))
    smooth = cv2.GaussianBlur(grey, (0, 0), max(0.5, eye_span * 0.011))
    x, y = (mesh[6] + mesh[168]) / 2
    half_height, half_width = int(0.16 * eye_span), max(2, int(0.05 * eye_span))
    bridge = smooth[
        max(0, int(y - half_height)) : int(y + half_height), max(0, int(x - half_width)) : int(x + half_width)
    ]
    profile = bridge.mean(1)
    step = (
        float(np.abs(np.diff(profile)).max() * eye_span / 73.0 / (profile.mean() + 20))
        if bridge.size
        else 1.0
    )
    blurred = cv2.GaussianBlur(picture_rgb_u8, (0, 0), eye_span * 0.03).astype(np.float32) / 255
    lab = cv2.cvtColor(blurred, cv2.COLOR_RGB2LAB)

    def spot(index: int) -> NDArray[np.float64]:
        column = int(np.clip(round(mesh[index, 0]), 0, lab.shape[1] - 1))
        row = int(np.clip(round(mesh[index, 1]), 0, lab.shape[0] - 1))
        return np.asarray(lab[row, column], np.float64)

    cheeks = np.mean([spot(index) for index in _CHEEKS], 0)
    spots = np.array([spot(index) for index in _FOREHEAD]) - cheeks
    darker = np.minimum(spots[:, 0], 0.0) * 0.6
    forehead = float(np.hypot(np.hypot(spots[:, 1], spots[:, 2]), darker).max())
    left = np.mean([spot(index)[0] for index in (50, 205, 69, 187, 123)])
    right = np.mean([spot(index)[0] for index in (280, 425, 299, 411, 352)])
    oval = np.zeros(grey.shape, np.uint8)
    cv2.fillPoly(oval, [np.rint(mesh[OVAL]).astype(np.int32)], (255,))
    inside = cv2.erode(oval, np.ones((9, 9), np.uint8)) > 0
    detail = cv2.Laplacian(grey, cv2.CV_32F)[inside]
    return {
        "bridge_edge": step,
        "forehead_difference": forehead,
        "light_uneven": float(abs(left - right)),
        "sharpness": float(detail.std() / (grey[inside].mean() + 20.0)) if inside.any() else 0.0,
        **hair_measures(grey, mesh),
    }


def hair_measures(grey: Float, mesh_xy_px: NDArray[np.float64]) -> dict[str, float]:
    """Upright lines on skin, which are strands of hair: ``forehead_lines`` and ``cheek_lines``.

    The strength of a line is the larger eigenvalue of the Hessian less the other (Lindeberg 1998), at the width of a
    strand, weighted by how upright the line is, since wrinkles lie across; of each region the 97th percentile, in
    percent of the mean brightness; of the cheeks the worse.
    """
    eye_span = float(np.linalg.norm(mesh_xy_px[263] - mesh_xy_px[33]))
    width = max(1.0, eye_span * 0.018)
    smooth = cv2.GaussianBlur(grey, (0, 0), width)
    xx = cv2.Sobel(smooth, -1, 2, 0, ksize=3) / 4
    yy = cv2.Sobel(smooth, -1, 0, 2, ksize=3) / 4
    xy = cv2.Sobel(smooth, -1, 1, 1, ksize=3) / 4
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    across = np.arctan2(2 * xy, xx - yy) / 2
    # Of the eigenvalues mean + half and mean - half the one of larger size is that across the line.
    upright = np.where(mean >= 0, np.cos(across) ** 2, np.sin(across) ** 2)
    strength = (np.abs(np.abs(mean) + half) - np.abs(np.abs(mean) - half)) * width**2 * upright
    rim = np.ones((2 * max(1, int(eye_span * 0.05)) + 1,) * 2, np.uint8)

    def lines(outline: NDArray[np.int64]) -> float:
        region = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(region, [np.rint(mesh_xy_px[outline]).astype(np.int32)], (1,))
        inside = cv2.erode(region, rim) > 0
        if not inside.any():
            return float("nan")
        return float(100 * np.quantile(strength[inside], 0.97) / (grey[inside].mean() + 20.0))

    cheeks = (lines(_CHEEK_OUTLINE), lines(mirror_index()[_CHEEK_OUTLINE]))
    return {"forehead_lines": lines(_FOREHEAD_OUTLINE), "cheek_lines": max(cheeks)}


def _area(face: Detection) -> float:
    box = face.box_xyxy_px
    return float((box[2] - box[0]) * (box[3] - box[1]))
