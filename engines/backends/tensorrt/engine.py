"""The engine that wrappers see: opens a model as a plan, checks what goes in, parts batches that are too large."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.backends.base import BackendEngine, one_line
from engines.backends.int8 import is_quantised
from engines.backends.tensorrt.bindings import import_tensorrt
from engines.backends.tensorrt.compile import Compiled, compile_plan
from engines.backends.tensorrt.device import open_device
from engines.backends.tensorrt.execution import Execution
from engines.backends.tensorrt.plan_cache import PlanCache, PlanKey
from engines.backends.tensorrt.prepare import Precision, prepare
from engines.backends.tensorrt.profiles import Profiles
from engines.contract import Tensor
from engines.errors import EngineError
from engines.places import user_cache_directory

_log = logging.getLogger(__name__)

# GPU work is queued by the calling thread alone.
_HOST_THREADS = 1


def default_plan_cache() -> PlanCache:
    """Plans in the user's cache folder."""
    return PlanCache(user_cache_directory() / "tensorrt")


class TensorRtEngine(BackendEngine):
    """An ONNX graph compiled by TensorRT for one GPU. The first opening compiles it, which takes minutes.

    May be opened, used and closed in different threads, by one at a time.

    Args:
        model: the ONNX file.
        precision: see `prepare`.
        profiles: sizes the plan works for; changing them means compiling anew.
        cache: where plans are kept, by default `default_plan_cache()`.
        device: which GPU, from 0.

    Raises (from the constructor):
        EngineError: a package, driver or GPU is missing, the graph is refused, a plan on disk is not to be trusted.
    """

    def __init__(
        self,
        model: bytes,
        *,
        weights_sha256: str,
        precision: Precision = "fp32",
        profiles: Profiles | None = None,
        cache: PlanCache | None = None,
        device: int = 0,
    ) -> None:
        trt: Any = import_tensorrt()
        self._device = open_device(device)
        profiles = profiles or Profiles()
        key = PlanKey(
            onnx_sha256=weights_sha256,
            profiles=profiles,
            precision=precision,
            tensorrt_version=trt.__version__,
            gpu_name=self._device.name,
            compute_capability=self._device.compute_capability,
        )

        def build(timing_cache: bytes) -> Compiled:
            what = f"a model of {len(model) / 1e6:.1f} MB ({weights_sha256[:12]}...) in {precision}"
            _log.info("TensorRT compiles %s for %s; once, for minutes", what, key.gpu_name)
            start = time.monotonic()
            compiled = compile_plan(prepare(model, precision), profiles, timing_cache)
            _log.info("compiled in %.0f s", time.monotonic() - start)
            return compiled

        with self._device.active():
            plan = (cache or default_plan_cache()).load_or_build(key, build)
            self._execution: Execution | None = Execution(trt, self._device.cuda, plan)
        super().__init__(
            self._execution.inputs,
            self._execution.outputs,
            name="tensorrt",
            version=trt.__version__,
            weights_sha256=weights_sha256,
            threads=_HOST_THREADS,
            device=f"cuda:{device} {self._device.name}",
            precision="int8" if is_quantised(model) else "fp16" if precision == "fp16" else None,
        )
        self._free_batch = all(spec.shape[:1] == (None,) for spec in (*self.inputs, *self.outputs))

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        execution = self._execution
        if execution is None:
            raise EngineError("tensorrt: the engine is closed")
        self._check_inputs(inputs)
        parts = self._parts(inputs, execution)
        self._check_limits(parts[0], execution)
        try:
            with self._device.active():
                results = [execution.run(part) for part in parts]
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"tensorrt failed: {one_line(error)}") from error
        if len(results) == 1:
            return results[0]
        return {spec.name: np.concatenate([result[spec.name] for result in results]) for spec in self.outputs}

    def close(self) -> None:
        execution, self._execution = self._execution, None
        if execution is not None:
            with self._device.active():
                execution.close()

    def _parts(self, inputs: Mapping[str, Tensor], execution: Execution) -> list[Mapping[str, Tensor]]:
        """The inputs, in as few parts of like size as the largest batch of the plan needs."""
        if not self._free_batch:
            return [inputs]
        rows = {spec.name: len(inputs[spec.name]) for spec in self.inputs}
        if len(set(rows.values())) != 1:
            raise EngineError(f"tensorrt: the inputs differ in their batch: {rows}")
        most = min(most[0] for _, most in execution.limits.values())
        count = -(-max(rows.values()) // most)
        if count <= 1:
            return [inputs]
        split = {spec.name: np.array_split(inputs[spec.name], count) for spec in self.inputs}
        return [{name: arrays[index] for name, arrays in split.items()} for index in range(count)]

    def _check_limits(self, part: Mapping[str, Tensor], execution: Execution) -> None:
        for name, (least, most) in execution.limits.items():
            shape = part[name].shape
            if any(not low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
                raise EngineError(
                    f"tensorrt: input {name!r} {shape} is outside of what the plan was built for, {least} to {most}"
                )
