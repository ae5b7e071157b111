"""Portraits as the codebook keeps them: how they are cut out of a larger picture, and aligned for a recogniser."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.face.template import RECOGNITION_POINTS_PX, RECOGNITION_SIDE_PX, similarity_from_points
from engines.face.topology import five_points

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

# Side of the codebook's pictures; landmarks of synthetic people are in px of it, however fine their picture is.
PICTURE_PX = 256
_Places = TypeVar("_Places", NDArray[np.float32], NDArray[np.float64])


def finer_px(places_px: _Places, fineness: int) -> _Places:
    """Places of the picture at 256 px in one ``fineness`` times as fine; pixel centres are whole numbers in both."""
    if fineness == 1:
        return places_px
    return np.asarray(places_px * fineness + (fineness - 1) / 2, places_px.dtype)


def align(picture_rgb_u8: Picture, mesh_xyz_px: Float) -> Picture:
    """(112, 112, 3) RGB uint8 by the recognition template."""
    matrix = similarity_from_points(five_points(mesh_xyz_px), RECOGNITION_POINTS_PX)
    size = (RECOGNITION_SIDE_PX, RECOGNITION_SIDE_PX)
    aligned = cv2.warpAffine(
        picture_rgb_u8, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(aligned, np.uint8)


def cut(picture_rgb_u8: Picture, box_xyxy_px: Float, size_px: int) -> Picture:
    """The square box of a picture at ``size_px``, by area averaging; outside the picture its edge is repeated."""
    left, top = (int(np.floor(v)) for v in box_xyxy_px[:2])
    right, bottom = (int(np.ceil(v)) for v in box_xyxy_px[2:])
    height, width = picture_rgb_u8.shape[:2]
    pad = max(0, -left, -top, right - width, bottom - height)
    if pad:
        picture_rgb_u8 = np.asarray(
            cv2.copyMakeBorder(picture_rgb_u8, pad, pad, pad, pad, cv2.BORDER_REPLICATE), np.uint8
        )
    part = picture_rgb_u8[top + pad : bottom + pad, left + pad : right + pad]
    shrinks = part.shape[0] > size_px
    resized = cv2.resize(
        part, (size_px, size_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return np.ascontiguousarray(resized, np.uint8)
