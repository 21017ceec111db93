# SPDX-License-Identifier: Apache-2.0
"""Rows of the import table that compute: products, batch norm, pooling, reductions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from myoedge.frontend.graph_builder import (
    Arguments,
    Draft,
    Row,
    Unsupported,
    as_tuple,
    back,
    channels_last,
    first,
    reshape,
    transpose,
    weights,
)
from myoedge.frontend.masks import refuse_masked_rows, refuse_no_key
from myoedge.frontend.torch.arithmetic import combined
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import Added, attend, fits, parted
from myoedge.operators.base import outer_inner
from myoedge.operators.conv.definition import attributes
from myoedge.operators.norm.definition import LENGTH_MAX
from myoedge.operators.pool.definition import adaptive as adaptive_windows
from myoedge.operators.pool.definition import regular as regular_windows
from myoedge.operators.softmax.definition import ROW_MAX


def conv(d: Draft, a: Arguments, out: Shape) -> str:
    """[N, C, *S] (or without N) through a channels-last convolution and back."""
    w = weights(d, a["weight"], "a convolution's weight")
    rank = w.ndim - 2
    if a.get("transposed") or rank not in (1, 2):
        raise Unsupported(f"{'transposed ' if a.get('transposed') else ''}convolution {rank}-D")
    x = _batched(d, a["input"], rank + 2)
    attrs = attributes(rank) | {name: as_tuple(a[name], rank) for name in ("stride", "dilation")}
    attrs |= {"groups": a["groups"], "pads": _pads(a, w.shape[2:], attrs["dilation"], rank)}
    x = transpose(d, x, channels_last(rank + 2))
    weight = d.constant(w.transpose(channels_last(rank + 2)))
    y = d.add("conv", x, weight, *_bias(d, a), **attrs)
    return reshape(d, back(d, y), out)


def _bias(d: Draft, a: Arguments) -> tuple[str, ...]:
    if a["bias"] is None:
        return ()
    weights(d, a["bias"], "a bias")
    return (a["bias"],)


def _batched(d: Draft, x: str, rank: int) -> str:
    return x if len(d.shape(x)) == rank else reshape(d, x, (1, *d.shape(x)))


def _pads(a: Arguments, kernel: Shape, dilation: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) for every axis; "same" puts the odd one behind."""
    padding = a["padding"]
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    return tuple((p, p) for p in as_tuple(padding, rank))


def linear(d: Draft, a: Arguments, out: Shape) -> str:
    weights(d, a["weight"], "a linear layer's weight")
    return _by_weights(d, a["input"], a["weight"], _bias(d, a), out)


def _by_weights(d: Draft, x: str, weight: str, bias: Sequence[str], out: Shape) -> str:
    """x [..., C] (or [C] alone) times weight [K, C]."""
    rows = reshape(d, x, (1, *d.shape(x))) if len(d.shape(x)) == 1 else x
    return reshape(d, d.add("linear", rows, weight, *bias), out)


def matmul(d: Draft, a: Arguments, out: Shape) -> str:
    left, right = a["self"], next(a[n] for n in ("other", "mat2", "vec", "tensor") if n in a)
    if right in d.constants and d.constants[right].ndim <= 2:
        w = d.constants[right]
        return _by_weights(d, left, d.constant(w.T if w.ndim == 2 else w[None]), (), out)
    x, y = d.shape(left), d.shape(right)
    x, y = (x if len(x) > 1 else (1, *x)), (y if len(y) > 1 else (*y, 1))
    return reshape(d, d.add("matmul", reshape(d, left, x), reshape(d, right, y)), out)


def addmm(d: Draft, a: Arguments, out: Shape) -> str:
    """A product of matrices, or of as many as a batch has, and what is added to it."""
    if a["beta"] != 1 or a["alpha"] != 1:
        raise Unsupported("a product with alpha or beta")
    bias = a["self"]
    left, right = (next(a[n] for n in (f"mat{i}", f"batch{i}") if n in a) for i in (1, 2))
    if {right, bias} <= d.constants.keys() and _is_linear(d, right, bias):
        return d.add("linear", left, d.constant(d.constants[right].T), bias)
    shape = (*d.shape(left)[:-1], d.shape(right)[-1])
    product = matmul(d, {"self": left, "other": right}, shape)
    return combined(d, "add", product, bias, 1.0, out)


