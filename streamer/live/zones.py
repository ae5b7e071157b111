"""Regions of a camera's picture: those that are always covered, and those in which no face is looked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import av
import cv2
import numpy as np
import numpy.typing as npt

from engines.detectors import Detection
from engines.detectors.doubt import Detect
from streamer.frame import Float64Array, Frame, StreamGeometry, UInt8Array
from streamer.live.polygons import Polygon
from streamer.planes import mask_whole_frame
from streamer.planes.color import codes_from_rgb
from streamer.planes.formats import PlaneSpec, is_native, pixel_format, plane_view

_log = logging.getLogger(__name__)

BoolArray = npt.NDArray[np.bool_]
_GREY = np.array([0.25, 0.25, 0.25, 1.0])


class PrivacyZones:
    """Covers polygons of the picture with a flat grey, whatever else was or was not found in it.

    Args:
        polygons: in fractions of the upright picture.
    """

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self._polygons = [np.array(polygon, dtype=np.float64) for polygon in polygons]
        self._masks: dict[tuple[StreamGeometry, int, int, int, int], BoolArray] = {}

    def cover(self, frame: Frame) -> bool:
        """Paint the zones into the frame's planes. Never raises: where it fails, the frame is masked whole.

        Returns:
            False when the frame had to be masked.
        """
        if not self._polygons:
            return True
        try:
            self._paint(frame.video, frame.geometry)
        except Exception as error:
            _log.error(
                "frame %d: zones cannot be painted (%s); the frame is masked",
                frame.index,
                type(error).__name__,
            )
            frame.video = mask_whole_frame(frame.video)
            return False
        return True

    def _paint(self, video: av.VideoFrame, geometry: StreamGeometry) -> None:
        if not is_native(video.format.name):
            raise ValueError(f"pixel format {video.format.name} cannot be painted in place")
        video.make_writable()
        layout = pixel_format(video.format.name)
        codes = codes_from_rgb(video, layout) @ _GREY
        for index, spec in enumerate(layout.planes):
            plane = plane_view(video, index, layout)
            mask = self._mask(geometry, spec, plane.shape[0], plane.shape[1])
            for channel, component in enumerate(spec.components):
                if component is not None:
                    samples = plane if plane.ndim == 2 else plane[:, :, channel]
                    samples[mask] = round(float(codes[component])) << layout.shift

    def _mask(self, geometry: StreamGeometry, spec: PlaneSpec, height: int, width: int) -> BoolArray:
        """(height, width) of a plane: True wherever a sample belongs to a zone, also only in part."""
        key = (geometry, spec.step_x, spec.step_y, height, width)
        if key not in self._masks:
            if len(self._masks) > 16:
                # Cameras that change their resolution all day must not fill the memory.
                self._masks.clear()
            step = (spec.step_x, spec.step_y)
            self._masks[key] = _rasterised(
                [_in_plane(polygon, geometry, step) for polygon in self._polygons], height, width
            )
        return self._masks[key]


def _in_plane(polygon: Float64Array, geometry: StreamGeometry, step: tuple[int, int]) -> Float64Array:
    """(N, 2) corners in px of a plane, from fractions of the upright picture."""
    display = polygon * np.array(geometry.display_size) - 0.5
    affine = geometry.native_from_display
    native = display @ affine[:, :2].T + affine[:, 2]
    return np.asarray((native + 0.5) / np.array(step) - 0.5)


def _rasterised(polygons: Sequence[Float64Array], height: int, width: int) -> BoolArray:
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.rint(polygon).astype(np.int32)], 1)
    # A sample more all around: corners were rounded, and the encoder smears over edges.
    return np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0)


class RegionFilter:
    """A detector that leaves out faces which lie wholly in given polygons.

    What reaches out of the polygon by a pixel is kept: somebody may stand in front of the poster.

    Args:
        detect: finds faces in an analysis picture.
        polygons: in fractions of the picture.
    """

    def __init__(self, detect: Detect, polygons: Sequence[Polygon]) -> None:
        self._detect = detect
        self._polygons = [np.array(polygon, dtype=np.float64) for polygon in polygons]
        self._mask: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)

    def __call__(self, picture_rgb_u8: UInt8Array) -> list[Detection]:
        """Faces in (H, W, 3) uint8 RGB. Raises what the detector raises."""
        found = list(self._detect(picture_rgb_u8))
        if not self._polygons or not found:
            return found
        height, width = picture_rgb_u8.shape[:2]
        if self._mask.shape != (height, width):
            self._mask = np.zeros((height, width), np.uint8)
            for polygon in self._polygons:
                corners = polygon * np.array([width, height]) - 0.5
                cv2.fillPoly(self._mask, [np.rint(corners).astype(np.int32)], 1)
        return [item for item in found if not self._is_inside(item)]

    def _is_inside(self, item: Detection) -> bool:
        left, top = np.maximum(np.floor(item.box_xyxy_px[:2]), 0).astype(int)
        right, bottom = np.ceil(item.box_xyxy_px[2:]).astype(int)
        part = self._mask[top:bottom, left:right]
        return bool(part.size) and bool(part.all())
