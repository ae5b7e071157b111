"""Edits of a teacher person: pose, expression and light as directions in the style space.

A face is measured on its dense landmarks and its pixels (`measure`); a ridge regression from styles to those
measures gives their gradients, and a step to asked values is the shortest one in the Mahalanobis metric of the styles,
so that an edit stays among the people the teacher knows and moves the other measures, skin tone among them, as little
as it can. Linear directions in the latent space follow InterFaceGAN (Shen et al., arXiv 2005.09635); closing the
loop by measuring again after each step is what makes them exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.face.pose import head_pose
from engines.training.layout import LAYERS

MEASURES = (
    "yaw",  # degrees, positive when the face turns to the picture's right
    "pitch",  # degrees, positive when it looks up
    "mouth_open",  # gap of the inner lips over the distance of the outer eye corners
    "smile",  # mouth width over the same distance, plus three times the lift of the corners
    "eye_open",  # gap of the lids over the width of the eye, mean of both
    "brow_lift",  # height of the brows over the eyes, over the distance of the outer eye corners
    "light_side",  # brightness of the picture's right cheek less that of the left one, over their mean
    "skin_lightness",  # CIE L* of the cheeks
    "skin_yellowness",  # CIE b* of the cheeks
    "mouth_width",  # over the distance of the outer eye corners
    "corner_lift",  # height of the mouth corners over the middle of the lips, same unit
)
# Width and corners of the mouth are steered together, as a smile moves them; alone either is a trait of the person.
STEERED = MEASURES[:9]
# Layers of up to 32 x 32 px.
EDIT_LAYERS = 10

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

_EYE_OUTER = (33, 263)
_CHEEKS = (50, 280)
_MESH_PATCH_PX = 192


class MeshModel(Protocol):
    """Dense landmarks on patches, as `engines.landmarks.FaceMesh`."""

    def run(self, patches_rgb_f32: Float) -> tuple[Float, Float]:
        """(N, 192, 192, 3) in 0..1 -> points (N, 468, 3) in patch px and raw presence (N,)."""


@dataclass(frozen=True)
class FaceReading:
    """Landmarks and measures of one face in one picture.

    Attributes:
        mesh_xyz_px: (468, 3) float32 in px of the picture.
        presence: raw score of the landmark model.
        measures: (len(MEASURES),) float32, in the order of `MEASURES`.
    """

    mesh_xyz_px: Float
    presence: float
    measures: Float

    def __getitem__(self, name: str) -> float:
        return float(self.measures[MEASURES.index(name)])


def read_face(picture_rgb_u8: Picture, model: MeshModel, *, box_xyxy_px: Float | None = None) -> FaceReading:
    """Reads a face; without a box the framing of the teacher (FFHQ: face in the middle) is assumed.

    The landmark model is run twice: the second patch is cut by the first landmarks, upright and centred, which is what
    the model was trained on and takes out most of the dependence on the first box.
    """
    side = picture_rgb_u8.shape[0]
    if box_xyxy_px is None:
        centre, size, angle = np.array([side / 2, side * 0.56]), side * 0.8, 0.0
    else:
        centre = np.asarray((box_xyxy_px[:2] + box_xyxy_px[2:]) / 2, np.float64)
        size, angle = 1.5 * float((box_xyxy_px[2:] - box_xyxy_px[:2]).max()), 0.0
    mesh, presence = _read_patch(picture_rgb_u8, model, centre, size, angle)
    eyes = mesh[_EYE_OUTER[1], :2] - mesh[_EYE_OUTER[0], :2]
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    angle = float(np.arctan2(eyes[1], eyes[0]))
    mesh, presence = _read_patch(
        picture_rgb_u8, model, (low + high) / 2.0, 1.4 * float((high - low).max()), angle
    )
    return FaceReading(mesh, presence, measure(picture_rgb_u8, mesh))


def measure(picture_rgb_u8: Picture, mesh_xyz_px: Float) -> Float:
    """The measures of `MEASURES` (float32) from a picture and its mesh (468, 3) in px of it."""
    m = mesh_xyz_px.astype(np.float64)
    eye_span = float(np.linalg.norm(m[_EYE_OUTER[1]] - m[_EYE_OUTER[0]]))

    def gap(a: int, b: int) -> float:
        return float(np.linalg.norm(m[a] - m[b]))

    pose = head_pose(mesh_xyz_px)
    down = m[152] - m[10]
    up = down / np.linalg.norm(down)
    lips = (m[13] + m[14]) / 2
    corner_lift = float((lips - (m[61] + m[291]) / 2) @ up) / eye_span
    mouth_width = gap(61, 291) / eye_span
    brows = (m[[105, 334]].mean(0) - m[[159, 386]].mean(0)) @ -up / eye_span
    eye_open = (gap(159, 145) / gap(33, 133) + gap(386, 374) / gap(263, 362)) / 2
    left, right = (_patch_lab(picture_rgb_u8, m[index, :2], eye_span) for index in _CHEEKS)
    skin = (left + right) / 2
    return np.array(
        [
            np.degrees(pose.yaw_radians),
            np.degrees(pose.pitch_radians),
            gap(13, 14) / eye_span,
            mouth_width + 3.0 * corner_lift,
            eye_open,
            brows,
            (right[0] - left[0]) / max(skin[0], 1.0),
            skin[0],
            skin[2],
            mouth_width,
            corner_lift,
        ],
        np.float32,
    )


@dataclass(frozen=True)
class EditSpace:
    """Linear control over the measures.

    Attributes:
        steps: (len(STEERED), 512) float32: change of style per unit of each measure, the other ones held.
        mean, spread: (len(STEERED),) float32: over the samples of the fit.
        correlation: (len(STEERED),) float32: of prediction and truth on held-out samples.
    """

    steps: Float
    mean: Float
    spread: Float
    correlation: Float

    def apply(self, style: Float, change: Mapping[str, float], *, layers: int = EDIT_LAYERS) -> Float:
        """A style (512,) or (23, 512) moved by ``change`` in the named measures, in its first ``layers`` layers.

        The first layers hold pose and shape, the last ones colour and texture, which an edit should leave alone.
        Returns (23, 512), or (512,) when a (512,) style is moved in all of them.
        """
        step = np.zeros(style.shape[-1], np.float32)
        for name, amount in change.items():
            step += np.float32(amount) * self.steps[STEERED.index(name)]
        if style.ndim == 1 and layers >= LAYERS:
            return (style + step).astype(np.float32)
        moved = np.array(np.broadcast_to(style, (LAYERS, style.shape[-1])), np.float32)
        moved[:layers] += step
        return moved

    def save(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in ("steps", "mean", "spread", "correlation")})

    @classmethod
    def load(cls, path: Path) -> EditSpace:
        with np.load(path, allow_pickle=False) as archive:
            return cls(*(archive[name] for name in ("steps", "mean", "spread", "correlation")))


def fit_edits(
    styles: Float,
    measures: Float,
    *,
    held: Float,
    held_weight: float = 3.0,
    components: int = 160,
    ridge: float = 0.03,
) -> EditSpace:
    """Fits the edit space.

    Args:
        styles: (N, 512) random styles.
        measures: (N, len(MEASURES)) of their pictures; the first ``len(STEERED)`` are used.
        held: (N, H) what an edit should leave alone, such as recognition codes and apparent age, each column in a unit
            that says how much it matters.
        held_weight: price of a unit of change in what is held, against the squared length of the step.
        components: principal components of the styles that are used.
        ridge: added to the unit variance of each component.
    """
    measures = measures[:, : len(STEERED)]
    mean_style, mean = styles.mean(0), measures.mean(0)
    spread = measures.std(0) + 1e-9
    targets = np.concatenate([(measures - mean) / spread, held - held.mean(0)], 1).astype(np.float64)
    _, scale, basis = np.linalg.svd(styles - mean_style, full_matrices=False)
    basis, deviation = basis[:components], scale[:components] / np.sqrt(len(styles))
    white = (styles - mean_style) @ basis.T / deviation  # unit variance per component

    def solve(rows: NDArray[Any]) -> NDArray[Any]:
        gram = white[rows].T @ white[rows] + ridge * len(rows) * np.eye(len(deviation))
        return np.asarray(np.linalg.solve(gram, white[rows].T @ targets[rows]).T)

    folds = np.arange(len(styles)) % 5
    predicted = np.zeros_like(targets)
    for fold in range(5):
        predicted[folds == fold] = white[folds == fold] @ solve(np.flatnonzero(folds != fold)).T
    correlation = np.array([np.corrcoef(predicted[:, i], targets[:, i])[0, 1] for i in range(len(STEERED))])
    both = solve(np.arange(len(styles)))
    gradient, keep = both[: len(STEERED)], both[len(STEERED) :]
    # Cheapest step in white space that changes one measure by one spread and the other ones not at all.
    price = np.eye(len(deviation)) + held_weight * keep.T @ keep
    free = np.linalg.solve(price, gradient.T)
    inverse = free @ np.linalg.inv(gradient @ free)
    steps = (inverse.T * deviation) @ basis / spread[:, None]
    return EditSpace(*(np.asarray(part, np.float32) for part in (steps, mean, spread, correlation)))


def steer(
    style: Float,
    wanted: Mapping[str, float],
    *,
    space: EditSpace,
    layers: int = EDIT_LAYERS,
    render: Callable[[Float], Picture],
    model: MeshModel,
    rounds: int = 3,
    gain: float = 0.85,
    limits: Mapping[str, float] | None = None,
) -> tuple[Float, Picture, FaceReading]:
    """Brings a person to the wanted measures by measuring and stepping, ``rounds`` times.

    Args:
        wanted: asked values in the units of `MEASURES`; measures not named are left to themselves.
        render: style -> picture.
        limits: largest total change allowed per measure; the default is 4 spreads of it.

    Returns:
        The style, the picture rendered from it, and its reading.
    """
    total = dict.fromkeys(wanted, 0.0)
    picture = render(style)
    reading = read_face(picture, model)
    for _ in range(rounds):
        change: dict[str, float] = {}
        for name, value in wanted.items():
            most = (limits or {}).get(name, 4.0 * float(space.spread[STEERED.index(name)]))
            target = float(np.clip(total[name] + gain * (value - reading[name]), -most, most))
            change[name], total[name] = target - total[name], target
        style = space.apply(style, change, layers=layers)
        picture = render(style)
        reading = read_face(picture, model)
    return style, picture, reading


def _read_patch(
    picture_rgb_u8: Picture, model: MeshModel, centre: NDArray[Any], size: float, angle: float
) -> tuple[Float, float]:
    scale = _MESH_PATCH_PX / size
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = (_MESH_PATCH_PX - 1) / 2 - turn @ centre
    patch_from_picture = np.concatenate([turn, shift[:, None]], 1)
    patch = cv2.warpAffine(
        picture_rgb_u8,
        patch_from_picture,
        (_MESH_PATCH_PX, _MESH_PATCH_PX),
        flags=cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    points, presence = model.run((patch.astype(np.float32) / np.float32(255))[None])
    mesh = points[0].astype(np.float64)
    mesh[:, :2] = (mesh[:, :2] - shift) @ np.linalg.inv(turn).T
    mesh[:, 2] /= scale
    return mesh.astype(np.float32), float(presence[0])


def _patch_lab(
    picture_rgb_u8: Picture, centre_xy_px: NDArray[Any], eye_span_px: float
) -> NDArray[np.float64]:
    """Mean CIE L*, a*, b* of a small square; outside the picture the nearest pixels count."""
    half = max(1, int(eye_span_px * 0.06))
    height, width = picture_rgb_u8.shape[:2]
    x = int(np.clip(centre_xy_px[0], half, width - half - 1))
    y = int(np.clip(centre_xy_px[1], half, height - half - 1))
    square = picture_rgb_u8[y - half : y + half + 1, x - half : x + half + 1].astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2LAB).reshape(-1, 3).mean(0), np.float64)
