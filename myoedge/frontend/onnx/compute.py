# SPDX-License-Identifier: Apache-2.0
"""Rows of the ONNX import table that compute: convolutions, products, pooling, reductions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from myoedge.frontend.graph_builder import (
    Unsupported,
    back,
    channels_last,
    concat,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.frontend.onnx.call import Call, OnnxRow
from myoedge.frontend.torch import arithmetic, compute
from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.attention.graph_form import Added, attend
from myoedge.operators.pool.definition import Window

MOST_PADDED = 2**28  # positions, padding included
Pads = tuple[tuple[int, int], ...]


def conv(c: Call) -> str:
    """[N, C, *S] through a channels-last convolution and back."""
    d, w = c.draft, c.weights(1, "a convolution's weight")
    rank = w.ndim - 2
    if rank not in (1, 2):
        raise Unsupported(f"convolution {rank}-D")
    groups = int(c.attrs.get("group", 1))
    _check_channels(c, w, groups)
    stride, dilation = (_per_axis(c, name, rank) for name in ("strides", "dilations"))
    pads = _pads(c, d.shape(c.x())[2:], w.shape[2:], stride, dilation)
    attrs = {"stride": stride, "dilation": dilation, "pads": pads}
    x = transpose(d, c.x(), channels_last(rank + 2))
    weight = d.constant(w.transpose(channels_last(rank + 2)))
    bias = (c.x(2),) if c.has(2) else ()
    return back(d, d.add("conv", x, weight, *bias, groups=groups, **attrs))


def _check_channels(c: Call, w: Array, groups: int) -> None:
    channels = c.draft.shape(c.x())[1]
    if groups < 1 or w.shape[0] % groups or channels != w.shape[1] * groups:
        raise ValueError(f"{channels} channels in {groups} groups, weights {list(w.shape)}")
    if c.has(2) and c.weights(2, "a bias").shape != w.shape[:1]:
        raise ValueError(f"a bias {list(c.weights(2, 'a bias').shape)}")


def _per_axis(c: Call, name: str, rank: int) -> tuple[int, ...]:
    values = tuple(c.attrs.get(name) or (1,) * rank)
    if len(values) != rank or min(values) < 1:
        raise Unsupported(f"{name} {list(values)} for {rank} axes")
    return values


def _pads(c: Call, sizes: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """(before, after) for every spatial axis."""
    rank, auto = len(sizes), c.attrs.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        axes = zip(sizes, kernel, stride, dilation, strict=True)
        return tuple(_same(*axis, behind=auto == "SAME_UPPER") for axis in axes)
    flat = tuple(c.attrs.get("pads") or (0,) * (2 * rank)) if auto == "NOTSET" else (0,) * 2 * rank
    if len(flat) != 2 * rank or min(flat) < 0:
        raise Unsupported(f"pads {list(flat)} for {rank} axes")
    if math.prod(n + flat[i] + flat[rank + i] for i, n in enumerate(sizes)) > MOST_PADDED:
        raise Unsupported(f"pads {list(flat)}")
    return tuple(zip(flat[:rank], flat[rank:], strict=True))


def _same(n: int, kernel: int, stride: int, dilation: int, *, behind: bool) -> tuple[int, int]:
    """Padding that makes ceil(n / stride) outputs; the odd element lies behind or in front."""
    whole = max((-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n, 0)
    small, large = whole // 2, whole - whole // 2
    return (small, large) if behind else (large, small)


def gemm(c: Call) -> str:
    """alpha A B + beta C; with constant B and a C along the columns it is a linear layer."""
    d, alpha, beta = c.draft, *(float(c.attrs.get(name, 1.0)) for name in ("alpha", "beta"))
    a = transpose(d, c.x(0), (1, 0)) if c.attrs.get("transA") else c.x(0)
    bias = _gemm_bias(c, beta) if c.has(2) else None
    if c.inputs[1] in c.arrays:
        w = c.weights(1, "a matrix")
        weight = d.constant(np.float32(alpha) * (w if c.attrs.get("transB") else w.T))
        y = d.add("linear", a, weight, *([bias] if bias else []))
    else:
        b = transpose(d, c.x(1), (1, 0)) if c.attrs.get("transB") else c.x(1)
        y = _times(c, compute.matmul(d, {"self": a, "other": b}, c.out), alpha)
        y = y if bias is None else d.add("add", y, bias)
    if not c.has(2) or bias is not None:
        return y
    added = {"self": y, "other": _times(c, c.x(2), beta)}
    return str(arithmetic.binary("add")(d, added, c.out))


def _gemm_bias(c: Call, beta: float) -> str | None:
    """The constant C as one value a column; None where it is computed or varies along the rows."""
    if c.inputs[2] not in c.arrays:
        return None
    value = c.weights(2, "a bias")
    if value.ndim == 2 and value.shape[0] != 1:
        return None
    flat = np.broadcast_to(value.reshape(-1), (c.out[1],))
    return c.draft.constant(np.float32(beta) * flat)


def _times(c: Call, x: str, factor: float) -> str:
    if factor == 1.0:
        return x
    if x in c.draft.constants:
        return c.draft.constant(np.float32(factor) * c.draft.constants[x])
    return c.draft.add("table", x, chain=(("affine", factor, 0.0),))


def matmul(c: Call) -> str:
    return compute.matmul(c.draft, {"self": c.x(0), "other": c.x(1)}, c.out)


def batch_norm(c: Call) -> str:
    if c.attrs.get("training_mode"):
        raise Unsupported("training_mode=1: export after model.eval()")
    if len(c.draft.shape(c.x())) < 2:
        raise Unsupported("a tensor without a channel axis")
    names = ("weight", "bias", "running_mean", "running_var")
    given: Mapping[str, Any] = {
        "input": c.x(),
        **{name: c.x(i) for i, name in enumerate(names, start=1)},
        "eps": float(c.attrs.get("epsilon", 1e-5)),
    }
    for name in names:
        found = weights(c.draft, given[name], f"a batch norm's {name}")
        if found.shape != c.draft.shape(c.x())[1:2]:
            raise ValueError(f"{name} {list(found.shape)}")
    return str(compute.batch_norm(c.draft, given, c.out))


def norm(op: str) -> OnnxRow:
    """Layer norm and RMS norm over the axes from `axis` on; all results of layer norm."""

    def row(c: Call) -> str | tuple[str, ...]:
        shape = c.draft.shape(c.x())
        axis = int(c.attrs.get("axis", -1)) % len(shape)
        given: Mapping[str, Any] = {
            "input": c.x(),
            "normalized_shape": shape[axis:],
            "weight": c.x(1),
            "bias": c.x(2) if c.has(2) else None,
            "eps": float(c.attrs.get("epsilon", 1e-5)),
        }
        y = str(compute.norm(op)(c.draft, given, c.out))
        return (y, *_moments(c, axis, given["eps"])) if len(c.outs) > 1 else y

    return row


def attention(c: Call) -> str:
    """onnxruntime's Attention: a layer for queries, keys and values, then heads; no masks."""
    if any(c.has(i) for i in range(3, len(c.inputs))):
        raise Unsupported("masks, past states or biases of attention")
    d, heads = c.draft, int(c.attrs["num_heads"])
    w = c.weights(1, "attention's weight")
    sizes = [int(n) for n in c.attrs.get("qkv_hidden_sizes") or (w.shape[1] // 3,) * 3]
    bias = (c.x(2),) if c.has(2) else ()
    y, ends = d.add("linear", c.x(), d.constant(w.T), *bias), np.cumsum([0, *sizes])
    q, k, v = (
        _by_head(c, slice_axis(d, y, 2, int(start), int(stop)), heads)
        for start, stop in itertools.pairwise(ends)
    )
    scale = float(c.attrs.get("scale") or 1.0 / math.sqrt(sizes[0] // heads))
    window = (ends[-1] + 2**20, 0) if c.attrs.get("unidirectional") else None
    y = transpose(d, attend(d, q, k, v, scale=scale, added=Added(window)), (0, 2, 1, 3))
    return reshape(d, y, c.out)


def _by_head(c: Call, x: str, heads: int) -> str:
    """[n, tokens, heads * width] -> [n, heads, tokens, width]"""
    n, tokens, whole = c.draft.shape(x)
    return transpose(c.draft, reshape(c.draft, x, (n, tokens, heads, whole // heads)), (0, 2, 1, 3))


def attention_shape(x: Shape, w: Shape, attrs: Mapping[str, Any]) -> Shape:
    """Of what `attention` gives: onnx has no rule for it."""
    sizes = attrs.get("qkv_hidden_sizes") or (w[1] // 3,) * 3
    if len(x) != 3 or len(w) != 2 or w[0] != x[2] or sum(sizes) != w[1] or len(sizes) != 3:
        raise ValueError(f"attention of {list(x)} by {list(w)}")
    heads = int(attrs["num_heads"])
    if heads < 1 or any(n < 1 or n % heads for n in sizes) or sizes[0] != sizes[1]:
        raise ValueError(f"{heads} heads of {list(sizes)} channels")
    return (*x[:2], int(sizes[2]))


def _moments(c: Call, axis: int, eps: float) -> tuple[str, str]:
    """The mean, and one by the standard deviation."""
    d, axes = c.draft, tuple(range(axis, len(c.draft.shape(c.x()))))
    mean = d.add("mean", c.x(), axes=axes, keepdim=True)
    square = d.add("table", d.add("sub", c.x(), mean), chain=(("square",),))
    variance = d.add("mean", square, axes=axes, keepdim=True)
    chain = (("affine", 1.0, eps), ("rsqrt",))
    return mean, d.add("table", variance, chain=chain)


def pool(op: str) -> OnnxRow:
    """[N, C, *S] through a channels-last pooling and back."""

    def row(c: Call) -> str:
        d, sizes = c.draft, c.draft.shape(c.x())[2:]
        rank, kernel = len(sizes), tuple(c.attrs["kernel_shape"])
        if rank not in (1, 2) or len(kernel) != rank:
            raise Unsupported(f"pooling {rank}-D")
        stride, dilation = (_per_axis(c, name, rank) for name in ("strides", "dilations"))
        if any(n > 1 and k > 1 for n, k in zip(dilation, kernel, strict=True)):
            raise Unsupported("pooling with dilation")
        pads = _pads(c, sizes, kernel, stride, (1,) * rank)
        count = bool(c.attrs.get("count_include_pad", 0))
        axes = zip(sizes, kernel, stride, pads, strict=True)
        ceil = bool(c.attrs.get("ceil_mode", 0))
        windows = tuple(_windows(*axis, ceil=ceil, count=count) for axis in axes)
        return back(d, d.add(op, transpose(d, c.x(), channels_last(rank + 2)), windows=windows))

    return row


def _windows(
    n: int, size: int, stride: int, pads: tuple[int, int], *, ceil: bool, count: bool
) -> tuple[Window, ...]:
    """The windows of one axis, clipped to the input; `count`: padding counts in the divisor."""
    before, after = pads
    room = n + before + after - size
    starts = range((room + (stride - 1 if ceil else 0)) // stride + 1)
    found = []
    for start in (i * stride - before for i in starts):
        if ceil and start >= n:  # it would begin in the padding behind
            continue
        stop = min(start + size, n + after)
        low, high = max(start, 0), min(stop, n)
        if low >= high:
            raise Unsupported("a window that lies in the padding alone")
        found.append((low, high, stop - start if count else high - low))
    return tuple(found)


def global_pool(op: str) -> OnnxRow:
    def row(c: Call) -> str:
        axes = tuple(range(2, len(c.draft.shape(c.x()))))
        return _reduced(c, op, c.x(), axes, keep=True)

    return row


def reduction(op: str, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> OnnxRow:
    """`op` over axes, between functions of one number."""

    def row(c: Call) -> str:
        x = c.draft.add("table", c.x(), chain=tuple(before)) if before else c.x()
        axes = c.ints("axes", 1, "the list of axes")
        rank = len(c.draft.shape(x))
        if not axes and not c.attrs.get("noop_with_empty_axes", 0):
            axes = tuple(range(rank))
        kept = tuple(sorted({axis % rank for axis in axes or ()}))
        y = _reduced(c, op, x, kept, keep=bool(c.attrs.get("keepdims", 1))) if kept else x
        return c.draft.add("table", y, chain=tuple(after)) if after else y

    return row


def _reduced(c: Call, op: str, x: str, axes: tuple[int, ...], *, keep: bool) -> str:
    if not axes:
        return x
    if op == "max_pool":
        return compute.largest(c.draft, {"self": x, "dim": list(axes)}, c.out)
    return c.draft.add(op, x, axes=axes, keepdim=keep)


def along(op: str) -> OnnxRow:
    def row(c: Call) -> str:
        given = {"self": c.x(), "dim": int(c.attrs.get("axis", -1))}
        return str(compute.along(op)(c.draft, given, c.out))

    return row


def arg(sign: float) -> OnnxRow:
    """ArgMax and ArgMin: the first one, as int32."""
    find = compute.argmax if sign > 0 else compute.argmin

    def row(c: Call) -> str:
        if c.attrs.get("select_last_index"):
            raise Unsupported("select_last_index=1: the first index is what there is")
        axis, keep = int(c.attrs.get("axis", 0)), bool(c.attrs.get("keepdims", 1))
        return find(c.draft, {"self": c.x(), "dim": axis, "keepdim": keep}, c.out)

    return row


def depth_to_space(c: Call) -> str:
    """Blocks of channels become blocks of positions."""
    d, size = c.draft, int(c.attrs["blocksize"])
    n, channels, h, w = d.shape(c.x())
    depth = channels // size**2
    if c.attrs.get("mode", "DCR") == "DCR":
        cut, order = (n, size, size, depth, h, w), (0, 3, 4, 1, 5, 2)
    else:
        cut, order = (n, depth, size, size, h, w), (0, 1, 4, 2, 5, 3)
    return reshape(d, transpose(d, reshape(d, c.x(), cut), order), c.out)


def space_to_depth(c: Call) -> str:
    d, size = c.draft, int(c.attrs["blocksize"])
    n, channels, h, w = d.shape(c.x())
    cut = (n, channels, h // size, size, w // size, size)
    order = (0, 3, 5, 1, 2, 4) if c.attrs.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return reshape(d, transpose(d, reshape(d, c.x(), cut), order), c.out)


def join(c: Call) -> str:
    axis = int(c.attrs["axis"]) % len(c.out)
    return concat(c.draft, [c.x(i) for i in range(len(c.inputs))], axis)
