# SPDX-License-Identifier: Apache-2.0
"""What each ATen operator becomes: one row a name, tensors by name, everything else as plain values."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.frontend.draft import (
    Draft,
    back,
    channels_last,
    concat,
    reshape,
    slice_axis,
    transpose,
)
from myoedge.ir import Array, Shape
from myoedge.ops.conv import attributes
from myoedge.ops.pool import adaptive, regular

Arguments = Mapping[str, Any]
Row = Callable[[Draft, Arguments, Any], Any]  # (draft, arguments by schema name, output shape)


class Unsupported(Exception):
    """A use of a supported operator that has no integer meaning yet; the text says which."""


def _same(d: Draft, a: Arguments, out: Any) -> str:
    return str(next(value for value in a.values()))


def _chain(*steps: Any) -> Row:
    def row(d: Draft, a: Arguments, out: Any) -> str:
        return d.add("table", _first(a), chain=steps)

    return row


def _first(a: Arguments) -> str:
    return str(a["self"] if "self" in a else a["input"])


def _step(name: str, *parameters: str) -> Row:
    """A pointwise function whose parameters are read from the call."""

    def row(d: Draft, a: Arguments, out: Any) -> str:
        values = tuple(float(a[p]) for p in parameters)
        return d.add("table", _first(a), chain=((name, *values),))

    return row


def _clamp(d: Draft, a: Arguments, out: Any) -> str:
    low, high = (a.get(name) for name in ("min", "max"))
    edges = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return d.add("table", _first(a), chain=(("clamp", *edges),))


def _hardtanh(d: Draft, a: Arguments, out: Any) -> str:
    edges = (float(a["min_val"]), float(a["max_val"]))
    return d.add("table", _first(a), chain=(("clamp", *edges),))


def _gelu(d: Draft, a: Arguments, out: Any) -> str:
    name = "gelu_tanh" if a["approximate"] == "tanh" else "gelu"
    return d.add("table", _first(a), chain=((name,),))


def _prelu(d: Draft, a: Arguments, out: Any) -> str:
    slope = _weights(d, a["weight"], "a PReLU slope").reshape(-1)
    if slope.size == 1:
        return d.add("table", _first(a), chain=(("leaky_relu", float(slope[0])),))
    return d.add("prelu", _first(a), d.constant(slope), axis=1)


def _glu(d: Draft, a: Arguments, out: Any) -> str:
    x = _first(a)
    axis = a["dim"] % len(d.shape(x))
    half = d.shape(x)[axis] // 2
    gate = d.add("table", slice_axis(d, x, axis, half, 2 * half), chain=(("sigmoid",),))
    return d.add("mul", slice_axis(d, x, axis, 0, half), gate)


def _weights(d: Draft, name: Any, what: str) -> Array:
    if name not in d.constants:
        raise Unsupported(f"{what} must be a parameter or a constant, here it is computed")
    return d.constants[name]


def _scalar(d: Draft, value: Any) -> float | None:
    """A number, or the single element of a constant; None for tensors."""
    if isinstance(value, int | float):
        return float(value)
    found = d.constants.get(value)
    return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None


def _binary(op: str) -> Row:
    def row(d: Draft, a: Arguments, out: Shape) -> str:
        left, right, alpha = a["self"], a["other"], float(a.get("alpha") or 1)
        return _combined(d, op, left, right, alpha, out)

    return row


def _rsub(d: Draft, a: Arguments, out: Shape) -> str:
    if a.get("alpha") not in (None, 1):
        raise Unsupported("rsub with alpha")
    return _combined(d, "sub", a["other"], a["self"], 1.0, out)


def _combined(d: Draft, op: str, left: Any, right: Any, alpha: float, out: Shape) -> str:
    """Scalars become a step of a table, tensors a node."""
    a, b = _scalar(d, left), _scalar(d, right)
    if b is not None and not _is_number(d, left):
        return _widened(d, left, _by_scalar(op, b, alpha, scalar_right=True), out)
    if a is not None and not _is_number(d, right):
        return _widened(d, right, _by_scalar(op, a, alpha, scalar_right=False), out)
    if alpha != 1.0:
        right = d.add("table", right, chain=(("affine", alpha, 0.0),))
    return d.add(op, left, right)


def _is_number(d: Draft, value: Any) -> bool:
    return isinstance(value, int | float)


def _by_scalar(op: str, c: float, alpha: float, *, scalar_right: bool) -> tuple[Any, ...]:
    if op == "mul":
        return ("affine", c, 0.0)
    sign = 1.0 if op == "add" else -1.0
    return ("affine", 1.0, sign * alpha * c) if scalar_right else ("affine", sign * alpha, c)


def _widened(d: Draft, x: str, step: tuple[Any, ...], out: Shape) -> str:
    """The table, and a reshape where the scalar had more axes than the tensor."""
    return reshape(d, d.add("table", x, chain=(step,)), out)


def _div(d: Draft, a: Arguments, out: Shape) -> str:
    if a.get("rounding_mode"):
        raise Unsupported(f"div with rounding_mode={a['rounding_mode']!r}")
    left, right = a["self"], a["other"]
    divisor = _scalar(d, right)
    if divisor is not None:
        return _combined(d, "mul", left, 1.0 / divisor, 1.0, out)
    if right in d.constants:
        return d.add("mul", left, d.constant(1.0 / d.constants[right]))
    return _combined(d, "mul", left, d.add("table", right, chain=(("reciprocal",),)), 1.0, out)


def _pow(d: Draft, a: Arguments, out: Shape) -> str:
    exponent = _scalar(d, a["exponent"])
    if exponent is None:
        raise Unsupported("pow with an exponent that is a tensor")
    return d.add("table", a["self"], chain=(("pow", exponent),))


def _conv(d: Draft, a: Arguments, out: Shape) -> str:
    """[N, C, *S] (or without N) through a channels-last convolution and back."""
    w = _weights(d, a["weight"], "a convolution's weight")
    rank = w.ndim - 2
    if a.get("transposed") or rank not in (1, 2):
        raise Unsupported(f"{'transposed ' if a.get('transposed') else ''}convolution {rank}-D")
    x = _batched(d, a["input"], rank + 2)
    attrs = attributes(rank) | {name: _tuple(a[name], rank) for name in ("stride", "dilation")}
    attrs |= {"groups": a["groups"], "pads": _pads(a, w.shape[2:], attrs["dilation"], rank)}
    x = transpose(d, x, channels_last(rank + 2))
    weight = d.constant(w.transpose(channels_last(rank + 2)))
    bias = [] if a["bias"] is None else [a["bias"]]
    y = d.add("conv", x, weight, *bias, **attrs)
    return reshape(d, back(d, y), out)


def _batched(d: Draft, x: str, rank: int) -> str:
    return x if len(d.shape(x)) == rank else reshape(d, x, (1, *d.shape(x)))


def _tuple(value: Any, rank: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def _pads(a: Arguments, kernel: Shape, dilation: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) for every axis; "same" puts the odd one behind."""
    padding = a["padding"]
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    return tuple((p, p) for p in _tuple(padding, rank))


