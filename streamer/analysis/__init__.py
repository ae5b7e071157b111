"""Where the faces are: detection cadence, tracking, scene cuts, look-ahead."""

from streamer.analysis.analyzer import LOST_SECONDS, Analyzer, AnalyzerSettings, frames_for
from streamer.analysis.cadence import DetectionCadence
from streamer.analysis.lookahead import LookAhead
from streamer.analysis.observation import Observation
from streamer.analysis.scenecut import SceneCutDetector
from streamer.analysis.tracker import Tracker, TrackerStep

__all__ = [
    "LOST_SECONDS",
    "Analyzer",
    "AnalyzerSettings",
    "DetectionCadence",
    "LookAhead",
    "Observation",
    "SceneCutDetector",
    "Tracker",
    "TrackerStep",
    "frames_for",
]
