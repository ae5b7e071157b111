"""Imports of the GPU packages, late, each failure one line that says what to do.

TensorRT reports its errors to a logger and returns None or False. The logger is Polygraphy's, one for the
process, as TensorRT wants it; it is handed on to Python's `logging`, where `LastError` keeps the last error for
the message of an `EngineError`."""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType
from typing import Any

from engines.backends.base import one_line
from engines.errors import EngineError

SUPPORTED_MAJOR_VERSIONS = (10, 11)
# The name under which Polygraphy logs, and TensorRT through it.
_LOGGER_NAME = "Polygraphy"
_LONGEST_ERROR = 300


def import_tensorrt() -> Any:
    """The module `tensorrt`, of a version this backend knows.

    Raises:
        EngineError: not installed, does not load, or of another version.
    """
    try:
        import tensorrt as trt
    except ModuleNotFoundError as error:
        raise EngineError(
            "the tensorrt backend is not installed; run: pip install 'veilstream[gpu]'"
        ) from error
    except Exception as error:
        raise EngineError(f"tensorrt is installed but does not load: {one_line(error)}") from error
    # The package of that name on PyPI leaves an empty module where its libraries could not be fetched.
    version = str(getattr(trt, "__version__", "0"))
    if int(version.split(".")[0]) not in SUPPORTED_MAJOR_VERSIONS:
        raise EngineError(f"tensorrt {version} is not supported; install version 10 or 11")
    return trt


def import_driver() -> Any:
    """The module `pycuda.driver`, initialised, with at least one GPU.

    Raises:
        EngineError: not installed, no NVIDIA driver, or no GPU.
    """
    try:
        from pycuda import driver
    except ModuleNotFoundError as error:
        raise EngineError("pycuda is not installed; run: pip install 'veilstream[gpu]'") from error
    except Exception as error:
        raise EngineError(
            f"pycuda does not load: {one_line(error)}; is the NVIDIA driver installed?"
        ) from error
    try:
        driver.init()
        count = int(driver.Device.count())
    except driver.Error as error:
        raise EngineError(f"no usable NVIDIA GPU here: {one_line(error)}") from error
    if not count:
        raise EngineError("no NVIDIA GPU here; use another engine backend")
    return driver


def import_polygraphy() -> ModuleType:
    """The module `polygraphy.backend.trt`, its messages going to Python's `logging`.

    Raises:
        EngineError: not installed.
    """
    try:
        from polygraphy.backend import trt as loaders
        from polygraphy.logger import G_LOGGER
    except ImportError as error:
        raise EngineError("polygraphy is not installed; run: pip install 'veilstream[gpu]'") from error
    # By default it prints, and colours what it prints.
    G_LOGGER.use_python_logging_system = True
    G_LOGGER.colors = False
    G_LOGGER.letter = False
    last_error()
    module: ModuleType = loaders
    return module


class LastError(logging.Handler):
    """Keeps the newest error that TensorRT or Polygraphy logged, for whoever finds out that a call failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._line = ""

    def emit(self, record: logging.LogRecord) -> None:
        lines = [line.strip() for line in record.getMessage().splitlines() if line.strip()]
        # The first error is the cause; what is logged at "critical" is Polygraphy's "look above".
        if lines and (record.levelno < logging.CRITICAL or not self._line):
            self._line = lines[0][:_LONGEST_ERROR]

    def take(self) -> str:
        """The error logged since the last call, empty where there was none."""
        line, self._line = self._line, ""
        return line


@cache
def last_error() -> LastError:
    """The one handler of the process. It stands between the errors and the terminal: they are raised instead."""
    handler = LastError()
    logger = logging.getLogger(_LOGGER_NAME)
    logger.addHandler(handler)
    return handler
