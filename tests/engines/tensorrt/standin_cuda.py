"""A stand-in for `pycuda.driver` and the few driver functions behind CUDA graphs, on the CPU and strict.

It keeps the rules of the real ones and breaks where they would corrupt memory, hang or give garbage:
* every call needs a context that is current in the calling thread, and pushes and pops balance;
* what is queued on a stream runs when the stream is waited for, and not before: a host buffer that is read too
  early holds NaN, one that is changed too early is reported;
* memory is known by address; what was freed, or is too small, cannot be used;
* pinned and device memory, streams and captured calls are counted, so that a test can see what was not given back.

A broken rule raises `Misuse` and is kept in `Machine.misuses`, as code under test may turn exceptions into others."""

from __future__ import annotations

import ctypes
import itertools
import threading
import weakref
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

ALIGNMENT = 256
_NAN_BYTE = 0xFF


class Misuse(AssertionError):
    """The code under test broke a rule of CUDA or TensorRT."""


class Machine:
    """The simulated GPU and what is alive on it.

    Attributes:
        memory_bytes: of the device; allocating more fails as it does in CUDA.
        fail_synchronize: a message makes the next wait for a stream fail with it, as kernels fail.
        fail_capture: a CUDA error code that ends captures.
    """

    def __init__(
        self, gpus: int = 1, name: str = "Stand-in GPU", capability: tuple[int, int] = (8, 9)
    ) -> None:
        self.gpus = gpus
        self.name = name
        self.capability = capability
        self.memory_bytes = 1 << 30
        self.fail_synchronize = ""
        self.fail_capture = 0
        self.initialised = False
        self.retained = 0
        self.misuses: list[str] = []
        self.device_memory: dict[int, bytearray] = {}
        self.pinned = 0
        # The real stream goes with its last reference.
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self.captures = 0
        self.allocations = 0
        self._numbers = itertools.count(1)
        self._stacks = threading.local()

    def misuse(self, message: str) -> Misuse:
        self.misuses.append(message)
        return Misuse(message)

    @property
    def stack(self) -> list[Context]:
        """Contexts pushed in this thread."""
        if not hasattr(self._stacks, "contexts"):
            self._stacks.contexts = []
        stack: list[Context] = self._stacks.contexts
        return stack

    def need_context(self, what: str) -> None:
        if not self.initialised:
            raise self.misuse(f"{what} before init()")
        if not self.stack:
            raise self.misuse(f"{what} without a current context in this thread")

    def handle(self) -> int:
        return 0x5000_0000 + next(self._numbers) * 0x100

    def allocate(self, size: int) -> int:
        self.allocations += 1
        address = 0x7F00_0000_0000 + next(self._numbers) * (1 << 32)
        # Unset memory is not zero.
        self.device_memory[address] = bytearray([_NAN_BYTE]) * size
        return address

    def memory(self, address: int, size: int, what: str) -> memoryview:
        """Live device memory of at least `size` bytes at an address."""
        if address % ALIGNMENT:
            raise self.misuse(f"{what}: address {address:#x} is not aligned")
        if address not in self.device_memory:
            raise self.misuse(f"{what}: no live memory at {address:#x}")
        block = self.device_memory[address]
        if size > len(block):
            raise self.misuse(f"{what}: {size} bytes at {address:#x}, where {len(block)} are")
        return memoryview(block)[:size]

    def stream(self, handle: int, what: str) -> Stream:
        if handle not in self.streams:
            raise self.misuse(f"{what}: no live stream {handle:#x}")
        return self.streams[handle]

    def left_over(self) -> dict[str, int]:
        """What was not given back; empty when all was."""
        counts = {
            "device buffers": len(self.device_memory),
            "pinned buffers": self.pinned,
            "streams": len(self.streams),
            "graphs": len(self.graphs),
            "contexts current": len(self.stack),
            "contexts retained": self.retained,
        }
        return {name: count for name, count in counts.items() if count}


class Error(Exception):
    """Base of the driver's errors."""


class LogicError(Error):
    pass


class MemoryError(Error):  # noqa: A001 - the real one has this name
    pass


class Context:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def push(self) -> None:
        self._machine.stack.append(self)

    def detach(self) -> None:
        self._machine.retained -= 1


