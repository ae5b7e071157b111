"""CUDA graphs through the driver's C functions, which pycuda does not wrap.

A captured call is launched as a whole, which spares the CPU the launch of each of the hundred small kernels of
these networks. A graph holds the addresses and shapes it was captured with."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from engines.errors import EngineError

_DRIVER = "libcuda.so.1"
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other engines do in other threads meanwhile is theirs.
_THREAD_LOCAL = 1
# Argument types by function, as in cuda.h; each returns a CUresult, 0 being success.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuStreamBeginCapture_v2": (ctypes.c_void_p, ctypes.c_int),
    "cuStreamEndCapture": (ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)),
    "cuGraphInstantiateWithFlags": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, ctypes.c_ulonglong),
    "cuGraphLaunch": (ctypes.c_void_p, ctypes.c_void_p),
    "cuGraphExecDestroy": (ctypes.c_void_p,),
    "cuGraphDestroy": (ctypes.c_void_p,),
}


class CaptureError(EngineError):
    """A call cannot be captured; it can still be made."""


class CapturedCall:
    """What was queued on a stream between `begin` and `end`, to be launched again and again.

    The context must be current for every function.
    """

    def __init__(self, executable: ctypes.c_void_p) -> None:
        self._executable = executable

    def launch(self, stream: int) -> None:
        """Queue the whole call.

        Raises:
            EngineError: the driver refuses.
        """
        result = _driver().cuGraphLaunch(self._executable, stream)
        if result:
            raise EngineError(f"a captured CUDA call cannot be launched: CUDA error {result}")

    def free(self) -> None:
        """Give it back; not while it runs."""
        _driver().cuGraphExecDestroy(self._executable)


def begin(stream: int) -> None:
    """Record what this thread queues on `stream` from now on, and do not run it.

    Raises:
        CaptureError: the driver is too old, or refuses.
    """
    _check(_driver().cuStreamBeginCapture_v2(stream, _THREAD_LOCAL))


def end(stream: int) -> CapturedCall:
    """Stop recording. To be called after every `begin`, also when what was to be recorded failed.

    Raises:
        CaptureError: something was queued that cannot be captured.
    """
    recorded = ctypes.c_void_p()
    executable = ctypes.c_void_p()
    _check(_driver().cuStreamEndCapture(stream, ctypes.byref(recorded)))
    try:
        _check(_driver().cuGraphInstantiateWithFlags(ctypes.byref(executable), recorded, 0))
    finally:
        _driver().cuGraphDestroy(recorded)
    return CapturedCall(executable)


def _check(result: int) -> None:
    if result:
        raise CaptureError(f"a CUDA call cannot be captured: CUDA error {result}")


@cache
def _driver() -> Any:
    try:
        library = ctypes.CDLL(_DRIVER)
        for name, arguments in FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes = arguments
            function.restype = ctypes.c_int
    except (OSError, AttributeError) as error:
        raise CaptureError(f"this NVIDIA driver has no CUDA graphs: {error}") from error
    return library
