"""The stand-ins catch misuse: what would corrupt memory, hang or give garbage on a GPU fails on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engines.backends.tensorrt.bindings import import_polygraphy
from engines.backends.tensorrt.compile import compile_plan
from engines.backends.tensorrt.profiles import Profiles
from engines.zoo import registry


class Gpu:
    """A stand-in with a context pushed, and helpers that do a call by hand."""

    def __init__(self, standin: Any) -> None:
        self.standin, self.machine, self.cuda, self.trt = standin, standin.machine, standin.cuda, standin.trt
        self.cuda.init()
        self.primary = self.cuda.Device(0).retain_primary_context()
        self.primary.push()
        self.stream = self.cuda.Stream()
        self.keep: list[Any] = []

    def pinned(self, size: int) -> Any:
        self.keep.append(self.cuda.pagelocked_empty(size, np.uint8))
        return self.keep[-1]

    def device(self, size: int) -> Any:
        self.keep.append(self.cuda.mem_alloc(size))
        return self.keep[-1]

    def context(self) -> Any:
        """An execution context of the iris model."""
        model = registry.read_checked(registry.entry("iris"))
        plan = compile_plan(model, Profiles(), b"").plan
        logger = import_polygraphy().get_trt_logger()
        return self.trt.Runtime(logger).deserialize_cuda_engine(plan).create_execution_context()

    def ready(self) -> Any:
        """An execution context that has all it needs for two eyes."""
        context = self.context()
        assert context.set_input_shape("input_1", (2, 64, 64, 3))
        for name, size in (
            ("input_1", 2 * 64 * 64 * 3),
            ("output_eyes_contours_and_brows", 426),
            ("output_iris", 30),
        ):
            assert context.set_tensor_address(name, int(self.device(4 * size)))
        return context

    def close(self) -> None:
        self.stream.queued.clear()
        self.stream.recording = None
        for item in self.keep:
            owner = item.base if isinstance(item, np.ndarray) else item
            if getattr(owner, "live", getattr(owner, "address", None) in self.machine.device_memory):
                owner.free()
        self.keep.clear()
        del self.stream
        while self.machine.stack:
            self.cuda.Context.pop()
        self.primary.detach()


@pytest.fixture
def gpu(standin: Any) -> Iterator[Gpu]:
    opened = Gpu(standin)
    yield opened
    if not opened.machine.stack:
        opened.primary.push()
    opened.close()


@pytest.fixture
def misuse(gpu: Gpu) -> Any:
    """Expects a broken rule, and takes it off the list that must be empty at the end."""

    class Expect:
        def __init__(self, match: str) -> None:
            self._raises = pytest.raises(gpu.standin.misuse, match=match)

        def __enter__(self) -> None:
            self._raises.__enter__()

        def __exit__(self, *error: Any) -> bool | None:
            result = self._raises.__exit__(*error)
            gpu.machine.misuses.clear()
            return result

    return Expect


def test_calls_without_a_context(gpu: Gpu, misuse: Any) -> None:
    gpu.cuda.Context.pop()
    for call in (
        lambda: gpu.cuda.mem_alloc(16),
        lambda: gpu.cuda.pagelocked_empty(16, np.uint8),
        lambda: gpu.cuda.Stream(),
        lambda: gpu.stream.synchronize(),
        lambda: gpu.trt.Runtime(import_polygraphy().get_trt_logger()),
    ):
        with misuse("without a current context in this thread"):
            call()


def test_a_context_of_another_thread_does_not_count(gpu: Gpu) -> None:
    seen: list[BaseException] = []

    def work() -> None:
        try:
            gpu.cuda.mem_alloc(16)
        except AssertionError as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "in this thread" in str(seen[0])
    gpu.machine.misuses.clear()


def test_popping_too_often(gpu: Gpu) -> None:
    gpu.cuda.Context.pop()
    with pytest.raises(gpu.cuda.LogicError, match="cannot pop"):
        gpu.cuda.Context.pop()


def test_a_result_read_before_the_stream_was_waited_for(gpu: Gpu) -> None:
    host, device = gpu.pinned(4), gpu.device(4)
    host.view(np.float32)[:] = 1
    gpu.cuda.memcpy_htod_async(device, host, gpu.stream)
    gpu.stream.synchronize()
    result = gpu.pinned(4)
    gpu.cuda.memcpy_dtoh_async(result, device, gpu.stream)
    assert np.isnan(result.view(np.float32)[0])
    gpu.stream.synchronize()
    assert result.view(np.float32)[0] == 1


def test_an_input_changed_before_the_stream_was_waited_for(gpu: Gpu, misuse: Any) -> None:
    host = gpu.pinned(4)
    host[:] = 1
    gpu.cuda.memcpy_htod_async(gpu.device(4), host, gpu.stream)
    host[:] = 2
    with misuse("changed before the copy"):
        gpu.stream.synchronize()


def test_memory_freed_before_the_copy_ran(gpu: Gpu, misuse: Any) -> None:
    host, device = gpu.pinned(4), gpu.device(4)
    gpu.cuda.memcpy_dtoh_async(host, device, gpu.stream)
    device.free()
    with misuse("no live memory"):
        gpu.stream.synchronize()
    gpu.cuda.memcpy_dtoh_async(host, gpu.device(4), gpu.stream)
    host.base.free()
    with misuse("pinned memory was freed"):
        gpu.stream.synchronize()


def test_memory_freed_twice(gpu: Gpu, misuse: Any) -> None:
    host, device = gpu.pinned(4), gpu.device(4)
    for item in (device, host.base):
        item.free()
        with misuse("freed twice"):
            item.free()


def test_copies_that_do_not_fit(gpu: Gpu, misuse: Any) -> None:
    with misuse("8 bytes at .* where 4 are"):
        gpu.cuda.memcpy_htod_async(gpu.device(4), gpu.pinned(8), gpu.stream)
    with misuse("not pinned"):
        gpu.cuda.memcpy_htod_async(gpu.device(4), np.zeros(4, np.uint8), gpu.stream)
    with misuse("gaps"):
        gpu.cuda.memcpy_htod_async(gpu.device(4), gpu.pinned(8)[::2], gpu.stream)


def test_what_is_not_given_back_is_counted(gpu: Gpu) -> None:
    gpu.pinned(4)
    gpu.device(4)
    left = gpu.machine.left_over()
    assert left == {
        "device buffers": 1,
        "pinned buffers": 1,
        "streams": 1,
        "contexts current": 1,
        "contexts retained": 1,
    }


def test_device_memory_left_to_the_garbage_collector(gpu: Gpu) -> None:
    allocation = gpu.cuda.mem_alloc(4)
    gpu.cuda.Context.pop()
    address = allocation.address
    del allocation
    assert gpu.machine.misuses == ["device memory left to the garbage collector"]
    gpu.machine.misuses.clear()
    del gpu.machine.device_memory[address]


def test_a_call_that_is_ready_runs(gpu: Gpu) -> None:
    context = gpu.ready()
    assert context.execute_async_v3(gpu.stream.handle)
    gpu.stream.synchronize()


def test_a_call_before_the_shape_or_an_address_was_set(gpu: Gpu, misuse: Any) -> None:
    context = gpu.context()
    with misuse("before the shape of 'input_1' was set"):
        context.execute_async_v3(gpu.stream.handle)
    context.set_input_shape("input_1", (2, 64, 64, 3))
    with misuse("before the address of 'input_1' was set"):
        context.execute_async_v3(gpu.stream.handle)


def test_addresses_that_are_no_memory(gpu: Gpu, misuse: Any) -> None:
    context = gpu.context()
    device = gpu.device(4)
    with misuse("not aligned"):
        context.set_tensor_address("input_1", int(device) + 4)
    device.free()
    with misuse("no live memory"):
        context.set_tensor_address("input_1", int(device))
    assert not context.set_tensor_address("another", int(gpu.device(4)))


def test_a_buffer_that_is_too_small_for_the_shape(gpu: Gpu, misuse: Any) -> None:
    context = gpu.ready()
    context.set_input_shape("input_1", (3, 64, 64, 3))
    with misuse("where 98304 are"):
        context.execute_async_v3(gpu.stream.handle)


def test_a_buffer_freed_after_its_address_was_set(gpu: Gpu, misuse: Any) -> None:
    context = gpu.ready()
    gpu.keep[0].free()
    with misuse("no live memory"):
        context.execute_async_v3(gpu.stream.handle)


def test_a_shape_outside_of_the_profile_is_refused_as_tensorrt_does(gpu: Gpu) -> None:
    context = gpu.context()
    assert not context.set_input_shape("input_1", (17, 64, 64, 3))
    assert not context.set_input_shape("input_1", (2, 64, 64))


def test_shapes_changed_while_a_call_is_queued(gpu: Gpu, misuse: Any) -> None:
    context = gpu.ready()
    context.execute_async_v3(gpu.stream.handle)
    context.set_input_shape("input_1", (1, 64, 64, 3))
    with misuse("had been given other shapes"):
        gpu.stream.synchronize()


def test_a_stream_that_is_gone(gpu: Gpu, misuse: Any) -> None:
    context = gpu.ready()
    with misuse("no live stream"):
        context.execute_async_v3(gpu.cuda.Stream().handle)


def test_a_network_that_is_not_strongly_typed(gpu: Gpu, misuse: Any) -> None:
    builder = gpu.trt.Builder(import_polygraphy().get_trt_logger())
    with misuse("not strongly typed"):
        builder.build_serialized_network(builder.create_network(0), builder.create_builder_config())


def test_a_plan_that_is_no_plan(gpu: Gpu, misuse: Any) -> None:
    with misuse("no plan"):
        gpu.trt.Runtime(import_polygraphy().get_trt_logger()).deserialize_cuda_engine(b"data")


def test_a_plan_of_another_gpu_is_refused_as_tensorrt_does(gpu: Gpu) -> None:
    plan = compile_plan(registry.read_checked(registry.entry("iris")), Profiles(), b"").plan
    gpu.machine.name = "Another GPU"
    assert gpu.trt.Runtime(import_polygraphy().get_trt_logger()).deserialize_cuda_engine(plan) is None


def test_a_logger_without_its_base(gpu: Gpu, misuse: Any) -> None:
    class Half(gpu.trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            pass

    with misuse("base was not initialised"):
        gpu.trt.Runtime(Half())


def test_objects_that_outlive_their_context(gpu: Gpu) -> None:
    context = gpu.context()
    gpu.cuda.Context.pop()
    del context
    assert len(gpu.machine.misuses) == 3
    assert all("destroyed without a current context" in message for message in gpu.machine.misuses)
    gpu.machine.misuses.clear()


def test_a_capture_of_a_call_that_was_not_settled(gpu: Gpu, misuse: Any) -> None:
    context = gpu.ready()
    gpu.stream.recording = []
    with misuse("had not run with these shapes"):
        context.execute_async_v3(gpu.stream.handle)


def test_waiting_for_a_stream_that_is_captured(gpu: Gpu, misuse: Any) -> None:
    gpu.stream.recording = []
    with misuse("while it is captured"):
        gpu.stream.synchronize()
