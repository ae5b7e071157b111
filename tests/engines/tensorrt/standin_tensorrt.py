"""A stand-in for the module `tensorrt`, of version 10 or 11, that computes with onnxruntime and is strict.

It has the enum members of the recorded version and no others, so code that asks version 11 for what left with
version 10 fails as it would there. It reports as TensorRT does, by a logger and None or False, and raises
`Misuse` where TensorRT would read freed memory, write past a buffer or give garbage. A "plan" holds the ONNX file,
its profile and what it was built on; it is refused on another GPU or by another version."""

from __future__ import annotations

import contextlib
import enum
import json
import struct
import threading
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from standin_tensorrt_parts import (
    IBuilderConfig,
    IHostMemory,
    ILogger,
    INetworkDefinition,
    IOptimizationProfile,
    ITensor,
    ITimingCache,
    ParserError,
    Shape,
)

_MAGIC = b"standin-plan"
_TENSORS = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
}
_NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT32": np.int32, "INT8": np.int8}


class Faults:
    """Failures a test asks for, and what was seen on the way.

    Attributes:
        build, deserialize, context, execute: the next such call fails with this message.
        builds: flags of each build, `TF32` among them or not.
    """

    def __init__(self) -> None:
        self.build = self.deserialize = self.context = self.execute = ""
        self.builds: list[dict[str, Any]] = []
        self.capture_breaks_execute = False


