"""Graph edits that turn a published model file into the file this package ships (extra `train`).

Every edit keeps the function computed: none retrains, prunes or re-quantises. `engines.zoo.prepare` says
which are applied to which model, and `models.json` names them, so that the lineage of a shipped file can be
checked from its source."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engines.errors import EngineError

# Opset of the edited graphs: old enough for every onnxruntime, OpenVINO and TensorRT in use, new enough for
# the ops used.
TARGET_OPSET = 17
TARGET_IR_VERSION = 8


def strip_weight_inputs(model: Any) -> None:
    """Remove graph inputs that are weights.

    Those also given as initialisers (overridable, so never folded into their node), and those no node reads
    any more (left behind where a quantiser replaced the weight).
    """
    initialisers = {tensor.name for tensor in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input}
    kept = [value for value in model.graph.input if value.name in read - initialisers]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def drop_unused_initialisers(model: Any) -> None:
    """Remove initialisers no node reads (batch norms folded by an exporter leave theirs behind)."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def set_shapes(model: Any, shapes: dict[str, tuple[int | str, ...]]) -> None:
    """Declare the shape of every graph input and output; a string is a free dimension's name."""
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        wanted = shapes[value.name]
        if len(dims) != len(wanted):
            raise EngineError(f"tensor {value.name} has {len(dims)} dimensions, {len(wanted)} were declared")
        for dim, size in zip(dims, wanted, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
    # Shapes inferred by the exporter for its own fixed input no longer hold.
    del model.graph.value_info[:]


def free_reshape_batch(model: Any, outputs: dict[str, tuple[int, ...]]) -> None:
    """Give each Reshape that writes one of `outputs` the target shape named there (0 copies a dimension)."""
    from onnx import numpy_helper

    for node in model.graph.node:
        if node.op_type == "Reshape" and node.output[0] in outputs:
            name = f"{node.output[0]}_shape"
            shape = np.asarray(outputs[node.output[0]], np.int64)
            model.graph.initializer.append(numpy_helper.from_array(shape, name))
            node.input[1] = name
    drop_unused_initialisers(model)


def plain_dequantisation(model: Any) -> None:
    """Rewrite blocked `DequantizeLinear` (opset 21) of constants as Cast, Sub, Mul and Reshape (opset 13).

    The file stays as small as its int8 weights, yet every runtime folds plain arithmetic on constants when
    it loads the graph; quantisation nodes are left alone by onnxruntime's folding and would be worked out
    again at every call. The value is the same to the bit: (float(q) - float(zero)) * scale, as in the ONNX
    operator."""
    import onnx
    from onnx import numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            nodes.append(node)
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        quantised, scale, zero = (arrays[name] for name in node.input)
        nodes += _dequantise(model, node.output[0], quantised, scale, zero, attributes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused_initialisers(model)


def _dequantise(
    model: Any,
    output: str,
    quantised: npt.NDArray[Any],
    scale: npt.NDArray[Any],
    zero: npt.NDArray[Any],
    attributes: dict[str, int],
) -> list[Any]:
    """Nodes that compute `output` from int8 `quantised` in blocks along one axis."""
    from onnx import TensorProto, helper, numpy_helper

    axis, block = attributes["axis"], attributes["block_size"]
    shape = quantised.shape
    if shape[axis] % block:
        raise EngineError(f"{output}: a block of {block} does not divide {shape = } along axis {axis}")
    blocks = shape[axis] // block
    blocked = (*shape[:axis], blocks, block, *shape[axis + 1 :])
    per_block = (*shape[:axis], blocks, 1, *shape[axis + 1 :])

    def constant(suffix: str, array: npt.NDArray[Any]) -> str:
        model.graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(array), f"{output}_{suffix}")
        )
        return f"{output}_{suffix}"

    q = constant("q", quantised.reshape(blocked))
    z = constant("zero", zero.reshape(per_block))
    s = constant("scale", scale.astype(np.float32).reshape(per_block))
    full = constant("full_shape", np.asarray(shape, np.int64))
    return [
        helper.make_node("Cast", [q], [f"{output}_qf"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [z], [f"{output}_zf"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{output}_qf", f"{output}_zf"], [f"{output}_centred"]),
        helper.make_node("Mul", [f"{output}_centred", s], [f"{output}_blocks"]),
        helper.make_node("Reshape", [f"{output}_blocks", full], [output]),
    ]


def split_prelu(model: Any) -> None:
    """Rewrite PRelu(x) = max(x, 0) + a * min(x, 0) as a * x + (1 - a) * Relu(x), equal up to float rounding.

    onnxruntime's PRelu on a CPU is a scalar loop outside its blocked layout: with it, the face mesh takes
    4.3 ms and SFace 30 ms on one thread, without it 1.6 and 14 ms."""
    from onnx import helper, numpy_helper

    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        (x, slope_name), y = node.input, node.output[0]
        slope = arrays[slope_name].astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(slope, f"{y}_slope"))
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1) - slope, f"{y}_rest"))
        nodes += [
            helper.make_node("Relu", [x], [f"{y}_positive"]),
            helper.make_node("Mul", [f"{y}_positive", f"{y}_rest"], [f"{y}_scaled"]),
            helper.make_node("Mul", [x, f"{y}_slope"], [f"{y}_linear"]),
            helper.make_node("Add", [f"{y}_linear", f"{y}_scaled"], [y]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused_initialisers(model)


def drop_dropout(model: Any) -> None:
    """Remove Dropout nodes: identity at inference, but some compilers stumble over their ratio input."""
    renamed = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Dropout"}
    kept = [node for node in model.graph.node if node.op_type != "Dropout"]
    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def set_opset(model: Any, version: int = TARGET_OPSET) -> None:
    """Declare one default-domain opset; only for graphs whose operators mean the same in both."""
    from onnx import helper

    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", version)])
    model.ir_version = TARGET_IR_VERSION


def canonical_order(model: Any) -> None:
    """Order and name nodes, tensors and weights by their way from the graph's outputs.

    tf2onnx numbers and orders them differently at every run; this makes the file it yields reproducible.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    fixed = {value.name for value in (*model.graph.input, *model.graph.output)}
    names: dict[str, str] = {}
    nodes: list[Any] = []
    initialisers: list[Any] = []

    def visit(name: str) -> None:
        if not name or name in names:
            return
        if name in weights:
            names[name] = f"weight_{len(initialisers)}"
            initialisers.append(weights[name])
        elif name in maker:
            node = maker[name]
            for read in node.input:
                visit(read)
            for made in node.output:
                names[made] = made if made in fixed else f"tensor_{len(names)}"
            node.name = f"{node.op_type}_{len(nodes)}"
            nodes.append(node)

    for value in model.graph.output:
        visit(value.name)
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
    for tensor in initialisers:
        tensor.name = names[tensor.name]
    for field, items in (("node", nodes), ("initializer", initialisers)):
        copies = [type(item).FromString(item.SerializeToString()) for item in items]
        del getattr(model.graph, field)[:]
        getattr(model.graph, field).extend(copies)
    del model.graph.value_info[:]
