# SPDX-License-Identifier: Apache-2.0
"""Import rows of convolutions, and the padding of windows."""

from __future__ import annotations

import math
from typing import Any

from myoedge.graph.ir import Shape
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    as_tuple,
    channels_first,
    channels_last,
    optional_bias,
    reshape,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow

MOST_PADDED = 2**28  # positions, padding included
AUTO_PAD = {"same": "SAME_UPPER", "valid": "VALID"}  # ONNX's names of torch's
Pads = tuple[tuple[int, int], ...]


def conv(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """[N, C, *S] (or without N) through a channels-last convolution and back."""
    w = weights(d, a["weight"], "a convolution's weight")
    rank, groups = w.ndim - 2, int(a["groups"])
    transposed = "transposed " if a.get("transposed") else ""
    if transposed or rank not in (1, 2):
        raise Unsupported(f"{transposed}convolution {rank}-D")
    x = batched(d, a["input"], rank + 2)
    channels, sizes = d.shape(x)[1], d.shape(x)[2:]
    if groups < 1 or w.shape[0] % groups or channels != w.shape[1] * groups:
        raise ValueError(f"{channels} channels in {groups} groups, weights {list(w.shape)}")
    bias = optional_bias(d, a["bias"])
    if bias and d.shape(*bias) != w.shape[:1]:
        raise ValueError(f"a bias {list(d.shape(*bias))}")
    stride, dilation = (per_axis(a, name, rank) for name in ("stride", "dilation"))
    pads = pads_of(a, sizes, w.shape[2:], stride, dilation)
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "pads": pads}
    x = transpose(d, x, channels_last(rank + 2))
    weight = d.constant(w.transpose(channels_last(rank + 2)))
    y = d.add("conv", x, weight, *bias, **attrs, groups=groups)
    return reshape(d, channels_first(d, y), out)


def batched(d: GraphBuilder, x: str, rank: int) -> str:
    return x if len(d.shape(x)) == rank else reshape(d, x, (1, *d.shape(x)))


def per_axis(a: Arguments, name: str, rank: int) -> tuple[int, ...]:
    """An argument of windows for every axis; 1 where it is left out."""
    values = as_tuple(a.get(name) or 1, rank)
    if len(values) != rank or min(values) < 1:
        raise Unsupported(f"{name} {list(values)} for {rank} axes")
    return values


def pads_of(a: Arguments, sizes: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """(before, after) for every spatial axis.

    `padding` is of both ends of every axis, "same" or "valid"; `pads` lists all fronts, then all
    ends, and auto_pad says where the odd element lies.
    """
    rank, padding = len(sizes), a.get("padding", 0)
    auto = a.get("auto_pad", AUTO_PAD.get(str(padding), "NOTSET"))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = []  # ceil(n / stride) results; the odd element lies behind or in front
        for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
            both = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            small, large = both // 2, both - both // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return tuple(pads)
    flat = (0,) * 2 * rank
    if auto == "NOTSET":
        flat = tuple(a.get("pads") or as_tuple(padding, rank) * 2)
    if len(flat) != 2 * rank or min(flat) < 0:
        raise Unsupported(f"pads {list(flat)} for {rank} axes")
    if math.prod(n + flat[i] + flat[rank + i] for i, n in enumerate(sizes)) > MOST_PADDED:
        raise Unsupported(f"pads {list(flat)}")
    return tuple(zip(flat[:rank], flat[rank:], strict=True))


ROWS = (
    ImportRow(
        "conv",
        conv,
        "conv1d conv2d convolution conv1d.padding conv2d.padding",
        "Conv(input, weight: weights, bias: weights, *, groups: group = 1, stride: strides = None, "
        "dilation: dilations = None, pads=None, auto_pad='NOTSET')",
    ),
)
