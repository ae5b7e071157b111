"""The CUDA device: its primary context, pushed in the calling thread for as long as it is needed.

Engines are opened in one thread and called from another (`engines.guard`), so no thread may be assumed to have a
context. The primary context is used, which TensorRT and every other CUDA library of the process share. It is
retained once per process and given back at its end: pycuda can release it in the thread alone that retained it."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from engines.backends.base import one_line
from engines.backends.tensorrt.bindings import import_driver
from engines.errors import EngineError


class CudaDevice:
    """One GPU and its primary context.

    Attributes:
        cuda: the module `pycuda.driver`.
        name: as the driver gives it, such as "NVIDIA L4".
        compute_capability: such as "8.9".
    """

    def __init__(self, index: int) -> None:
        self.cuda: Any = import_driver()
        count = self.cuda.Device.count()
        if not 0 <= index < count:
            raise EngineError(f"there is no GPU {index}; this machine has {count}, numbered from 0")
        self.index = index
        try:
            device = self.cuda.Device(index)
            self.name = str(device.name())
            self.compute_capability = "{}.{}".format(*device.compute_capability())
            self._context = device.retain_primary_context()
        except self.cuda.Error as error:
            raise EngineError(f"GPU {index} cannot be used: {one_line(error)}") from error
        self._process = os.getpid()
        # pycuda's destructor would detach it like a context of its own, which a primary one is not.
        atexit.register(self._context.detach)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the context current in this thread; CUDA's errors inside become `EngineError`.

        Pushes and pops stay balanced whatever happens: pycuda aborts the process when a thread ends with a
        context still on its stack.

        Raises:
            EngineError: GPU memory is exhausted, or CUDA failed.
        """
        if os.getpid() != self._process:
            raise EngineError("CUDA does not survive a fork; open the engine in the process that uses it")
        try:
            self._context.push()
            try:
                yield
            finally:
                self.cuda.Context.pop()
        except self.cuda.MemoryError as error:
            raise EngineError(f"GPU {self.index} ({self.name}) is out of memory") from error
        except self.cuda.Error as error:
            raise EngineError(f"CUDA failed on GPU {self.index}: {one_line(error)}") from error


@cache
def open_device(index: int) -> CudaDevice:
    """The device, one object per process.

    Raises:
        EngineError: pycuda, a driver or the GPU is missing.
    """
    return CudaDevice(index)
