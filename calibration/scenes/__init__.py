"""Synthetic scenes with exact truth: moving synthetic faces over made backgrounds.

Real footage has no exact truth, and every frame of it is somebody's. These scenes have boxes, ids and masks
to the pixel, for tests and benchmarks of coverage and tracking, and show only people who do not exist.
"""

from calibration.scenes.background import background
from calibration.scenes.cutout import Cutout, drawn_cutout
from calibration.scenes.library import SCENES, make_scene
from calibration.scenes.scene import FaceTruth, Keyframe, Role, Scene, SceneFrame
from calibration.scenes.writer import write_clip

__all__ = [
    "SCENES",
    "Cutout",
    "FaceTruth",
    "Keyframe",
    "Role",
    "Scene",
    "SceneFrame",
    "background",
    "drawn_cutout",
    "make_scene",
    "write_clip",
]
