"""Renders a person of the codebook at 512 px, and refuses a picture that is not the same person at the same place."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.appearance.parts import Face, compose
from engines.appearance.picture import PICTURE_PX, align, cut
from engines.appearance.styles import Model, StyleBook
from engines.errors import EngineError
from engines.identity import IdentityEncoder
from engines.landmarks import MESH_PATCH_PX, FaceMesh

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

FINENESS = 2
FINE_PX = PICTURE_PX * FINENESS
# Mean distance of the landmarks from the codebook's, in distances of the outer eye corners.
LARGEST_MISS = 0.01
LEAST_COSINE = 0.9
# Colours and light are the codebook's down to this standard deviation, fine px: only detail is new, so that nobody sees
# one picture take the other's place.
_SHARED_PX = 5.0
_EYE_OUTER = (33, 263)
# Of the codebook's own landmarks, see `engines.training.edits.read_face`.
_PATCH_MARGIN = 1.4


class Renders(Protocol):
    """Style code to picture, as `engines.appearance.teacher.SynthesisTeacher`."""

    def render(self, style: Float) -> Picture:
        """(512,) to RGB uint8 (1024, 1024, 3)."""


class UnlikeTheCodebook(EngineError):
    """The picture that was rendered does not fit the codebook's. Neither the index nor how far off it is is said: both
    name the person that was drawn."""


class FineRenderer:
    """People of one codebook at 512 px.

    Args:
        styles: how they are made.
        mesh, encoder: they check the result; nobody else may use them at the same time.
    """

    def __init__(self, teacher: Renders, styles: StyleBook, mesh: FaceMesh, encoder: IdentityEncoder) -> None:
        self._teacher, self._styles, self._mesh, self._encoder = teacher, styles, mesh, encoder

    def render(self, index: int, picture_rgb_u8: Picture, mesh_xyz_px: Float, code_unit: Float) -> Picture:
        """Person ``index``, (512, 512, 3) RGB uint8, aligned to the codebook's landmarks.

        Args:
            picture_rgb_u8: (256, 256, 3), the codebook's.
            mesh_xyz_px: (468, 3) in px of it.
            code_unit: (128,) the codebook's recognition code.

        Raises:
            EngineError: nobody knows how this person is made, or an engine failed.
            UnlikeTheCodebook: landmarks or recognition code differ by more than `LARGEST_MISS`, `LEAST_COSINE`.
        """
        recipe = self._styles.recipe(index)
        if recipe is None:
            raise EngineError("this person has no style")
        made = self._face(recipe.base)
        if recipe.donors:
            made = compose(made, {name: self._face(model) for name, model in recipe.donors.items()})
        fine = in_colours_of(made.picture_rgb_u8, picture_rgb_u8)
        miss, cosine = self.compare(fine, mesh_xyz_px, code_unit)
        if not (miss <= LARGEST_MISS and cosine >= LEAST_COSINE):
            raise UnlikeTheCodebook(
                f"a person came out differently: landmarks beyond {LARGEST_MISS} eye distances,"
                f" or a cosine below {LEAST_COSINE}"
            )
        return fine

    def compare(self, fine_rgb_u8: Picture, mesh_xyz_px: Float, code_unit: Float) -> tuple[float, float]:
        """Mean distance of the landmarks in distances of the eyes, and cosine of the recognition codes."""
        # Both are measured at the size at which the codebook's were.
        small = np.asarray(
            cv2.resize(fine_rgb_u8, (PICTURE_PX, PICTURE_PX), interpolation=cv2.INTER_AREA), np.uint8
        )
        found = self._landmarks(small, mesh_xyz_px)
        eyes = mesh_xyz_px[_EYE_OUTER[1], :2] - mesh_xyz_px[_EYE_OUTER[0], :2]
        miss = np.linalg.norm(found - mesh_xyz_px[:, :2], axis=1).mean() / np.linalg.norm(eyes)
        code = self._encoder.encode(align(small, mesh_xyz_px)[None].astype(np.float32))[0]
        return float(miss), float(code @ code_unit)

    def _landmarks(self, picture_rgb_u8: Picture, mesh_xyz_px: Float) -> Float:
        """(468, 2) as the landmark model finds them in a patch about the mesh given."""
        points = mesh_xyz_px[:, :2].astype(np.float64)
        low, high = points.min(0), points.max(0)
        eyes = points[_EYE_OUTER[1]] - points[_EYE_OUTER[0]]
        scale = MESH_PATCH_PX / (_PATCH_MARGIN * float((high - low).max()))
        along = eyes / np.linalg.norm(eyes) * scale
        turn = np.array([[along[0], along[1]], [-along[1], along[0]]])
        shift = (MESH_PATCH_PX - 1) / 2 - turn @ ((low + high) / 2)
        patch = cv2.warpAffine(
            picture_rgb_u8,
            np.column_stack([turn, shift]),
            (MESH_PATCH_PX, MESH_PATCH_PX),
            borderMode=cv2.BORDER_REPLICATE,
        )
        found, _ = self._mesh.run(np.asarray(patch, np.float32)[None] / np.float32(255))
        return np.asarray((found[0, :, :2] - shift) @ np.linalg.inv(turn).T, np.float32)

    def _face(self, model: Model) -> Face:
        return Face(cut(self._teacher.render(model.style), model.box_xyxy_px, FINE_PX), model.points_xy_px)


def in_colours_of(fine_rgb_u8: Picture, picture_rgb_u8: Picture) -> Picture:
    """The fine picture with the low frequencies of the other, which is enlarged to its size; uint8."""
    size = (fine_rgb_u8.shape[1], fine_rgb_u8.shape[0])
    known = cv2.resize(picture_rgb_u8, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    fine = fine_rgb_u8.astype(np.float32)
    fine += cv2.GaussianBlur(known - fine, (0, 0), _SHARED_PX)
    return np.asarray(np.clip(np.rint(fine), 0, 255), np.uint8)
