"""What INT8 costs, in the units of the task: float against quantised on inputs that calibration did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from calibration.codebook import Codebook
from calibration.int8 import Sample
from engines.contract import Engine
from engines.decoder import FaceDecoder
from engines.detectors import Detection, detector_on
from engines.face.compose import compose
from engines.face.template import RECOGNITION_POINTS_PX, RECOGNITION_SIDE_PX, similarity_from_points
from engines.face.topology import five_points
from engines.identity import IdentityEncoder
from engines.landmarks import FaceMesh, IrisLandmarks
from streamer.frame import UInt8Array

Float32Array = npt.NDArray[np.float32]

DETECTION_THRESHOLD = 0.5
SAME_FACE_IOU = 0.5
# SFace's published threshold for two pictures of one person (opencv_zoo).
SAME_PERSON_COSINE = 0.363
# A face is there when the mesh model's raw score is above this (docs/models).
FACE_PRESENCE = 0.0
PEOPLE = 60


@dataclass(frozen=True)
class Accuracy:
    """Figures of one model by name, and the words for them in a table."""

    figures: Mapping[str, float]
    summary: str


def detector_accuracy(
    family: str, reference: Engine, tested: Engine, pictures: Sequence[UInt8Array]
) -> Accuracy:
    """Detections of the float model are the truth; points are compared in percent of the eye distance."""
    truth = detector_on(reference, family, score_threshold=DETECTION_THRESHOLD)
    judged = detector_on(tested, family, score_threshold=DETECTION_THRESHOLD)
    faces = extra = 0
    overlaps: list[float] = []
    points: list[float] = []
    scores: list[float] = []
    for picture in pictures:
        wanted, found = truth.detect(picture), judged.detect(picture)
        faces += len(wanted)
        matched = set()
        for face in wanted:
            best = max(range(len(found)), key=lambda i: _iou(face, found[i]), default=None)
            if best is None or _iou(face, found[best]) < SAME_FACE_IOU:
                continue
            matched.add(best)
            overlaps.append(_iou(face, found[best]))
            points.append(_point_error_percent(face.points_xy_px, found[best].points_xy_px))
            scores.append(abs(face.score - found[best].score))
        extra += len(found) - len(matched)
    figures = {
        "faces": float(faces),
        "recall": len(overlaps) / max(faces, 1),
        "extra": float(extra),
        "box_iou_mean": _mean(overlaps),
        "box_iou_least": min(overlaps, default=0.0),
        "points_error_percent_of_eyes": _mean(points),
        "score_difference_mean": _mean(scores),
    }
    summary = (
        f"recall {figures['recall']:.3f} of {faces}, {extra} extra, IoU {figures['box_iou_mean']:.3f}, "
        f"points {figures['points_error_percent_of_eyes']:.1f} % of the eye distance"
    )
    return Accuracy(figures, summary)


def mesh_accuracy(reference: Engine, tested: Engine, samples: Sequence[Sample]) -> Accuracy:
    """Distance of the landmarks in percent of the eye distance, and whether the presence scores agree."""
    patches = _stacked(samples)
    wanted, wanted_presence = FaceMesh(reference).run(patches)
    found, found_presence = FaceMesh(tested).run(patches)
    errors = []
    for one, other, presence in zip(wanted, found, wanted_presence, strict=True):
        if presence > FACE_PRESENCE:
            eyes = five_points(one)[:2, :2]
            distance = float(np.linalg.norm(eyes[1] - eyes[0]))
            errors.append(
                100.0 * float(np.linalg.norm((one - other)[:, :2], axis=1).mean()) / max(distance, 1.0)
            )
    agree = float(np.mean((wanted_presence > FACE_PRESENCE) == (found_presence > FACE_PRESENCE)))
    figures = {
        "landmark_error_percent_of_eyes": _mean(errors),
        "landmark_error_worst_face": max(errors, default=0.0),
        "presence_agreement": agree,
    }
    return Accuracy(
        figures,
        f"landmarks {figures['landmark_error_percent_of_eyes']:.1f} % of the eye distance "
        f"(worst face {figures['landmark_error_worst_face']:.1f} %), presence agrees {100 * agree:.1f} %",
    )


def iris_accuracy(reference: Engine, tested: Engine, samples: Sequence[Sample]) -> Accuracy:
    """Distance of the eye's contour in percent of the eye's width."""
    patches = _stacked(samples)
    wanted, _ = IrisLandmarks(reference).run(patches)
    found, _ = IrisLandmarks(tested).run(patches)
    widths = np.linalg.norm((wanted[:, 8] - wanted[:, 0])[:, :2], axis=1)
    errors = (
        100.0 * np.linalg.norm((wanted - found)[:, :16, :2], axis=2).mean(axis=1) / np.maximum(widths, 1.0)
    )
    figures = {
        "contour_error_percent_of_eye": float(errors.mean()),
        "contour_error_worst_eye": float(errors.max()),
    }
    return Accuracy(
        figures, f"lids {errors.mean():.1f} % of the eye's width (worst eye {errors.max():.1f} %)"
    )


def encoder_accuracy(
    reference: Engine, tested: Engine, samples: Sequence[Sample], codebook: Codebook
) -> Accuracy:
    """Cosine to the float codes, and how well codes tell synthetic people apart, with float and with INT8."""
    aligned = _stacked(samples).transpose(0, 2, 3, 1)
    wanted, found = IdentityEncoder(reference).encode(aligned), IdentityEncoder(tested).encode(aligned)
    cosines = (wanted * found).sum(axis=1)
    first, second = _views(codebook)
    right = {}
    for name, engine in (("float", reference), ("int8", tested)):
        encoder = IdentityEncoder(engine)
        table = encoder.encode(first) @ encoder.encode(second).T
        same = np.eye(len(table), dtype=bool)
        right[name] = float(
            ((table >= SAME_PERSON_COSINE)[same].mean() + (table < SAME_PERSON_COSINE)[~same].mean()) / 2
        )
    figures = {
        "cosine_mean": float(cosines.mean()),
        "cosine_least": float(cosines.min()),
        "same_different_accuracy_float": right["float"],
        "same_different_accuracy_int8": right["int8"],
    }
    return Accuracy(
        figures,
        f"cosine to float {cosines.mean():.4f} (least {cosines.min():.4f}), same or different "
        f"{100 * right['int8']:.1f} % (float {100 * right['float']:.1f} %)",
    )


def decoder_accuracy(reference: Engine, tested: Engine, samples: Sequence[Sample]) -> Accuracy:
    """The composed face at 128 px, in the hole, in grey levels of 0..255."""
    squares: list[float] = []
    largest: list[float] = []
    for sample in samples:
        conditioning = sample["conditioning"]
        hole = conditioning[0, 6] > 0
        if not hole.any():
            continue
        warp = np.ascontiguousarray(conditioning[0, :3].transpose(1, 2, 0)) * np.float32(0.5) + np.float32(
            0.5
        )
        faces = []
        for engine in (reference, tested):
            out = FaceDecoder(engine).run(conditioning)
            faces.append(compose(warp, out.fields[0], out.mask[0], out.fill[0])[hole] * np.float32(255.0))
        difference = np.abs(faces[0] - faces[1])
        squares.append(float((difference**2).mean()))
        largest.append(float(difference.max()))
    psnr = [10.0 * np.log10(255.0**2 / max(square, 1e-9)) for square in squares]
    figures = {
        "psnr_db_mean": _mean(psnr),
        "psnr_db_worst_face": min(psnr, default=0.0),
        "largest_difference_mean": _mean(largest),
        "largest_difference": max(largest, default=0.0),
    }
    return Accuracy(
        figures,
        f"PSNR {figures['psnr_db_mean']:.1f} dB (worst face {figures['psnr_db_worst_face']:.1f}), largest "
        f"difference {figures['largest_difference']:.0f} of 255",
    )


def _views(codebook: Codebook) -> tuple[Float32Array, Float32Array]:
    """Two aligned pictures (N, 112, 112, 3) RGB in 0..255 of N people: clear; dark, noisy and shifted."""
    random = np.random.default_rng(0)
    side = (RECOGNITION_SIDE_PX, RECOGNITION_SIDE_PX)
    first: list[Float32Array] = []
    second: list[Float32Array] = []
    for index in range(min(PEOPLE, codebook.size)):
        person = codebook.person(index)
        points = five_points(person.mesh_xyz_px)
        picture = person.appearance_rgb_u8.astype(np.float32)
        shaken = points + random.normal(0.0, 2.0, points.shape)
        worse = cv2.GaussianBlur(picture, (0, 0), 2.0) * 0.6 + random.normal(0.0, 6.0, picture.shape)
        for views, image, where in ((first, picture, points), (second, worse, shaken)):
            matrix = similarity_from_points(where, RECOGNITION_POINTS_PX)
            aligned = cv2.warpAffine(image.astype(np.float32), matrix, side)
            views.append(np.clip(aligned, 0.0, 255.0).astype(np.float32))
    return np.stack(first), np.stack(second)


def _stacked(samples: Sequence[Sample]) -> Float32Array:
    """The one input of a model, all samples in one array."""
    return np.concatenate([next(iter(sample.values())) for sample in samples])


def _point_error_percent(wanted: Float32Array, found: Float32Array) -> float:
    distance = float(np.linalg.norm(wanted[1] - wanted[0]))
    return 100.0 * float(np.linalg.norm(wanted - found, axis=1).mean()) / max(distance, 1.0)


def _iou(one: Detection, other: Detection) -> float:
    a, b = one.box_xyxy_px, other.box_xyxy_px
    common = float(np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0)))
    return common / max(float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common, 1e-6)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0
