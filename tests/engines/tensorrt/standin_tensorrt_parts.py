"""The parts of the stand-in `tensorrt` that need neither a machine nor the enums of a version."""

from __future__ import annotations

from typing import Any

Shape = tuple[int, ...]


class IHostMemory(bytearray):
    """Bytes behind the buffer protocol."""

    @property
    def nbytes(self) -> int:
        return len(self)


class ILogger:
    def __init__(self) -> None:
        self.ready = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class ITimingCache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.data)

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self.data += input_cache.data
        return True


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[Shape, Shape, Shape]] = {}

    # The real one names its parameters so.
    def set_shape(self, input: str, min: Shape, opt: Shape, max: Shape) -> None:  # noqa: A002
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))

    def __bool__(self) -> bool:
        return bool(self.shapes) and all(
            0 <= low <= usual <= high
            for shapes in self.shapes.values()
            for low, usual, high in zip(*shapes, strict=True)
        )


class ITensor:
    def __init__(self, name: str, shape: Shape, dtype: Any) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype
        self.is_shape_tensor = False


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.model = b""
        self.inputs: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_layers(self) -> int:
        return 0

    def get_input(self, index: int) -> ITensor:
        return self.inputs[index]

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags & 1 << int(flag))

    def __len__(self) -> int:
        return self.num_layers

    def __getitem__(self, index: int) -> Any:
        raise IndexError(index)


class ParserError:
    def __init__(self, message: str) -> None:
        self.message = message

    def desc(self) -> str:
        return self.message

    def __str__(self) -> str:
        return f"In node -1 (parse): UNSUPPORTED_NODE: {self.message}"


class IBuilderConfig:
    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self._flags = 1 << int(trt.BuilderFlag.TF32)
        self.profiles: list[IOptimizationProfile] = []
        self._timing_cache: ITimingCache | None = None
        self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        self.engine_capability = trt.EngineCapability.STANDARD
        self.default_device_type = trt.DeviceType.GPU
        self.DLA_core = -1

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags & 1 << int(flag))

    def set_flag(self, flag: Any) -> None:
        self._flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self._flags &= ~(1 << int(flag))

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        data = bytes(serialized_timing_cache)
        return ITimingCache(data) if not data or data.startswith(b"timing:") else None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._timing_cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._timing_cache

    def get_memory_pool_limit(self, pool: Any) -> int:
        return 1 << 30

    def get_tactic_sources(self) -> int:
        return 0

    def get_preview_feature(self, feature: Any) -> bool:
        return False