def tensorrt_module(machine: Any, names: dict[str, Any]) -> Any:
    """The module for a machine, with the enums of a recorded version.

    Args:
        machine: a `standin_cuda.Machine`.
        names: a document of `record_names.py`.
    """
    trt: Any = ModuleType("tensorrt")
    trt.__version__ = names["version"]
    trt.faults = Faults()
    trt.alive = weakref.WeakSet()
    for name, members in names["classes"].items():
        values = {member: value for member, value in members.items() if isinstance(value, int)}
        if values and name not in ("ILogger", "Logger"):
            setattr(trt, name, enum.IntEnum(name, values))
    severities = {key: value for key, value in names["classes"]["Logger"].items() if isinstance(value, int)}
    severity = enum.IntEnum("Severity", severities)

    class BoundILogger(ILogger):
        Severity = severity

    class Logger(BoundILogger):
        def __init__(self, min_severity: Any = severity.WARNING) -> None:
            super().__init__()

        def log(self, severity: Any, msg: str) -> None:
            print(msg)

    for member in severity:
        setattr(BoundILogger, member.name, member)

    def need_logger(logger: Any) -> None:
        if not getattr(logger, "ready", False):
            raise machine.misuse("a logger whose base was not initialised")

    def fail(logger: Any, kind: str, otherwise: str = "") -> bool:
        message = getattr(trt.faults, kind) or otherwise
        if message:
            setattr(trt.faults, kind, "")
            logger.log(severity.ERROR, message)
        return bool(message)

    class Builder:
        def __init__(self, logger: Any) -> None:
            machine.need_context("Builder()")
            need_logger(logger)
            self.logger = logger

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(trt)

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
            machine.need_context("build_serialized_network()")
            if not network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED):
                raise machine.misuse("a network that is not strongly typed")
            if len(config.profiles) != 1:
                raise machine.misuse(f"{len(config.profiles)} profiles where one is used")
            trt.faults.builds.append({"tf32": config.get_flag(trt.BuilderFlag.TF32), "model": network.model})
            profile = config.profiles[0].shapes
            for tensor in network.inputs:
                shapes = profile.get(tensor.name, ())
                if not shapes or any(not _matches(tensor.shape, shape) for shape in shapes):
                    self.logger.log(severity.ERROR, f"{tensor.name}: dynamic, but the profile has {shapes}")
                    return None
            if fail(self.logger, "build"):
                return None
            cache = config.get_timing_cache()
            if cache is not None:
                cache.data = (cache.data or b"timing:") + b"."
            header = json.dumps({"on": _built_on(), "profile": profile}).encode()
            return IHostMemory(_MAGIC + struct.pack("<I", len(header)) + header + network.model)

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: Any) -> None:
            need_logger(logger)
            self._network = network
            self._errors: list[ParserError] = []

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

        def parse(self, model: bytes, path: str | None = None) -> bool:
            try:
                session = _session(bytes(model))
            except Exception as error:
                self._errors.append(ParserError(str(error).splitlines()[0]))
                return False
            self._network.model = bytes(model)
            self._network.inputs = [
                ITensor(value.name, _shape(value), trt.DataType[_TENSORS[value.type]])
                for value in session.get_inputs()
            ]
            return True

    class Runtime:
        def __init__(self, logger: Any) -> None:
            machine.need_context("Runtime()")
            need_logger(logger)
            self.logger = logger
            self.engine_host_code_allowed = False
            _track(self, "Runtime")

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            machine.need_context("deserialize_cuda_engine()")
            if self.engine_host_code_allowed:
                raise machine.misuse("a plan may bring code for the host")
            data = bytes(serialized_engine)
            if not data.startswith(_MAGIC):
                # The real one crashes on some such plans.
                raise machine.misuse("bytes that are no plan were deserialised")
            (length,) = struct.unpack_from("<I", data, len(_MAGIC))
            start = len(_MAGIC) + 4
            header = json.loads(data[start : start + length])
            wrong = "" if header["on"] == _built_on() else "The plan was built on another device or version"
            if fail(self.logger, "deserialize", wrong):
                return None
            return ICudaEngine(self, header["profile"], data[start + length :])

    class ICudaEngine:
        def __init__(self, runtime: Runtime, profile: dict[str, Any], model: bytes) -> None:
            self.runtime = runtime
            self.profile = {name: [tuple(shape) for shape in shapes] for name, shapes in profile.items()}
            self.session = _session(model)
            values = [*self.session.get_inputs(), *self.session.get_outputs()]
            self.values = {value.name: value for value in values}
            self.inputs = [value.name for value in self.session.get_inputs()]
            _track(self, "ICudaEngine")

        @property
        def num_io_tensors(self) -> int:
            return len(self.values)

        def get_tensor_name(self, index: int) -> str:
            return list(self.values)[index]

        def get_tensor_mode(self, name: str) -> Any:
            return trt.TensorIOMode.INPUT if name in self.inputs else trt.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name: str) -> Shape:
            return _shape(self.values[name])

        def get_tensor_dtype(self, name: str) -> Any:
            return trt.DataType[_TENSORS[self.values[name].type]]

        def get_tensor_location(self, name: str) -> Any:
            return trt.TensorLocation.DEVICE

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Shape]:
            return self.profile[name]

        def create_execution_context(self) -> IExecutionContext | None:
            machine.need_context("create_execution_context()")
            return None if fail(self.runtime.logger, "context") else IExecutionContext(self)

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine
            self._inputs: dict[str, Shape] = {}
            self._outputs: dict[str, Shape] = {}
            self._addresses: dict[str, int] = {}
            self._settled: dict[str, Shape] = {}
            self._busy = threading.Lock()
            _track(self, "IExecutionContext")

        def set_input_shape(self, name: str, shape: Shape) -> bool:
            with self._alone():
                least, _, most = self._engine.profile[name]
                shape = tuple(shape)
                fits = len(shape) == len(least) and all(
                    low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
                )
                if not fits:
                    message = f"{name}: {shape} is not in the profile {least} to {most}"
                    self._engine.runtime.logger.log(severity.ERROR, message)
                    return False
                self._inputs[name] = shape
                self._outputs.clear()
                return True

        def get_tensor_shape(self, name: str) -> Shape:
            if name in self._engine.inputs:
                return self._inputs.get(name, self._engine.get_tensor_shape(name))
            if self._inputs.keys() != set(self._engine.inputs):
                return self._engine.get_tensor_shape(name)
            if not self._outputs:
                zeros = {key: np.zeros(shape, self._dtype(key)) for key, shape in self._inputs.items()}
                results = self._engine.session.run(None, zeros)
                names = [value.name for value in self._engine.session.get_outputs()]
                self._outputs = {key: result.shape for key, result in zip(names, results, strict=True)}
            return self._outputs[name]

        def set_tensor_address(self, name: str, memory: int) -> bool:
            if name not in self._engine.values:
                return False
            machine.memory(memory, 0, f"set_tensor_address({name!r})")
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            machine.need_context("execute_async_v3()")
            with self._alone():
                stream = machine.stream(stream_handle, "execute_async_v3()")
                logger = self._engine.runtime.logger
                if fail(logger, "execute"):
                    return False
                for name in self._engine.inputs:
                    if name not in self._inputs:
                        raise machine.misuse(f"execute_async_v3() before the shape of {name!r} was set")
                shapes = {name: self.get_tensor_shape(name) for name in self._engine.values}
                for name, shape in shapes.items():
                    if name not in self._addresses:
                        raise machine.misuse(f"execute_async_v3() before the address of {name!r} was set")
                    size = int(np.prod(shape)) * np.dtype(self._dtype(name)).itemsize
                    machine.memory(self._addresses[name], size, f"execute_async_v3(), {name!r}")
                if stream.recording is not None:
                    if self._settled != self._inputs:
                        raise machine.misuse("a call was captured that had not run with these shapes before")
                    if trt.faults.capture_breaks_execute:
                        logger.log(severity.ERROR, "not capturable")
                        return False
                self._settled = dict(self._inputs)
                addresses, inputs = dict(self._addresses), dict(self._inputs)
                stream._put(lambda: self._compute(inputs, shapes, addresses))
                return True

        def _compute(self, inputs: dict[str, Shape], shapes: dict[str, Shape], at: dict[str, int]) -> None:
            if inputs != self._inputs:
                raise machine.misuse("a call ran after its context had been given other shapes")
            arrays = {name: self._array(name, shapes[name], at[name]).copy() for name in inputs}
            results = self._engine.session.run(None, arrays)
            for value, result in zip(self._engine.session.get_outputs(), results, strict=True):
                self._array(value.name, shapes[value.name], at[value.name])[...] = result

        def _array(self, name: str, shape: Shape, address: int) -> Any:
            dtype = np.dtype(self._dtype(name))
            block = machine.memory(address, int(np.prod(shape)) * dtype.itemsize, f"the network, {name!r}")
            return np.frombuffer(block, dtype).reshape(shape)

        def _dtype(self, name: str) -> Any:
            return trt.nptype(self._engine.get_tensor_dtype(name))

        @contextlib.contextmanager
        def _alone(self) -> Iterator[None]:
            if not self._busy.acquire(blocking=False):
                raise machine.misuse("an execution context used by two threads at a time")
            try:
                yield
            finally:
                self._busy.release()

    def _built_on() -> list[Any]:
        return [trt.__version__, machine.name, list(machine.capability)]

    def _track(item: Any, kind: str) -> None:
        trt.alive.add(item)

        def gone() -> None:
            if not machine.stack:
                machine.misuses.append(f"{kind} destroyed without a current context")

        weakref.finalize(item, gone).atexit = False

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        need_logger(logger)
        return True

    def nptype(trt_type: Any) -> Any:
        return _NUMPY[trt_type.name]

    trt.ILogger, trt.Logger = BoundILogger, Logger
    trt.Builder, trt.OnnxParser, trt.Runtime = Builder, OnnxParser, Runtime
    trt.ICudaEngine, trt.IExecutionContext = ICudaEngine, IExecutionContext
    for shared in (
        IHostMemory,
        ITimingCache,
        IOptimizationProfile,
        ITensor,
        INetworkDefinition,
        IBuilderConfig,
    ):
        setattr(trt, shared.__name__, shared)
    trt.ParserError = ParserError
    trt.init_libnvinfer_plugins, trt.nptype = init_libnvinfer_plugins, nptype
    return trt


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _shape(value: Any) -> Shape:
    return tuple(size if isinstance(size, int) else -1 for size in value.shape)


def _matches(shape: Shape, asked: Shape) -> bool:
    return len(shape) == len(asked) and all(
        size in (-1, wanted) for size, wanted in zip(shape, asked, strict=True)
    )