def _linear(d: Draft, a: Arguments, out: Shape) -> str:
    bias = [] if a["bias"] is None else [a["bias"]]
    _weights(d, a["weight"], "a linear layer's weight")
    return d.add("linear", a["input"], a["weight"], *bias)


def _matmul(d: Draft, a: Arguments, out: Shape) -> str:
    left, right = a["self"], a.get("other", a.get("mat2"))
    if right in d.constants and d.constants[right].ndim == 2 and len(d.shape(left)) > 1:
        return d.add("linear", left, d.constant(d.constants[right].T))
    x, y = (1, *d.shape(left))[-max(2, len(d.shape(left))) :], d.shape(right)
    y = (*y, 1) if len(y) == 1 else y
    return reshape(d, d.add("matmul", reshape(d, left, x), reshape(d, right, y)), out)


def _addmm(d: Draft, a: Arguments, out: Shape) -> str:
    if a["beta"] != 1 or a["alpha"] != 1:
        raise Unsupported("addmm with alpha or beta")
    bias, right = a["self"], a["mat2"]
    if right in d.constants and bias in d.constants and d.constants[bias].ndim == 1:
        return d.add("linear", a["mat1"], d.constant(d.constants[right].T), bias)
    return d.add("add", _matmul(d, {"self": a["mat1"], "other": right}, out), bias)