def _is_linear(d: Draft, right: str, bias: str) -> bool:
    return len(d.shape(right)) == 2 and len(d.shape(bias)) == 1


def batch_norm(d: Draft, a: Arguments, out: Any) -> Any:
    """Inference form: x * weight / sqrt(var + eps) + (bias - mean * that)."""
    if a["running_mean"] is None:
        raise Unsupported(
            "statistics of the batch (track_running_stats=False); the device has none"
        )
    mean, var = (weights(d, a[n], "a running statistic") for n in ("running_mean", "running_var"))
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    weight = ones if a.get("weight") is None else weights(d, a["weight"], "a batch norm's weight")
    bias = zeros if a.get("bias") is None else weights(d, a["bias"], "a batch norm's bias")
    scale = weight.astype(np.float64) / np.sqrt(var.astype(np.float64) + a["eps"])
    offset = bias - mean * scale
    return d.add("affine", a["input"], d.constant(scale), d.constant(offset), axis=1)


def attention(d: Draft, a: Arguments, out: Shape) -> str:
    """Heads [.., H, N, D]; a mask that is a window of keys costs nothing, any other is added."""
    q, k, v = a["query"], a["key"], a["value"]
    if not fits(*(d.shape(x) for x in (q, k, v))):
        raise Unsupported(f"attention of {[list(d.shape(x)) for x in (q, k, v)]}")
    width, rows, keys = d.shape(q)[-1], d.shape(q)[-2], d.shape(k)[-2]
    scale = 1.0 / math.sqrt(width) if a.get("scale") is None else float(a["scale"])
    mask = "" if a.get("attn_mask") is None else str(a["attn_mask"])
    if mask in d.constants:
        added = _known(d, d.constants[mask], rows, keys, causal=a["is_causal"])
    else:
        added = Added((rows + keys, 0) if a["is_causal"] else None, mask)
    return attend(d, q, k, v, scale=scale, added=added)


def _known(d: Draft, mask: Array, rows: int, keys: int, *, causal: bool) -> Added:
    """What is added to scores: of a mask of truth values nothing where it is true."""
    values = np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask
    if causal:
        values = np.where(np.tri(rows, keys, dtype=bool), values, -np.inf)
    refuse_no_key(values)
    return parted(values, rows, keys).put(d)


def norm(op: str) -> Row:
    """Layer norm and RMS norm over the last axes, which become one; what is computed of their
    factors and offsets follows as operators of its own."""

    def row(d: Draft, a: Arguments, out: Any) -> str:
        sizes, x = tuple(a["normalized_shape"]), first(a)
        length = math.prod(sizes)
        if length > LENGTH_MAX:
            raise Unsupported(f"{op} over {length} elements, at most {LENGTH_MAX}")
        lead = d.shape(x)[: len(d.shape(x)) - len(sizes)]
        eps = np.finfo(np.float32).eps if a["eps"] is None else a["eps"]
        given = {"mul": a.get("weight"), "add": a.get("bias")}
        kept = [_per_element(d, given["mul"], 1.0, length)]
        if op == "layer_norm":
            kept.append(_per_element(d, given["add"], 0.0, length))
        y = d.add(op, reshape(d, x, (*lead, length)), *kept, eps=float(eps))
        y = reshape(d, y, d.shape(x))
        late = ((name, z) for name, z in given.items() if z is not None and z not in d.constants)
        for name, z in late:
            y = d.add(name, y, z)
        return y

    return row


def _per_element(d: Draft, name: Any, default: float, length: int) -> str:
    """A norm's factor or offset, one value an element; the default where it is computed."""
    value = d.constants.get(name, np.full(1, default, np.float32))
    return d.constant(np.broadcast_to(value.reshape(-1), (length,)))


def first_of(row: Row) -> Row:
    """For calls that return several tensors of which only the first has a meaning here."""

    def wrapped(d: Draft, a: Arguments, out: Any) -> tuple[Any, ...]:
        return (row(d, a, out[0]),)

    return wrapped


