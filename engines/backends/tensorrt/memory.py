"""Memory of one tensor: a pinned buffer on the host and one on the device, kept between calls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.contract import Tensor


def size_bytes(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """Of an array without gaps."""
    return math.prod(shape) * np.dtype(dtype).itemsize


class TensorBuffer:
    """A host and a device buffer of the same size. They grow when a call needs more, and never shrink.

    Pinned memory is what asynchronous copies need. The context must be current for every method.

    Args:
        cuda: the module `pycuda.driver`.
    """

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._pinned: Any = None
        self._device: Any = None

    def reserve(self, needed_bytes: int) -> bool:
        """Make room; True when the buffers moved, and addresses taken before are void."""
        if self._pinned is not None and self._pinned.nbytes >= needed_bytes:
            return False
        self.free()
        self._device = self._cuda.mem_alloc(needed_bytes)
        try:
            self._pinned = self._cuda.pagelocked_empty(needed_bytes, np.uint8)
        except BaseException:
            self.free()
            raise
        return True

    @property
    def address(self) -> int:
        """Of the device buffer."""
        return int(self._device)

    def host(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Tensor:
        """A view of the pinned buffer. It must not outlive the next `reserve` or `free`."""
        view: Tensor = self._pinned[: size_bytes(shape, dtype)].view(dtype).reshape(shape)
        return view

    def upload(self, count_bytes: int, stream: Any) -> None:
        """Queue a copy to the device; the host buffer must not change before the stream was waited for."""
        self._cuda.memcpy_htod_async(self._device, self._pinned[:count_bytes], stream)

    def download(self, count_bytes: int, stream: Any) -> None:
        """Queue a copy from the device; the host buffer holds nothing before the stream was waited for."""
        self._cuda.memcpy_dtoh_async(self._pinned[:count_bytes], self._device, stream)

    def free(self) -> None:
        """Give both buffers back, now and not when the garbage collector comes by in another thread."""
        if self._device is not None:
            self._device.free()
            self._device = None
        if self._pinned is not None:
            self._pinned.base.free()
            self._pinned = None
