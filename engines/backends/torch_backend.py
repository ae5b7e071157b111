"""The torch backend (extra `torch`): an independent second computation of every graph, operator by operator.

For reference and parity, not for speed: it shares no code with the compilers it is compared with. The ONNX graph is
run as written, without fusions; published converters would need torchvision, which does not import beside every
build of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.backends.base import BackendEngine, one_line
from engines.backends.int8 import is_quantised
from engines.contract import Tensor, TensorSpec
from engines.errors import EngineError


class TorchEngine(BackendEngine):
    """An ONNX graph run node by node in torch on the CPU, in the types the file states.

    `threads` is torch's own setting, which is one for the whole process: the engine opened last decides.
    """

    def __init__(self, model: bytes, *, weights_sha256: str, threads: int = 1) -> None:
        try:
            import onnx
            import torch

            from engines.backends.torch_ops import OPERATORS
        except ImportError as error:
            message = "the torch backend is not installed; run: pip install 'veilstream[torch]'"
            raise EngineError(message) from error
        try:
            document = onnx.load_from_string(model)
            onnx.checker.check_model(document)
            graph = document.graph
            self._constants = {item.name: _tensor(item) for item in graph.initializer}
            nodes = [_Node(node) for node in graph.node]
            specs = [tuple(_spec(value) for value in values) for values in (graph.input, graph.output)]
        except Exception as error:
            raise EngineError(f"torch refuses the model: {one_line(error)}") from error
        unknown = {node.kind for node in nodes} - OPERATORS.keys()
        if unknown:
            raise EngineError(f"torch refuses the model: no operator {', '.join(sorted(unknown))} here")
        super().__init__(
            tuple(spec for spec in specs[0] if spec.name not in self._constants),
            specs[1],
            name="torch",
            version=torch.__version__,
            weights_sha256=weights_sha256,
            threads=threads,
            precision="int8" if is_quantised(model) else None,
        )
        torch.set_num_threads(threads)
        self._torch = torch
        self._operators = OPERATORS
        self._nodes = self._fold_constants(nodes)
        self._last_use = {name: index for index, node in enumerate(self._nodes) for name in node.inputs}

    def infer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self._check_inputs(inputs)
        values: dict[str, Any] = {
            spec.name: self._torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in self.inputs
        }
        wanted = {spec.name for spec in self.outputs}
        try:
            with self._torch.inference_mode():
                for index, node in enumerate(self._nodes):
                    values[node.output] = self._apply(node, values)
                    for name in node.inputs:
                        if self._last_use[name] == index and name not in wanted:
                            values.pop(name, None)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"torch failed: {one_line(error)}") from error
        # Copies: an output may be a view of an input.
        return {spec.name: np.array(values[spec.name].numpy()) for spec in self.outputs}

    def _apply(self, node: _Node, values: Mapping[str, Any]) -> Any:
        given = [
            None if not name else self._constants[name] if name in self._constants else values[name]
            for name in node.inputs
        ]
        return self._operators[node.kind](node.attributes, *given)

    def _fold_constants(self, nodes: list[_Node]) -> list[_Node]:
        """Work out once what depends on weights alone (the shipped files dequantise theirs); the other nodes."""
        outputs = {spec.name for spec in self._outputs}
        rest = []
        for node in nodes:
            if node.output in outputs or not all(not name or name in self._constants for name in node.inputs):
                rest.append(node)
                continue
            try:
                self._constants[node.output] = self._apply(node, {})
            except Exception as error:
                raise EngineError(f"torch refuses the model: {node.kind}: {one_line(error)}") from error
        return rest


class _Node:
    """One operator of the graph."""

    def __init__(self, node: Any) -> None:
        if len([name for name in node.output if name]) != 1 or node.domain not in ("", "ai.onnx"):
            raise EngineError(f"operator {node.op_type} with several outputs or of another domain")
        self.kind: str = node.op_type
        self.inputs: list[str] = list(node.input)
        self.output: str = node.output[0]
        self.attributes = {item.name: _attribute(item) for item in node.attribute}


def _attribute(item: Any) -> Any:
    from onnx import TensorProto, helper

    value = helper.get_attribute_value(item)
    if isinstance(value, TensorProto):
        return _tensor(value)
    return value.decode() if isinstance(value, bytes) else value


def _tensor(item: Any) -> Any:
    import torch
    from onnx import numpy_helper

    return torch.from_numpy(np.array(numpy_helper.to_array(item)))


def _spec(value: Any) -> TensorSpec:
    from onnx import helper

    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return TensorSpec(value.name, shape, helper.tensor_dtype_to_np_dtype(kind.elem_type).name)
