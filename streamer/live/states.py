"""The states a camera goes through."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum

_log = logging.getLogger(__name__)


class CameraState(str, Enum):
    """What a camera is doing. `ENDED` and `FAILED` are final."""

    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"
    FAILED = "failed"


FINAL_STATES = frozenset({CameraState.ENDED, CameraState.FAILED})
_FOLLOWS = {
    CameraState.CONNECTING: {CameraState.RUNNING, CameraState.RECONNECTING} | FINAL_STATES,
    CameraState.RUNNING: {CameraState.STALLED, CameraState.RECONNECTING} | FINAL_STATES,
    CameraState.STALLED: {CameraState.RUNNING, CameraState.RECONNECTING} | FINAL_STATES,
    CameraState.RECONNECTING: {CameraState.RUNNING} | FINAL_STATES,
    CameraState.ENDED: frozenset[CameraState](),
    CameraState.FAILED: frozenset[CameraState](),
}


class StateMachine:
    """The state of one camera, shared by its threads. Every change is logged and told.

    Args:
        camera: name for the log.
        on_change: called with each new state, under the machine's lock.
    """

    def __init__(self, camera: str, on_change: Callable[[CameraState], None]) -> None:
        self._camera = camera
        self._on_change = on_change
        self._lock = threading.Lock()
        self._state = CameraState.CONNECTING

    @property
    def state(self) -> CameraState:
        return self._state

    @property
    def is_final(self) -> bool:
        return self._state in FINAL_STATES

    def go(self, state: CameraState, why: str = "") -> bool:
        """Change to `state` where that may follow; False, and nothing happens, where it may not.

        Args:
            why: for the log; must not hold a credential.
        """
        with self._lock:
            before = self._state
            if state not in _FOLLOWS[before]:
                return False
            self._state = state
            self._on_change(state)
        level = logging.INFO if state in (CameraState.RUNNING, CameraState.ENDED) else logging.WARNING
        _log.log(
            level,
            "camera %s: %s -> %s%s",
            self._camera,
            before.value,
            state.value,
            f" ({why})" if why else "",
        )
        return True