def pool(op: str, rank: int, windows: Callable[[Arguments, Shape, int], Any]) -> Row:
    """[N, C, *S] (or without N) through a channels-last pooling and back."""

    def row(d: Draft, a: Arguments, out: Shape) -> str:
        x = transpose(d, _batched(d, first(a), rank + 2), channels_last(rank + 2))
        attrs = {"windows": windows(a, d.shape(x)[1:-1], rank)}
        divisor = int(a.get("divisor_override") or 0)
        if divisor < 0:
            raise Unsupported(f"pooling with divisor_override={divisor}")
        if divisor:
            attrs["divisor"] = divisor
        y = d.add(op, x, **attrs)
        return reshape(d, back(d, y), out)

    return row


def regular(a: Arguments, spatial: Shape, rank: int) -> Any:
    if any(n != 1 for n in as_tuple(a.get("dilation", 1), rank)):
        raise Unsupported("pooling with dilation")
    size = as_tuple(a["kernel_size"], rank)
    stride = as_tuple(a["stride"], rank) if a.get("stride") else size
    pads = as_tuple(a["padding"], rank)
    count = bool(a.get("count_include_pad", False))
    make = functools.partial(regular_windows, ceil=bool(a["ceil_mode"]), count_pad=count)
    return tuple(make(*axis) for axis in zip(spatial, size, stride, pads, strict=True))


def adaptive(a: Arguments, spatial: Shape, rank: int) -> Any:
    wanted = as_tuple(a["output_size"], rank)
    sizes = [n if w is None else w for n, w in zip(spatial, wanted, strict=True)]
    return tuple(adaptive_windows(n, size) for n, size in zip(spatial, sizes, strict=True))


def reduce(op: str) -> Row:
    def row(d: Draft, a: Arguments, out: Shape) -> str:
        x = first(a)
        rank = len(d.shape(x))
        dims = a.get("dim")
        axes = range(rank) if dims is None or dims == [] else as_tuple(dims, 1)
        kept = tuple(sorted(axis % rank for axis in axes))
        if not kept:
            return x
        return d.add(op, x, axes=kept, keepdim=bool(a.get("keepdim", False)))

    return row


def along(op: str) -> Row:
    def row(d: Draft, a: Arguments, out: Any) -> str:
        x = first(a)
        axis = a["dim"] % len(d.shape(x))
        if d.shape(x)[axis] > ROW_MAX:
            raise Unsupported(f"{op} over {d.shape(x)[axis]} elements, at most {ROW_MAX}")
        refuse_masked_rows(d, x, axis)
        return d.add(op, x, axis=axis)

    return row


def argmax(d: Draft, a: Arguments, out: Shape) -> str:
    x, keepdim = a["self"], bool(a["keepdim"])
    if a["dim"] is not None:
        return d.add("argmax", x, axis=a["dim"] % len(d.shape(x)), keepdim=keepdim)
    lead = (1,) * (len(out) - 1)
    flat = reshape(d, x, (*lead, math.prod(d.shape(x))))
    return d.add("argmax", flat, axis=len(lead), keepdim=keepdim)


def argmin(d: Draft, a: Arguments, out: Shape) -> str:
    return argmax(d, {**a, "self": d.add("table", a["self"], chain=(("neg",),))}, out)


def largest(d: Draft, a: Arguments, out: Shape) -> str:
    """max and amax over axes: one window over all of each, channels last where they are kept and
    one or two axes are left."""
    x, rank = a["self"], len(d.shape(a["self"]))
    dims = a.get("dim")
    axes = {i % rank for i in (range(rank) if dims is None or dims == [] else as_tuple(dims, 1))}
    if rank in (3, 4) and not axes & {0, 1}:
        x = transpose(d, x, channels_last(rank))
        inner = [(i, n) for i, n in enumerate(d.shape(a["self"]))][2:]
        whole = [((0, n, n),) if i in axes else _single(n) for i, n in inner]
        return reshape(d, back(d, d.add("max_pool", x, windows=tuple(whole))), out)
    for axis in sorted(axes):
        outer, n, inner_size = outer_inner(d.shape(x), axis)
        kept = tuple(1 if i == axis else m for i, m in enumerate(d.shape(x)))
        y = d.add("max_pool", reshape(d, x, (outer, n, inner_size)), windows=(((0, n, n),),))
        x = reshape(d, y, kept)
    return reshape(d, x, out)


def _single(n: int) -> tuple[tuple[int, int, int], ...]:
    """A window of its own for each of n elements."""
    return tuple((i, i + 1, 1) for i in range(n))
