"""From an ONNX file to a TensorRT plan, with Polygraphy's loaders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engines.backends.base import one_line
from engines.backends.tensorrt.bindings import import_polygraphy, last_error
from engines.backends.tensorrt.profiles import Profiles
from engines.errors import EngineError


@dataclass(frozen=True)
class Compiled:
    """A plan, and what was learned about the speed of kernels while it was made."""

    plan: bytes
    timing_cache: bytes


def compile_plan(model: bytes, profiles: Profiles, timing_cache: bytes) -> Compiled:
    """Build a plan; takes from seconds to minutes. The CUDA context must be current.

    Args:
        model: an ONNX file in the types it is to compute in.
        profiles: sizes the plan must work for.
        timing_cache: of earlier builds on this GPU, or empty; a damaged one is ignored by TensorRT.

    Raises:
        EngineError: TensorRT refuses the graph, or cannot build it.
    """
    loaders: Any = import_polygraphy()
    errors = last_error()
    errors.take()
    try:
        parsed = loaders.network_from_onnx_bytes(model, strongly_typed=True)
        builder, network, _ = parsed
        # TF32 off: float32 then means float32, and results agree with the CPU's.
        config = loaders.create_config(
            builder, network, tf32=False, profiles=[_profile(loaders, network, profiles)]
        )
        # Polygraphy would take a path alone, and write to it in place.
        known = config.create_timing_cache(timing_cache)
        if known is not None:
            config.set_timing_cache(known, ignore_mismatch=False)
        plan = bytes(loaders.engine_bytes_from_network(parsed, config))
        learned = config.get_timing_cache()
        return Compiled(plan, b"" if learned is None else bytes(learned.serialize()))
    except EngineError:
        raise
    except Exception as error:
        reason = errors.take()
        raise EngineError(f"TensorRT cannot compile the model: {reason or one_line(error)}") from error


def _profile(loaders: Any, network: Any, profiles: Profiles) -> Any:
    profile = loaders.Profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        least, usual, most = profiles.shapes(tuple(tensor.shape))
        profile.add(tensor.name, min=least, opt=usual, max=most)
    return profile
