# SPDX-License-Identifier: Apache-2.0
"""Import rows of convolutions, and the padding of windows."""

from __future__ import annotations

import math
from typing import Any

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.conv.definition import attributes
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    channels_first,
    channels_last,
    reshape,
    transpose,
    weights,
)
from myoedge.operators.import_rows import (
    Arguments,
    Calls,
    OnnxCall,
    calls,
)


def conv(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """[N, C, *S] (or without N) through a channels-last convolution and back."""
    w = weights(d, a["weight"], "a convolution's weight")
    rank = w.ndim - 2
    if a.get("transposed") or rank not in (1, 2):
        raise Unsupported(f"{'transposed ' if a.get('transposed') else ''}convolution {rank}-D")
    x = batched(d, a["input"], rank + 2)
    attrs: dict[str, Any] = attributes(rank)
    attrs |= {name: as_tuple(a[name], rank) for name in ("stride", "dilation")}
    attrs |= {"groups": a["groups"], "pads": _pads(a, w.shape[2:], attrs["dilation"], rank)}
    x = transpose(d, x, channels_last(rank + 2))
    weight = d.constant(w.transpose(channels_last(rank + 2)))
    y = d.add("conv", x, weight, *_bias(d, a), **attrs)
    return reshape(d, channels_first(d, y), out)


def _bias(d: GraphBuilder, a: Arguments) -> tuple[str, ...]:
    if a["bias"] is None:
        return ()
    weights(d, a["bias"], "a bias")
    return (a["bias"],)


def batched(d: GraphBuilder, x: str, rank: int) -> str:
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


MOST_PADDED = 2**28  # positions, padding included


Pads = tuple[tuple[int, int], ...]


def conv_onnx(c: OnnxCall) -> str:
    """[N, C, *S] through a channels-last convolution and channels_first."""
    d, w = c.builder, c.weights(1, "a convolution's weight")
    rank = w.ndim - 2
    if rank not in (1, 2):
        raise Unsupported(f"convolution {rank}-D")
    groups = int(c.attrs.get("group", 1))
    _check_channels(c, w, groups)
    stride, dilation = (per_axis(c, name, rank) for name in ("strides", "dilations"))
    pads = pads_of(c, d.shape(c.x())[2:], w.shape[2:], stride, dilation)
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "pads": pads}
    x = transpose(d, c.x(), channels_last(rank + 2))
    weight = d.constant(w.transpose(channels_last(rank + 2)))
    bias = (c.x(2),) if c.has(2) else ()
    return channels_first(d, d.add("conv", x, weight, *bias, groups=groups, **attrs))


def _check_channels(c: OnnxCall, w: Array, groups: int) -> None:
    channels = c.shape()[1]
    if groups < 1 or w.shape[0] % groups or channels != w.shape[1] * groups:
        raise ValueError(f"{channels} channels in {groups} groups, weights {list(w.shape)}")
    if c.has(2) and c.weights(2, "a bias").shape != w.shape[:1]:
        raise ValueError(f"a bias {list(c.weights(2, 'a bias').shape)}")


def per_axis(c: OnnxCall, name: str, rank: int) -> tuple[int, ...]:
    values = tuple(c.attrs.get(name) or (1,) * rank)
    if len(values) != rank or min(values) < 1:
        raise Unsupported(f"{name} {list(values)} for {rank} axes")
    return values


def pads_of(c: OnnxCall, sizes: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
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


ATEN: Calls = {
    "conv": {
        **calls(conv, "conv1d", "conv2d", "convolution"),
        **calls(conv, "conv1d.padding", "conv2d.padding"),
    }
}
ONNX: Calls = {"conv": {"Conv": conv_onnx}}