def _batch_norm(d: Draft, a: Arguments, out: Any) -> Any:
    """Inference form: x * weight / sqrt(var + eps) + (bias - mean * that)."""
    mean, var = (_weights(d, a[n], "a running statistic") for n in ("running_mean", "running_var"))
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    weight = ones if a.get("weight") is None else _weights(d, a["weight"], "a batch norm's weight")
    bias = zeros if a.get("bias") is None else _weights(d, a["bias"], "a batch norm's bias")
    scale = weight.astype(np.float64) / np.sqrt(var.astype(np.float64) + a["eps"])
    offset = bias - mean * scale
    x = a["input"]
    return d.add(
        "affine", x, d.constant(scale), d.constant(offset), axis=1 if len(d.shape(x)) > 1 else 0
    )


def _first_of(row: Row) -> Row:
    """For calls that return several tensors of which only the first has a meaning here."""

    def wrapped(d: Draft, a: Arguments, out: Any) -> tuple[Any, ...]:
        return (row(d, a, out[0]),)

    return wrapped


def _pool(op: str, rank: int, windows: Callable[[Arguments, Shape, int], Any]) -> Row:
    """[N, C, *S] (or without N) through a channels-last pooling and back."""

    def row(d: Draft, a: Arguments, out: Shape) -> str:
        x = transpose(d, _batched(d, _first(a), rank + 2), channels_last(rank + 2))
        attrs = {"windows": windows(a, d.shape(x)[1:-1], rank)}
        if a.get("divisor_override"):
            attrs["divisor"] = int(a["divisor_override"])
        y = d.add(op, x, **attrs)
        return reshape(d, back(d, y), out)

    return row


def _regular(a: Arguments, spatial: Shape, rank: int) -> Any:
    if any(n != 1 for n in _tuple(a.get("dilation", 1), rank)):
        raise Unsupported("pooling with dilation")
    size = _tuple(a["kernel_size"], rank)
    stride = _tuple(a["stride"], rank) if a.get("stride") else size
    pads = _tuple(a["padding"], rank)
    count = bool(a.get("count_include_pad", False))
    make = functools.partial(regular, ceil=bool(a["ceil_mode"]), count_pad=count)
    return tuple(make(*axis) for axis in zip(spatial, size, stride, pads, strict=True))


def _adaptive(a: Arguments, spatial: Shape, rank: int) -> Any:
    wanted = _tuple(a["output_size"], rank)
    sizes = [n if w is None else w for n, w in zip(spatial, wanted, strict=True)]
    return tuple(adaptive(n, size) for n, size in zip(spatial, sizes, strict=True))


def _reduce(op: str) -> Row:
    def row(d: Draft, a: Arguments, out: Shape) -> str:
        x = _first(a)
        rank = len(d.shape(x))
        dims = a.get("dim")
        axes = range(rank) if dims is None or dims == [] else _tuple(dims, 1)
        kept = tuple(sorted(axis % rank for axis in axes))
        if not kept:
            return x
        return d.add(op, x, axes=kept, keepdim=bool(a.get("keepdim", False)))

    return row


def _along(op: str) -> Row:
    def row(d: Draft, a: Arguments, out: Any) -> str:
        x = _first(a)
        return d.add(op, x, axis=a["dim"] % max(1, len(d.shape(x))))

    return row


