"""The 468-point face mesh: which point is what, how the points are joined, and the mean neutral face.

Numbers of the points follow the MediaPipe face mesh (Kartynnik et al., arXiv 1907.06724). "Left" and "right"
here are the image's, seen on an upright frontal face. Axes of a mesh: x to the right, y down, z away from
the camera, all in the same unit.

`canonical.npz` was derived for this project from synthetic and public-domain portraits: landmarks of frontal
neutral people, aligned (generalised Procrustes), made symmetric; its unit is the distance between the eye
centres and its origin lies midway between them. The triangles are Delaunay's on that layout with a half open
mouth, unrolled from a cylinder, so that mouth and eye openings are covered too and a warp through them has
no holes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

POINT_COUNT = 468


def _indices(*numbers: int) -> IndexArray:
    array = np.array(numbers, dtype=np.int64)
    array.setflags(write=False)
    return array


# Closed curves, each in order around its contour.
OVAL = _indices(
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS_OUTER = _indices(
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146
)  # fmt: skip
LIPS_INNER = _indices(
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95
)  # fmt: skip
EYE_LEFT = _indices(33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
EYE_RIGHT = _indices(263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
# Open curves.
BROW_LEFT = _indices(70, 63, 105, 66, 107)
BROW_RIGHT = _indices(300, 293, 334, 296, 336)

NOSE_TIP = _indices(1, 4)
FOREHEAD_TOP = 10
CHIN = 152
MOUTH_CORNER_LEFT = 61
MOUTH_CORNER_RIGHT = 291
LIP_UPPER, LIP_LOWER = 13, 14

# Points that the muscles of expression hardly move: forehead, temples, bridge and wings of the nose, eye
# corners, and the sides of the head down to the ears. The head's pose is fitted on these.
RIGID = _indices(
    10, 338, 297, 332, 284, 251, 389, 356, 454, 127, 162, 21, 54, 103, 67, 109, 234,
    33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 64, 294, 48, 278,
    151, 9, 8, 193, 417, 122, 351, 196, 419, 3, 248, 236, 456,
    68, 298, 104, 333, 71, 301, 139, 368, 34, 264, 227, 447, 116, 345, 143, 372,
)  # fmt: skip


@cache
def _canonical_file() -> dict[str, npt.NDArray[np.float64]]:
    path = Path(__file__).with_name("canonical.npz")
    with np.load(path, allow_pickle=False) as stored:
        tables = {name: stored[name].astype(np.float64) for name in ("points", "triangles", "mirror")}
    for table in tables.values():
        table.setflags(write=False)
    return tables


@cache
def canonical_mesh() -> Float64Array:
    """(468, 3) mean frontal neutral face; unit: distance of the eye centres; origin between them.
    Read-only.
    """
    return _canonical_file()["points"]


@cache
def triangles() -> IndexArray:
    """(T, 3) point numbers; every triangle runs clockwise on the screen when it faces the camera.
    Read-only.
    """
    table = _canonical_file()["triangles"].astype(np.int64)
    table.setflags(write=False)
    return table


@cache
def mirror_index() -> IndexArray:
    """(468,) number of each point's partner on the other half of the face. Its own inverse. Read-only."""
    table = _canonical_file()["mirror"].astype(np.int64)
    table.setflags(write=False)
    return table


def mirrored(mesh: npt.NDArray[np.floating], width_px: int) -> npt.NDArray[np.floating]:
    """The mesh (468, 2 or 3) of the picture flipped left to right, points renumbered. New array, same
    dtype.
    """
    flipped = mesh[mirror_index()]
    flipped[:, 0] = (width_px - 1) - flipped[:, 0]
    return flipped


def five_points(mesh: npt.ArrayLike) -> Float64Array:
    """Left eye, right eye, nose tip, left and right mouth corner (5, 2) of a mesh (468, 2 or 3), image left
    first.
    """
    points = np.asarray(mesh, dtype=np.float64)[:, :2]
    return np.stack(
        [
            points[EYE_LEFT].mean(axis=0),
            points[EYE_RIGHT].mean(axis=0),
            points[NOSE_TIP].mean(axis=0),
            points[MOUTH_CORNER_LEFT],
            points[MOUTH_CORNER_RIGHT],
        ]
    )


def mouth_opening(mesh: npt.ArrayLike) -> float:
    """Height of the opening between the lips over the distance of the mouth's corners, of a mesh (468, 2 or 3)."""
    points = np.asarray(mesh, dtype=np.float64)[:, :2]
    width = float(np.linalg.norm(points[MOUTH_CORNER_RIGHT] - points[MOUTH_CORNER_LEFT]))
    height = float(np.linalg.norm(points[LIP_LOWER] - points[LIP_UPPER]))
    return height / max(width, 1e-6)