class Device:
    def __init__(self, machine: Machine, number: int) -> None:
        if not machine.initialised:
            raise machine.misuse("Device() before init()")
        if not 0 <= number < machine.gpus:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")
        self._machine = machine

    def name(self) -> str:
        return self._machine.name

    def compute_capability(self) -> tuple[int, int]:
        return self._machine.capability

    def retain_primary_context(self) -> Context:
        self._machine.retained += 1
        return Context(self._machine)


class DeviceAllocation:
    def __init__(self, machine: Machine, size: int) -> None:
        self._machine = machine
        self.address = machine.allocate(size)

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        machine = self._machine
        machine.need_context("free() of device memory")
        if self.address not in machine.device_memory:
            raise machine.misuse("device memory freed twice")
        machine.device_memory[self.address][:] = b""
        del machine.device_memory[self.address]

    def __del__(self) -> None:
        if self.address in self._machine.device_memory and not self._machine.stack:
            self._machine.misuses.append("device memory left to the garbage collector")


class PinnedAllocation:
    """What the real module keeps as `base` of a pinned array."""

    def __init__(self, machine: Machine, memory: np.ndarray[Any, Any]) -> None:
        self._machine = machine
        self._memory = memory
        self.live = True
        machine.pinned += 1

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return dict(self._memory.__array_interface__)

    def free(self) -> None:
        self._machine.need_context("free() of pinned memory")
        if not self.live:
            raise self._machine.misuse("pinned memory freed twice")
        self.live = False
        self._memory[:] = _NAN_BYTE
        self._machine.pinned -= 1


class Stream:
    """Work that waits until somebody waits for it."""

    def __init__(self, machine: Machine, flags: int = 0) -> None:
        self._machine = machine
        self.queued: list[Callable[[], None]] = []
        machine.need_context("Stream()")
        self.handle = machine.handle()
        self.recording: list[Callable[[], None]] | None = None
        machine.streams[self.handle] = self

    def _put(self, work: Callable[[], None]) -> None:
        (self.queued if self.recording is None else self.recording).append(work)

    def synchronize(self) -> Stream:
        machine = self._machine
        machine.need_context("Stream.synchronize()")
        if self.recording is not None:
            raise machine.misuse("a stream was waited for while it is captured")
        queued, self.queued = self.queued, []
        for work in queued:
            work()
        if queued and machine.fail_synchronize:
            message, machine.fail_synchronize = machine.fail_synchronize, ""
            # The real one is no Python frame, and keeps nothing alive in a traceback.
            del self, queued, work
            raise LogicError(message)
        return self

    def __del__(self) -> None:
        if self.queued:
            self._machine.misuses.append("a stream went away with work on it")
        if hasattr(self, "handle") and not self._machine.stack:
            self._machine.misuses.append("a stream was left to the garbage collector")


def _pinned_of(machine: Machine, array: np.ndarray[Any, Any], what: str) -> PinnedAllocation:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, PinnedAllocation):
        raise machine.misuse(f"{what}: the host buffer is not pinned")
    if not base.live:
        raise machine.misuse(f"{what}: the pinned buffer was freed")
    if not array.flags.c_contiguous:
        raise machine.misuse(f"{what}: the host buffer has gaps")
    return base


