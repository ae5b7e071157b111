"""A plan in use: buffers, stream and captured call of one TensorRT execution context."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.backends.tensorrt import graph
from engines.backends.tensorrt.bindings import import_polygraphy, last_error
from engines.backends.tensorrt.memory import TensorBuffer, size_bytes
from engines.contract import Tensor, TensorSpec
from engines.errors import EngineError

_log = logging.getLogger(__name__)

# Calls of the same shapes in a row after which the call is captured. The first of them settles what TensorRT does
# once after a change of shapes, and must not be captured.
CALLS_BEFORE_CAPTURE = 3


class Execution:
    """Runs a plan. Not for two threads at a time; the CUDA context must be current for every method.

    Attributes:
        inputs, outputs: the graph's tensors in order.
        limits: by input, the least and the largest shape the plan was built for.

    Args:
        trt: the module `tensorrt`.
        cuda: the module `pycuda.driver`.
        plan: from `PlanCache` and nowhere else; deserialising a plan runs code in it. Code for the host is not
            allowed to come with it, which is TensorRT's own default.

    Raises (from the constructor):
        EngineError: TensorRT refuses the plan, or has no memory for it.
    """

    def __init__(self, trt: Any, cuda: Any, plan: bytes) -> None:
        self._cuda = cuda
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._stream: Any = None
        self._buffers: dict[str, TensorBuffer] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._calls_alike = 0
        self._may_capture = True
        self._captured: graph.CapturedCall | None = None
        try:
            self._open(trt, plan)
        except BaseException:
            # Now, while the context is current, and not when the traceback goes.
            self.close()
            raise

    def _open(self, trt: Any, plan: bytes) -> None:
        errors = last_error()
        errors.take()
        self._runtime = trt.Runtime(import_polygraphy().get_trt_logger())
        # No local names for these: in a traceback they would outlive `close`.
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT refuses the plan: {errors.take() or 'no reason given'}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise EngineError(f"TensorRT cannot run the plan: {errors.take() or 'no reason given'}")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        specs = [self._spec(trt, name) for name in names]
        self.inputs = tuple(spec for spec in specs if modes[spec.name] == trt.TensorIOMode.INPUT)
        self.outputs = tuple(spec for spec in specs if modes[spec.name] == trt.TensorIOMode.OUTPUT)
        self.limits = {spec.name: self._shape_limits(spec.name) for spec in self.inputs}
        self._buffers = {name: TensorBuffer(self._cuda) for name in names}
        self._stream = self._cuda.Stream()

    def run(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One call: arrays of every input, of the stated dtypes and within `limits`. The outputs are copies.

        Raises:
            EngineError: TensorRT refuses the shapes or fails.
            pycuda.driver.Error: CUDA failed, as late as when the stream is waited for.
        """
        try:
            shapes = {spec.name: arrays[spec.name].shape for spec in self.inputs}
            if any(self._shapes.get(name) != shape for name, shape in shapes.items()):
                self._set_shapes(shapes)
            for spec in self.inputs:
                np.copyto(self._host(spec), arrays[spec.name])
            if self._captured is None:
                self._queue_call()
            else:
                self._captured.launch(self._stream.handle)
            self._stream.synchronize()
            outputs = {spec.name: np.array(self._host(spec)) for spec in self.outputs}
        except BaseException:
            self._forget()
            raise
        self._calls_alike += 1
        if self._calls_alike == CALLS_BEFORE_CAPTURE and self._may_capture:
            self._capture()
        return outputs

    def close(self) -> None:
        """Give everything back, while the context is current. The object is of no use afterwards."""
        self._forget()
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers.clear()
        # In this order: each was made by the next.
        self._context = None
        self._engine = None
        self._runtime = None
        self._stream = None

    def _set_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Tell TensorRT the inputs' shapes, make room for all tensors and tell it where they lie."""
        self._forget()
        errors = last_error()
        errors.take()
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise EngineError(f"TensorRT refuses input {name!r} {shape}: {errors.take()}")
        known = dict(shapes)
        for spec in self.outputs:
            known[spec.name] = tuple(self._context.get_tensor_shape(spec.name))
            if any(size < 0 for size in known[spec.name]):
                raise EngineError(
                    f"the shape of output {spec.name!r} depends on the data, which is not supported"
                )
        for spec in (*self.inputs, *self.outputs):
            buffer = self._buffers[spec.name]
            buffer.reserve(size_bytes(known[spec.name], spec.dtype))
            if not self._context.set_tensor_address(spec.name, buffer.address):
                raise EngineError(f"TensorRT refuses the memory of {spec.name!r}: {errors.take()}")
        self._shapes = known

    def _queue_call(self) -> None:
        """Queue the copies to the device, the network, and the copies back."""
        for spec in self.inputs:
            self._buffers[spec.name].upload(size_bytes(self._shapes[spec.name], spec.dtype), self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError(f"TensorRT failed: {last_error().take() or 'no reason given'}")
        for spec in self.outputs:
            self._buffers[spec.name].download(size_bytes(self._shapes[spec.name], spec.dtype), self._stream)

    def _capture(self) -> None:
        """Capture the call for the shapes at hand. What cannot be captured goes on being queued piece by piece."""
        stream = self._stream.handle
        try:
            graph.begin(stream)
            try:
                self._queue_call()
            finally:
                self._captured = graph.end(stream)
        except (EngineError, self._cuda.Error) as error:
            _log.info("CUDA graphs are not used: %s", error)
            self._may_capture = False
            self._forget()

    def _forget(self) -> None:
        """Back to before any shapes were set; nothing stays queued on the buffers.

        One captured call is kept at a time, and none over a change of shapes: TensorRT keeps state of the last
        shapes in the context, which a call captured with others would run into.
        """
        if self._stream is not None:
            with contextlib.suppress(self._cuda.Error):
                self._stream.synchronize()
        if self._captured is not None:
            self._captured.free()
            self._captured = None
        self._shapes = {}
        self._calls_alike = 0

    def _host(self, spec: TensorSpec) -> Tensor:
        return self._buffers[spec.name].host(self._shapes[spec.name], spec.dtype)

    def _spec(self, trt: Any, name: str) -> TensorSpec:
        if self._engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise EngineError(f"tensor {name!r} holds a shape, which is not supported")
        shape = tuple(None if size < 0 else int(size) for size in self._engine.get_tensor_shape(name))
        try:
            dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))).name
        except TypeError as error:
            raise EngineError(f"tensor {name!r} has a type that numpy does not know") from error
        return TensorSpec(name, shape, dtype)

    def _shape_limits(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        least, _, most = self._engine.get_tensor_profile_shape(name, 0)
        return tuple(least), tuple(most)
