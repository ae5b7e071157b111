"""How far the real eyes are open, and where they look. The dense mesh hardly follows closing lids; the iris model does.

What crosses to the synthetic person is one number in eight steps: openness relative to the track's own open eyes. For
where they look see `streamer.render.gaze`.
(Lid contour of the iris model: Ablavatski et al., Real-time Pupil Tracking from Monocular Video for Digital
Puppetry, 2020.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.face.topology import EYE_LEFT, EYE_RIGHT
from engines.landmarks import IRIS_PATCH_PX, IrisLandmarks
from streamer.frame import Float32Array, Float64Array
from streamer.planes import FaceRegion

# The model wants an eye in the middle of a square this many eye widths wide.
PATCH_EYE_WIDTHS = 2.3
# Points of the model's contour: corners, then pairs of (upper, lower) lid points in the middle of the eye.
_CORNERS = (0, 8)
_LID_PAIRS = ((11, 3), (12, 4), (13, 5))
# Opening over width, relative to the open eye: measured .3 to .6 on shut eyes, .8 on half open ones, 1 on open ones.
SHUT_RATIO, OPEN_RATIO = 0.6, 0.9
STEPS = 8
# So far apart are the eyes of somebody who winks.
WINK = 0.5
MEMORY_FRAMES = 100
OPEN_PERCENTILE = 75.0
# What open eyes measure before a track has shown its own, and how many frames it counts as: who comes in blinking is no
# narrow-eyed person. Shut eyes measure .04 to .1; of 1,024 synthetic people none measures less than .2.
PRIOR_OPENING, PRIOR_FRAMES = 0.19, 10
# Beyond this yaw the far eye is too narrow to be read; both follow the near one.
ONE_EYE_YAW_RADIANS = 0.35
# A reading may be this old: a blink lasts 100 to 300 ms.
ALTERNATE_WITHIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class EyeReading:
    """The eyes of one face, image left first; NaN for an eye that was not read.

    Attributes:
        openings: (2,) opening over width.
        iris_places: (2,) how far the iris is to the right of the middle between the corners, in eye widths.
    """

    openings: Float64Array
    iris_places: Float64Array


class EyeReader:
    """Reads eyes: all that are wanted in a frame, in one call of the engine."""

    def __init__(self, iris: IrisLandmarks) -> None:
        self._iris = iris

    def read(
        self,
        regions: Sequence[FaceRegion],
        meshes: Sequence[Float32Array],
        wanted: Sequence[tuple[bool, bool]],
    ) -> list[EyeReading]:
        """One reading per face.

        Args:
            regions: the pixels of each face.
            meshes: of (468, 3), display px.
            wanted: which eyes to read; see `LidState.wanted`.
        """
        openings, irises = np.full((2, len(meshes), 2), np.nan)
        places, patches = [], []
        for row, (region, mesh, eyes) in enumerate(zip(regions, meshes, wanted, strict=True)):
            for eye, indices in enumerate((EYE_LEFT, EYE_RIGHT)):
                if eyes[eye]:
                    affine = _eye_patch(mesh[indices, :2].astype(np.float64), mirrored=eye == 1)
                    patches.append(region.patch(affine, IRIS_PATCH_PX))
                    places.append((row, eye))
        if not patches:
            return [EyeReading(*row) for row in zip(openings, irises, strict=True)]
        contours, iris_points = self._iris.run(np.stack(patches))
        points = contours[:, :, :2].astype(np.float64)
        first, last = points[:, _CORNERS[0]], points[:, _CORNERS[1]]
        width = np.maximum(np.linalg.norm(last - first, axis=1), 1.0)
        gaps = [np.linalg.norm(points[:, upper] - points[:, lower], axis=1) for upper, lower in _LID_PAIRS]
        read = tuple(zip(*places, strict=True))
        openings[read] = np.mean(gaps, axis=0) / width
        irises[read] = (iris_points[:, 0, 0] - (first + last)[:, 0] / 2.0) / width
        # The eye on the right was shown mirrored.
        irises[:, 1] *= -1.0
        return [EyeReading(*row) for row in zip(openings, irises, strict=True)]


class LidState:
    """What a track's open eyes measure, learned as it goes: people's eyes are open most of the time."""

    def __init__(self) -> None:
        self._seen = deque([(PRIOR_OPENING, PRIOR_OPENING)] * PRIOR_FRAMES, maxlen=MEMORY_FRAMES)
        self._last: Float64Array | None = None
        self._read: tuple[deque[float], deque[float]] = (deque(maxlen=2), deque(maxlen=2))
        self._time_seconds = -np.inf
        self._turn = 0

    def wanted(self, yaw_radians: float, time_seconds: float) -> tuple[bool, bool]:
        """Which eyes to read in this frame: of a turned head the near one, else one after the other.

        Two eyes that blink together need no two readings a frame; at a low frame rate both are read all the same.
        """
        late = time_seconds - self._time_seconds > ALTERNATE_WITHIN_SECONDS
        self._time_seconds = time_seconds
        if abs(yaw_radians) > ONE_EYE_YAW_RADIANS:
            # Turned to the right, the eye on the left of the picture is the near one.
            return yaw_radians > 0, yaw_radians < 0
        if late or self._last is None:
            return True, True
        self._turn = 1 - self._turn
        return self._turn == 0, self._turn == 1

    def openness(self, openings: Float64Array, yaw_radians: float) -> tuple[float, float]:
        """Left and right eye, 0 shut to 1 open, in steps of an eighth.

        Args:
            openings: (2,) opening over width; NaN for an eye that was not read, see `_together`.
            yaw_radians: positive when the face turns towards the right edge of the picture.
        """
        values = openings.copy()
        if abs(yaw_radians) > ONE_EYE_YAW_RADIANS:
            values[:] = values[0] if yaw_radians > 0 else values[1]
        unread = np.isnan(values)
        if unread.any():
            values[unread] = (values[::-1] if self._last is None else self._last)[unread]
        self._last = values
        self._seen.append((float(values[0]), float(values[1])))
        opened = np.percentile(np.array(self._seen), OPEN_PERCENTILE, axis=0)
        relative = (values / np.maximum(opened, 1e-3) - SHUT_RATIO) / (OPEN_RATIO - SHUT_RATIO)
        relative = np.clip(relative, 0.0, 1.0)
        for eye in np.flatnonzero(~unread):
            self._read[eye].append(float(relative[eye]))
        if unread.sum() == 1:
            relative = self._together(relative, int(np.argmin(unread)))
        left, right = np.round(relative * STEPS) / STEPS
        return float(left), float(right)

    def _together(self, relative: Float64Array, eye: int) -> Float64Array:
        """Openness (2,) when only ``eye`` was read: eyes blink together, so the other one does the same.

        It shuts with the first reading and opens half with it, half with the next. Only when either eye was read the
        same twice, and they are far apart, is it a wink.
        """
        own, its = self._read[eye], self._read[1 - eye]
        if len(own) == len(its) == 2 and max(min(own) - max(its), min(its) - max(own)) > WINK:
            return relative
        now, before = float(relative[eye]), float(relative[1 - eye])
        return np.full(2, now if now < before else (now + before) / 2.0)


def _eye_patch(eye_xy_px: Float64Array, *, mirrored: bool) -> Float64Array:
    """`patch_from_display` (2, 3) of an eye (16, 2): level, centred, mirrored for the eye on the right."""
    first, last = eye_xy_px[0], eye_xy_px[8]
    along = first - last if mirrored else last - first
    width = max(float(np.linalg.norm(along)), 1.0)
    scale = IRIS_PATCH_PX / (PATCH_EYE_WIDTHS * width)
    cosine, sine = along / width
    linear = scale * np.array([[cosine, sine], [-sine, cosine]])
    if mirrored:
        linear[0] = -linear[0]
    middle = (IRIS_PATCH_PX - 1) / 2.0
    return np.column_stack([linear, middle - linear @ eye_xy_px.mean(axis=0)])