def driver_module(machine: Machine) -> Any:
    """The module `pycuda.driver` of a machine."""
    module: Any = ModuleType("pycuda.driver")

    class BoundDevice(Device):
        def __init__(self, number: int) -> None:
            super().__init__(machine, number)

        @staticmethod
        def count() -> int:
            return machine.gpus

    class BoundContext(Context):
        @staticmethod
        def pop() -> None:
            if not machine.stack:
                raise LogicError(
                    "context::pop failed: invalid device context - cannot pop non-current context"
                )
            machine.stack.pop()

    class BoundStream(Stream):
        def __init__(self, flags: int = 0) -> None:
            super().__init__(machine, flags)

    def init(flags: int = 0) -> None:
        machine.initialised = True

    def mem_alloc(bytes: int) -> DeviceAllocation:  # noqa: A002 - the real one names it so
        machine.need_context("mem_alloc()")
        if bytes <= 0:
            raise LogicError("cuMemAlloc failed: invalid argument")
        used = sum(len(block) for block in machine.device_memory.values())
        if used + bytes > machine.memory_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        return DeviceAllocation(machine, bytes)

    def pagelocked_empty(shape: int, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        machine.need_context("pagelocked_empty()")
        memory = np.full(shape, _NAN_BYTE, dtype)
        return np.asarray(PinnedAllocation(machine, memory))

    def memcpy_htod_async(dest: DeviceAllocation, src: Any, stream: Stream) -> None:
        machine.need_context("memcpy_htod_async()")
        pinned = _pinned_of(machine, src, "memcpy_htod_async()")
        machine.memory(int(dest), src.nbytes, "memcpy_htod_async()")
        recorded = stream.recording is not None
        as_queued = None if recorded else src.tobytes()

        def work() -> None:
            if not pinned.live:
                raise machine.misuse("pinned memory was freed before the copy from it ran")
            if as_queued is not None and src.tobytes() != as_queued:
                raise machine.misuse("the host buffer was changed before the copy from it ran")
            machine.memory(int(dest), src.nbytes, "copy to the device")[:] = src.tobytes()

        stream._put(work)

    def memcpy_dtoh_async(dest: Any, src: DeviceAllocation, stream: Stream) -> None:
        machine.need_context("memcpy_dtoh_async()")
        pinned = _pinned_of(machine, dest, "memcpy_dtoh_async()")
        machine.memory(int(src), dest.nbytes, "memcpy_dtoh_async()")
        if stream.recording is None:
            dest[...] = _NAN_BYTE

        def work() -> None:
            if not pinned.live:
                raise machine.misuse("pinned memory was freed before the copy to it ran")
            block = machine.memory(int(src), dest.nbytes, "copy from the device")
            dest[...] = np.frombuffer(block, np.uint8).reshape(dest.shape)

        stream._put(work)

    module.Device, module.Context, module.Stream = BoundDevice, BoundContext, BoundStream
    module.DeviceAllocation = DeviceAllocation
    module.Error, module.LogicError, module.MemoryError = Error, LogicError, MemoryError
    module.init, module.mem_alloc, module.pagelocked_empty = init, mem_alloc, pagelocked_empty
    module.memcpy_htod_async, module.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    return module


def graph_functions(machine: Machine) -> SimpleNamespace:
    """The driver's C functions for CUDA graphs, for `engines.backends.tensorrt.graph`."""
    invalid = 1

    def begin(stream: int, mode: int) -> int:
        machine.need_context("cuStreamBeginCapture")
        target = machine.stream(stream, "cuStreamBeginCapture")
        if target.recording is not None:
            raise machine.misuse("a stream is captured already")
        if mode != 1:
            raise machine.misuse("the capture would forbid CUDA to other threads")
        target.recording = []
        return 0

    def end(stream: int, graph: Any) -> int:
        machine.need_context("cuStreamEndCapture")
        target = machine.stream(stream, "cuStreamEndCapture")
        if target.recording is None:
            raise machine.misuse("no capture to end")
        recorded, target.recording = target.recording, None
        if machine.fail_capture:
            return machine.fail_capture
        machine.captures += 1
        graph._obj.value = machine.handle()
        machine.graphs[graph._obj.value] = recorded
        return 0

    def instantiate(executable: Any, graph: ctypes.c_void_p, flags: int) -> int:
        machine.need_context("cuGraphInstantiateWithFlags")
        if graph.value not in machine.graphs:
            return invalid
        executable._obj.value = machine.handle()
        machine.graphs[executable._obj.value] = list(machine.graphs[graph.value])
        return 0

    def launch(executable: ctypes.c_void_p, stream: int) -> int:
        machine.need_context("cuGraphLaunch")
        if executable.value not in machine.graphs:
            raise machine.misuse("a graph was launched that is gone")
        target = machine.stream(stream, "cuGraphLaunch")
        machine.launches += 1
        for work in machine.graphs[executable.value]:
            target._put(work)
        return 0

    def destroy(graph: ctypes.c_void_p) -> int:
        machine.need_context("destroying a graph")
        if machine.graphs.pop(graph.value or 0, None) is None:
            raise machine.misuse("a graph was destroyed twice")
        return 0

    return SimpleNamespace(
        cuStreamBeginCapture_v2=begin,
        cuStreamEndCapture=end,
        cuGraphInstantiateWithFlags=instantiate,
        cuGraphLaunch=launch,
        cuGraphExecDestroy=destroy,
        cuGraphDestroy=destroy,
    )