def _argmax(d: Draft, a: Arguments, out: Shape) -> str:
    x = a["self"]
    if a["dim"] is None:
        flat = reshape(d, x, (math.prod(d.shape(x)),))
        return d.add("argmax", flat, axis=0, keepdim=False)
    return d.add("argmax", x, axis=a["dim"] % len(d.shape(x)), keepdim=bool(a["keepdim"]))


def _reshape(d: Draft, a: Arguments, out: Shape) -> str:
    return reshape(d, _first(a), out)


def _permute(d: Draft, a: Arguments, out: Any) -> str:
    rank = len(d.shape(a["self"]))
    return transpose(d, a["self"], [axis % rank for axis in a["dims"]])


def _swap(d: Draft, a: Arguments, out: Any) -> str:
    x = _first(a)
    order = list(range(len(d.shape(x))))
    if len(order) > 1:
        i, j = (a.get(n, a.get(m, k)) for n, m, k in (("dim0", "axis0", -2), ("dim1", "axis1", -1)))
        order[i], order[j] = order[j], order[i]
    return transpose(d, x, order)


def _movedim(d: Draft, a: Arguments, out: Any) -> str:
    rank = len(d.shape(a["self"]))
    source, target = ([axis % rank for axis in _tuple(a[n], 1)] for n in ("source", "destination"))
    order = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        order.insert(place, axis)
    return transpose(d, a["self"], order)


def _slice(d: Draft, a: Arguments, out: Any) -> str:
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    start, stop, step = slice(a["start"], a["end"], a["step"]).indices(d.shape(x)[axis])
    return slice_axis(d, x, axis, start, max(start, stop), step)


def _narrow(d: Draft, a: Arguments, out: Any) -> str:
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    start = a["start"] % d.shape(x)[axis]
    return slice_axis(d, x, axis, start, start + a["length"])


def _select(d: Draft, a: Arguments, out: Shape) -> str:
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    index = a["index"] % d.shape(x)[axis]
    return reshape(d, slice_axis(d, x, axis, index, index + 1), out)


def _parts(d: Draft, a: Arguments, out: Sequence[Shape]) -> tuple[str, ...]:
    """split, chunk, tensor_split, unbind: the output shapes say where to cut."""
    x = a["self"]
    axis = a["dim"] % len(d.shape(x))
    keeps = len(out[0]) == len(d.shape(x))
    parts, start = [], 0
    for shape in out:
        size = shape[axis] if keeps else 1
        parts.append(reshape(d, slice_axis(d, x, axis, start, start + size), shape))
        start += size
    return tuple(parts)


def _flip(d: Draft, a: Arguments, out: Any) -> str:
    x = a["self"]
    for dim in a["dims"]:
        axis = dim % len(d.shape(x))
        x = slice_axis(d, x, axis, d.shape(x)[axis] - 1, -1, -1)
    return str(x)


def _roll(d: Draft, a: Arguments, out: Shape) -> str:
    x = a["self"]
    whole = d.shape(x)
    if not a["dims"]:
        x = reshape(d, x, (math.prod(whole),))
    for shift, dim in zip(a["shifts"], a["dims"] or [0], strict=True):
        axis = dim % len(d.shape(x))
        n = d.shape(x)[axis]
        cut = -shift % n
        if cut:
            x = concat(d, [slice_axis(d, x, axis, cut, n), slice_axis(d, x, axis, 0, cut)], axis)
    return reshape(d, x, whole)


def _cat(d: Draft, a: Arguments, out: Any) -> str:
    parts = [x for x in a["tensors"] if d.shape(x) != (0,)]
    return concat(d, parts, a["dim"] % len(d.shape(parts[0])))


def _stack(d: Draft, a: Arguments, out: Shape) -> str:
    axis = a["dim"] % len(out)
    thin = tuple(1 if i == axis else n for i, n in enumerate(out))
    return concat(d, [reshape(d, x, thin) for x in a["tensors"]], axis)


def _expand(d: Draft, a: Arguments, out: Shape) -> str:
    x = _first(a)
    return x if d.shape(x) == tuple(out) else d.add("expand", x, shape=tuple(out))


