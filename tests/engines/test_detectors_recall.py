"""Recall on photographs with hand-drawn boxes, and what the landmark model says of them (evaluation data)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engines.detectors import create_detector
from engines.detectors.base import intersection_over_union
from engines.landmarks import MESH_PATCH_PX, FaceMesh, patch_from_box_and_points

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def photographs(data_dir: Path) -> list[tuple[Any, Any]]:
    """Pictures (H, W, 3) RGB uint8 and their (n, 4) boxes."""
    folder = data_dir / "detection" / "dlib_examples_faces"
    found = []
    for listing in ("training.xml", "testing.xml"):
        for image in ET.parse(folder / listing).getroot().iter("image"):
            sides = [
                [int(box.attrib[key]) for key in ("left", "top", "width", "height")]
                for box in image.iter("box")
                if box.get("ignore") != "1"
            ]
            boxes = np.array(sides, np.float32)
            boxes[:, 2:] += boxes[:, :2]
            picture = cv2.imread(str(folder / image.attrib["file"]))
            found.append((np.ascontiguousarray(picture[..., ::-1]), boxes))
    return found


def overlaps(box: Any, others: Any) -> Any:
    area = np.prod(box[2:] - box[:2])
    return intersection_over_union(box, area, others, np.prod(others[:, 2:] - others[:, :2], axis=1))


@pytest.mark.parametrize(("name", "threshold"), [("retinaface", 0.5), ("yunet", 0.6), ("centerface", 0.5)])
def test_every_face_is_found(photographs: list[tuple[Any, Any]], name: Any, threshold: float) -> None:
    detector = create_detector(name, score_threshold=threshold)
    total = hits = others = 0
    for picture, boxes in photographs:
        faces = np.stack([face.box_xyxy_px for face in detector.detect(picture)])
        hits += sum(int((overlaps(box, faces) > 0.3).any()) for box in boxes)
        others += sum(int((overlaps(face, boxes) <= 0.3).all()) for face in faces)
        total += len(boxes)
    assert total == 43
    assert hits == total
    assert others <= 3


def test_presence_separates_faces_from_false_detections(photographs: list[tuple[Any, Any]]) -> None:
    detector, mesh = create_detector("yunet", score_threshold=0.2), FaceMesh.open()
    scores: dict[bool, list[float]] = {True: [], False: []}
    for picture, boxes in photographs:
        for face in detector.detect(picture):
            affine = patch_from_box_and_points(face.box_xyxy_px, face.points_xy_px)
            patch = cv2.warpAffine(picture, affine, (MESH_PATCH_PX, MESH_PATCH_PX)).astype(np.float32) / 255
            presence = mesh.run(patch[None])[1][0]
            scores[bool((overlaps(face.box_xyxy_px, boxes) > 0.3).any())].append(float(presence))
    assert min(scores[True]) > 0 > max(scores[False])
