"""ONNX operators in torch, one function each, for the reference backend.

Each function takes the node's attributes and its inputs (None where one is left out) and returns its output, by the
operator's definition in the ONNX specification. Only what the graphs here need: a variant that is not covered is
refused by name, never computed in another way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from engines.errors import EngineError

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]

_CAST = {
    1: torch.float32,
    6: torch.int32,
    7: torch.int64,
    10: torch.float16,
    11: torch.float64,
    3: torch.int8,
}


def _refuse(what: str) -> EngineError:
    return EngineError(f"the torch backend does not do {what}")


def _pad_2d(a: Attributes, x: Any, value: float) -> tuple[Any, tuple[int, int]]:
    """The input and the symmetric padding to leave to torch; uneven padding is added to the input here."""
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise _refuse(f"auto_pad {a['auto_pad']}")
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    if (top, left) == (bottom, right):
        return x, (top, left)
    return functional.pad(x, (left, right, top, bottom), value=value), (0, 0)


def _conv(a: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    x, padding = _pad_2d(a, x, 0.0)
    return functional.conv2d(
        x, weight, bias, a.get("strides", 1), padding, a.get("dilations", 1), a.get("group", 1)
    )


def _conv_transpose(a: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right) or "output_shape" in a:
        raise _refuse("ConvTranspose with uneven padding or a stated output shape")
    extra = a.get("output_padding", 0)
    return functional.conv_transpose2d(
        x, weight, bias, a.get("strides", 1), (top, left), extra, a.get("group", 1), a.get("dilations", 1)
    )


def _max_pool(a: Attributes, x: Any) -> Any:
    x, padding = _pad_2d(a, x, float("-inf"))
    return functional.max_pool2d(
        x, a["kernel_shape"], a.get("strides", 1), padding, ceil_mode=bool(a.get("ceil_mode", 0))
    )


def _average_pool(a: Attributes, x: Any) -> Any:
    if any(a.get("pads", [])):
        raise _refuse("AveragePool with padding")
    return functional.avg_pool2d(
        x, a["kernel_shape"], a.get("strides", 1), ceil_mode=bool(a.get("ceil_mode", 0))
    )


def _batch_norm(a: Attributes, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    return functional.batch_norm(x, mean, variance, scale, bias, eps=a.get("epsilon", 1e-5))


def _resize(a: Attributes, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    size = sizes.tolist() if sizes is not None else [int(n * s) for n, s in zip(x.shape, scales, strict=True)]
    if size[:2] != list(x.shape[:2]):
        raise _refuse("Resize of batch or channels")
    mode, where = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    if (mode, where, a.get("nearest_mode")) == ("nearest", "asymmetric", "floor"):
        return functional.interpolate(x, size[2:], mode="nearest")
    if (mode, where) == ("linear", "half_pixel"):
        return functional.interpolate(x, size[2:], mode="bilinear", align_corners=False)
    raise _refuse(f"Resize {mode} {where}")


def _pad(a: Attributes, x: Any, pads: Any, value: Any = None) -> Any:
    if a.get("mode", "constant") != "constant":
        raise _refuse(f"Pad mode {a['mode']}")
    begins, ends = pads.tolist()[: x.ndim], pads.tolist()[x.ndim :]
    # torch counts from the last dimension.
    flat = [n for pair in zip(reversed(begins), reversed(ends), strict=True) for n in pair]
    return functional.pad(x, flat, value=0.0 if value is None else value.item())


def _reshape(a: Attributes, x: Any, shape: Any) -> Any:
    return x.reshape([x.shape[axis] if n == 0 else n for axis, n in enumerate(shape.tolist())])


def _flatten(a: Attributes, x: Any) -> Any:
    axis = a.get("axis", 1)
    return x.reshape(-1 if axis else 1, x.shape[axis:].numel())


def _slice(a: Attributes, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    count = len(starts)
    index = [slice(None)] * x.ndim
    strides = [1] * count if steps is None else steps.tolist()
    if min(strides) < 1:
        raise _refuse("Slice backwards")
    places = range(count) if axes is None else axes.tolist()
    for axis, start, end, stride in zip(places, starts.tolist(), ends.tolist(), strides, strict=True):
        index[axis] = slice(start, end, stride)
    return x[tuple(index)]


def _gather(a: Attributes, x: Any, index: Any) -> Any:
    axis = a.get("axis", 0) % x.ndim
    chosen = torch.index_select(x, axis, index.reshape(-1))
    return chosen.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _unsqueeze(a: Attributes, x: Any, axes: Any = None) -> Any:
    places = a["axes"] if axes is None else axes.tolist()
    for axis in sorted(place % (x.ndim + len(places)) for place in places):
        x = x.unsqueeze(axis)
    return x


def _softmax(a: Attributes, x: Any) -> Any:
    axis = a.get("axis", -1) % x.ndim
    if axis != x.ndim - 1:
        # Before opset 13 every other axis meant something else.
        raise _refuse("Softmax along another axis than the last")
    return torch.softmax(x, axis)


def _gemm(a: Attributes, x: Any, y: Any, z: Any = None) -> Any:
    x, y = (m.T if a.get(flag, 0) else m for m, flag in ((x, "transA"), (y, "transB")))
    product = a.get("alpha", 1.0) * (x @ y)
    return product if z is None else product + a.get("beta", 1.0) * z


def _depth_to_space(a: Attributes, x: Any) -> Any:
    if a.get("mode", "DCR") != "CRD":
        raise _refuse("DepthToSpace in DCR order")
    return functional.pixel_shuffle(x, a["blocksize"])


def _cast(a: Attributes, x: Any) -> Any:
    if a["to"] not in _CAST:
        raise _refuse(f"Cast to ONNX type {a['to']}")
    return x.to(_CAST[a["to"]])


def _along(scale: Any, x: Any, axis: int) -> tuple[int, ...]:
    """The shape that lays a per-channel scale along `axis` of `x`."""
    if scale.numel() == 1:
        return tuple([1] * x.ndim)
    shape = [1] * x.ndim
    shape[axis] = int(scale.numel())
    return tuple(shape)


def _quantize(a: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    kind = torch.uint8 if zero is None else zero.dtype
    shape = _along(scale, x, a.get("axis", 1))
    shift = 0 if zero is None else zero.to(torch.int32).reshape(shape)
    limits = torch.iinfo(kind)
    # torch.round rounds halves to even, as the operator does.
    return (torch.round(x / scale.reshape(shape)) + shift).clamp(limits.min, limits.max).to(kind)


def _dequantize(a: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    shape = _along(scale, x, a.get("axis", 1))
    shift = 0 if zero is None else zero.to(torch.int32).reshape(shape)
    return (x.to(torch.int32) - shift).to(scale.dtype) * scale.reshape(shape)


OPERATORS: dict[str, Operator] = {
    "Add": lambda a, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": lambda a, x, low=None, high=None: torch.clamp(x, low, high),
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Constant": lambda a: a["value"],
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "DequantizeLinear": _dequantize,
    "Div": lambda a, x, y: x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc"),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": lambda a, x: x,
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", 0.01)),
    "MaxPool": _max_pool,
    "Mul": lambda a, x, y: x * y,
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "Relu": lambda a, x: functional.relu(x),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda a, x: torch.tensor(x.shape, dtype=torch.int64),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Slice": _slice,
    "Softmax": _softmax,
    "Sub": lambda a, x, y: x - y,
    "Tanh": lambda a, x: torch.tanh(x),
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "Unsqueeze": _unsqueeze,
}