def _repeat(d: Draft, a: Arguments, out: Shape) -> str:
    repeats = a["repeats"]
    x = reshape(
        d, a["self"], (*([1] * (len(repeats) - len(d.shape(a["self"])))), *d.shape(a["self"]))
    )
    for axis, count in enumerate(repeats):
        x = concat(d, [x] * count, axis)
    return x


def _pad(d: Draft, a: Arguments, out: Shape) -> str:
    """torch lists (before, after) from the last axis backwards; negative ones cut."""
    x, flat = a["self"], list(a["pad"])
    pairs = list(zip(flat[0::2], flat[1::2], strict=True))
    rank = len(d.shape(x))
    pads = [(0, 0)] * (rank - len(pairs)) + pairs[::-1]
    mode = a.get("mode", "constant")
    for axis, (before, after) in enumerate(pads):
        if min(before, after) < 0:
            x = slice_axis(d, x, axis, max(-before, 0), d.shape(x)[axis] + min(after, 0))
        if mode != "constant":
            x = _mirrored(d, x, axis, max(before, 0), max(after, 0), mode)
    if mode != "constant" or max(max(p) for p in pads) <= 0:
        return str(x)
    positive = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    return d.add("pad", x, pads=positive, value=float(a.get("value") or 0.0))


def _mirrored(d: Draft, x: str, axis: int, before: int, after: int, mode: str) -> str:
    """Padding by the tensor's own elements."""
    n = d.shape(x)[axis]
    edges = {
        "reflect": ([*range(before, 0, -1)], [*range(n - 2, n - 2 - after, -1)]),
        "replicate": ([0] * before, [n - 1] * after),
        "circular": ([*range(n - before, n)], [*range(after)]),
    }
    front, back = edges[mode]
    pick = (
        [slice_axis(d, x, axis, i, i + 1) for i in front],
        [slice_axis(d, x, axis, i, i + 1) for i in back],
    )
    return concat(d, [*pick[0], x, *pick[1]], axis)


POOLS: Mapping[str, Row] = {
    f"aten.{name}{rank}d.default": row
    for rank in (1, 2)
    for name, row in {
        "max_pool": _pool("max_pool", rank, _regular),
        "avg_pool": _pool("avg_pool", rank, _regular),
        "adaptive_avg_pool": _pool("avg_pool", rank, _adaptive),
        "_adaptive_avg_pool": _pool("avg_pool", rank, _adaptive),
        "adaptive_max_pool": _first_of(_pool("max_pool", rank, _adaptive)),
    }.items()
}

NOTHING = (
    "alias", "clone", "contiguous", "detach", "detach_", "dropout", "alpha_dropout", "feature_dropout",
    "feature_alpha_dropout", "lift_fresh_copy", "to.dtype", "to.dtype_layout", "to.device", "type_as",
    "_to_copy", "resolve_conj", "resolve_neg",
)  # fmt: skip

FUNCTIONS = (
    "abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "hardsigmoid", "hardswish", "log", "log10",
    "log1p", "log2", "mish", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "silu", "sin",
    "sqrt", "square", "tanh",
)  # fmt: skip

VIEWS = (
    "reshape", "view", "_unsafe_view", "flatten.using_ints", "unflatten.int", "squeeze", "squeeze.dim",
    "squeeze.dims", "unsqueeze", "view_as", "reshape_as", "view_copy",
)  # fmt: skip


def _overload(name: str) -> str:
    return f"aten.{name}" if "." in name else f"aten.{name}.default"


