"""What the backends share: stated tensors, inputs checked against them, and one line out of a long message."""

from __future__ import annotations

from collections.abc import Mapping

from engines.contract import Engine, EngineInfo, Tensor, TensorSpec, weights_precision
from engines.errors import EngineError


class BackendEngine(Engine):
    """An opened graph that knows its tensors and what runs it.

    Args:
        name: of the backend, for messages.
        version: of the backend's package.
        precision: stated where the backend computes in another one than the graph's floats say.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        *,
        name: str,
        version: str,
        weights_sha256: str,
        threads: int,
        device: str = "cpu",
        precision: str | None = None,
    ) -> None:
        self._name = name
        self._inputs = inputs
        self._outputs = outputs
        self._info = EngineInfo(
            backend=f"{name} {version}",
            device=device,
            precision=precision or weights_precision({spec.dtype for spec in (*inputs, *outputs)}),
            weights_sha256=weights_sha256,
            threads=threads,
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs

    def describe(self) -> EngineInfo:
        return self._info

    def _check_inputs(self, given: Mapping[str, Tensor]) -> None:
        """For backends that would convert, reshape or reuse what does not fit; the contract is to refuse it.

        Raises:
            EngineError: an input is missing, or has another shape or dtype.
        """
        for spec in self._inputs:
            array = given.get(spec.name)
            if array is None or not _fits(array, spec):
                found = "nothing" if array is None else f"{array.shape} {array.dtype}"
                raise EngineError(
                    f"{self._name}: input {spec.name!r} is {spec.shape} {spec.dtype}, not {found}"
                )


def tensor_spec(name: str, shape: tuple[int | None, ...], kind: str, dtypes: Mapping[str, str]) -> TensorSpec:
    """A spec from a backend's own name of a tensor's type.

    Raises:
        EngineError: a type that no graph here has.
    """
    if kind not in dtypes:
        raise EngineError(f"tensor {name!r} has the unsupported type {kind}")
    return TensorSpec(name=name, shape=shape, dtype=dtypes[kind])


def one_line(error: Exception, position: int = 0) -> str:
    """One line of a backend's message: the first, or -1 where a source position comes before what is said."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[position].strip()[:300]


def _fits(array: Tensor, spec: TensorSpec) -> bool:
    return (
        array.dtype == spec.dtype
        and array.ndim == len(spec.shape)
        and all(size in (None, found) for size, found in zip(spec.shape, array.shape, strict=True))
    )
