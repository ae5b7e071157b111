"""Several cameras in one process, with one set of engines."""

from __future__ import annotations

import logging
import threading
import time

import cv2

from engines.backends import choose_backend
from streamer.engine_pool import EnginePool, lanes_for
from streamer.live.camera import Camera
from streamer.live.health import camera_is_ready
from streamer.live.outputs.preview import PreviewHub
from streamer.live.settings import GatewaySettings
from streamer.live.telemetry import CameraSnapshot
from streamer.live.threads import start_thread
from streamer.toolkit import Toolkit

_log = logging.getLogger(__name__)

# Faces of several cameras in one call; on a CPU more gain nothing.
MOST_FACES_PER_CALL = 16
STOP_SECONDS = 10.0


class Gateway:
    """Runs the cameras of a configuration.

    Raises (from the constructor):
        SettingsError: options that cannot be honoured.
        EngineError, CalibrationError: a model, codebook or ledger that cannot be opened.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        # Cameras run side by side already. Threads of OpenCV's own would only take the cores from one another.
        cv2.setNumThreads(1)
        self.warnings: list[str] = []
        backend = choose_backend(settings.engine, require_gpu=settings.require_gpu).name
        lanes = lanes_for(len(settings.cameras), backend, settings.threads)
        self._pool = EnginePool(MOST_FACES_PER_CALL, lanes)
        self._cameras: dict[str, Camera] = {}
        try:
            for camera in settings.cameras:
                toolkit = Toolkit(settings.anonymize_settings(camera), pool=self._pool)
                self.warnings += [f"camera {camera.name}: {text}" for text in toolkit.warnings]
                self._cameras[camera.name] = Camera(camera, toolkit)
        except BaseException:
            self.stop(0.0)
            raise
        self._started = False

    @property
    def ready(self) -> bool:
        """True when every camera has put out pictures lately, or has ended; its placeholder counts."""
        return self._started and all(camera_is_ready(snapshot) for snapshot in self.snapshots())

    @property
    def healthy(self) -> bool:
        """False when a thread of a camera has died."""
        return all(camera.is_whole for camera in self._cameras.values())

    @property
    def is_over(self) -> bool:
        """True once every camera has ended or failed for good."""
        return all(camera.is_over for camera in self._cameras.values())

    def start(self) -> None:
        """Connect all cameras."""
        for camera in self._cameras.values():
            camera.start()
        self._started = True

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Stop all cameras side by side and complete their outputs, in that time at most."""
        deadline = time.monotonic() + timeout_seconds
        stopping: list[threading.Thread] = [
            start_thread(f"{name}-stop", lambda camera=camera: camera.stop(deadline))  # type: ignore[misc]
            for name, camera in self._cameras.items()
        ]
        for thread in stopping:
            thread.join(max(0.0, deadline - time.monotonic()) + 0.5)
        if any(thread.is_alive() for thread in stopping):
            _log.warning("not everything stopped in %g s", timeout_seconds)
        else:
            self._pool.close()

    def snapshots(self) -> list[CameraSnapshot]:
        """One per camera, in the order of the settings."""
        return [camera.snapshot() for camera in self._cameras.values()]

    def preview(self, name: str) -> PreviewHub | None:
        """None where the camera has no preview among its outputs, or is unknown."""
        camera = self._cameras.get(name)
        return None if camera is None else camera.preview