IMPORT: Mapping[str, Row] = {
    **{_overload(name): _same for name in NOTHING},
    **{_overload(name): _chain((name,)) for name in FUNCTIONS},
    **{_overload(name): _reshape for name in VIEWS},
    **POOLS,
    "aten.max_pool2d_with_indices.default": _first_of(POOLS["aten.max_pool2d.default"]),
    **{f"aten.conv{r}d.{kind}": _conv for r in (1, 2, 3) for kind in ("default", "padding")},
    "aten.convolution.default": _conv,
    "aten.linear.default": _linear,
    **{f"aten.{name}.default": _matmul for name in ("matmul", "mm", "bmm", "mv")},
    "aten.addmm.default": _addmm,
    "aten.batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _first_of(_batch_norm),
    **{f"aten.add.{kind}": _binary("add") for kind in ("Tensor", "Scalar")},
    **{f"aten.sub.{kind}": _binary("sub") for kind in ("Tensor", "Scalar")},
    **{f"aten.mul.{kind}": _binary("mul") for kind in ("Tensor", "Scalar")},
    **{f"aten.div.{kind}": _div for kind in ("Tensor", "Scalar", "Tensor_mode", "Scalar_mode")},
    **{f"aten.rsub.{kind}": _rsub for kind in ("Tensor", "Scalar")},
    **{f"aten.pow.{kind}": _pow for kind in ("Tensor_Scalar", "Tensor_Tensor")},
    "aten.relu.default": _chain(("clamp", 0.0, math.inf)),
    "aten.relu6.default": _chain(("clamp", 0.0, 6.0)),
    "aten.clamp.default": _clamp,
    "aten.clamp_min.default": _clamp,
    "aten.clamp_max.default": _clamp,
    "aten.hardtanh.default": _hardtanh,
    "aten.leaky_relu.default": _step("leaky_relu", "negative_slope"),
    "aten.elu.default": _step("elu", "alpha", "scale", "input_scale"),
    "aten.selu.default": _chain(("elu", 1.6732632423543772, 1.0507009873554805)),
    "aten.celu.default": lambda d, a, out: d.add(
        "table", a["self"], chain=(("elu", float(a["alpha"]), 1.0, 1.0 / float(a["alpha"])),)
    ),
    "aten.gelu.default": _gelu,
    "aten.softplus.default": _step("softplus", "beta", "threshold"),
    "aten.softsign.default": _chain(("softsign",)),
    "aten.log_sigmoid.default": _chain(("log_sigmoid",)),
    "aten.hardshrink.default": _step("hardshrink", "lambd"),
    "aten.softshrink.default": _step("softshrink", "lambd"),
    "aten.tanhshrink.default": _chain(("tanhshrink",)),
    "aten.threshold.default": _step("threshold", "threshold", "value"),
    "aten.prelu.default": _prelu,
    "aten.glu.default": _glu,
    "aten.mean.default": _reduce("mean"),
    "aten.mean.dim": _reduce("mean"),
    "aten.sum.default": _reduce("sum"),
    "aten.sum.dim_IntList": _reduce("sum"),
    "aten.softmax.int": _along("softmax"),
    "aten._softmax.default": _along("softmax"),
    "aten.log_softmax.int": _along("log_softmax"),
    "aten._log_softmax.default": _along("log_softmax"),
    "aten.argmax.default": _argmax,
    "aten.permute.default": _permute,
    **{f"aten.{name}.int": _swap for name in ("transpose", "swapaxes")},
    **{f"aten.{name}.default": _swap for name in ("t", "numpy_T", "mT", "swapaxes", "swapdims")},
    **{f"aten.movedim.{kind}": _movedim for kind in ("int", "intlist")},
    "aten.slice.Tensor": _slice,
    "aten.narrow.default": _narrow,
    "aten.select.int": _select,
    **{f"aten.split.{kind}": _parts for kind in ("Tensor", "sizes", "default")},
    **{
        _overload(n): _parts
        for n in ("split_with_sizes", "chunk", "tensor_split.sections", "unbind.int")
    },
    "aten.tensor_split.indices": _parts,
    "aten.flip.default": _flip,
    "aten.roll.default": _roll,
    **{f"aten.{name}.default": _cat for name in ("cat", "concat", "concatenate")},
    "aten.stack.default": _stack,
    "aten.expand.default": _expand,
    "aten.expand_as.default": _expand,
    "aten.repeat.default": _repeat,
    "aten.pad.default": _pad,
    "aten.constant_pad_nd.default": _pad,
}
