# SPDX-License-Identifier: Apache-2.0
"""Convolution over any number of spatial axes, channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.fixed_point import (
    INT32_MAX,
    QuantParams,
    Requant,
    choose_requant,
    exact_matmul,
    requantize,
)
from myoedge.operators.base import (
    LoopNest,
    OpDef,
    QuantizedNode,
    QuantizedParams,
    QuantizeInputs,
    StreamingRule,
    register,
)
from myoedge.operators.common_rules import limited, not_activated
from myoedge.operators.conv.geometry import literals
from myoedge.operators.conv.tiling import in_tiles

BIAS_MAX = 2**22  # of a bias alone; with 2**23 for K = 512 products the sum stays far below 2**31
WIDE_BIAS_MAX = 2**28  # of one beside products of 16 bits, which have the rest of int32
WIDE_TAPS_MAX = 2**14  # of these products in a sum: fewer bits of each are left, the more there are


def shape(attrs: Attrs, x: Shape, w: Shape, *_: Shape) -> Shape:
    """x [N, *S, C], w [K, *R, C/groups] -> [N, *T, K]."""
    spatial = zip(x[1:-1], w[1:-1], attrs["stride"], attrs["dilation"], attrs["pads"], strict=True)
    return (x[0], *(_extent(*axis) for axis in spatial), w[0])


def _extent(n: int, r: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    return (n + sum(pads) - (r - 1) * dilation - 1) // stride + 1


def nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> LoopNest:
    """Loops n, t0.., g, k over outputs and r0.., c that are summed."""
    w, groups = shapes[1], attrs["groups"]
    rank, per_group, taps = len(w) - 2, w[0] // groups, w[-1]
    t, r = ([f"{letter}{d}" for d in range(rank)] for letter in "tr")
    axes = {"n": out[0], **dict(zip(t, out[1:-1], strict=True)), "g": groups, "k": per_group}
    axes |= {**dict(zip(r, w[1:-1], strict=True)), "c": taps}
    spatial = tuple(((t[d], attrs["stride"][d]), (r[d], attrs["dilation"][d])) for d in range(rank))
    kernel = tuple(((axis, 1),) for axis in r)
    channel_out = (("g", per_group), ("k", 1))
    operands = {
        "x": ((("n", 1),), *spatial, (("g", taps), ("c", 1))),
        "w": (channel_out, *kernel, (("c", 1),)),
        "y": ((("n", 1),), *(((axis, 1),) for axis in t), channel_out),
    }
    return LoopNest(axes, operands, frozenset([*r, "c"]))


def columns(attrs: Attrs, x: Array, kernel: Shape, pad_value: float) -> Array:
    """Patches of x [N, *S, C] as [G, N*T, R*C/G]: what a row of weights is multiplied with."""
    rank, groups = len(kernel), attrs["groups"]
    padded = np.pad(x, ((0, 0), *attrs["pads"], (0, 0)), constant_values=pad_value)
    reach = tuple((r - 1) * d + 1 for r, d in zip(kernel, attrs["dilation"], strict=True))
    axes = tuple(range(1, rank + 1))
    view = sliding_window_view(padded, reach, axis=axes) if rank else padded
    steps = (slice(None), *(slice(None, None, s) for s in attrs["stride"]), slice(None))
    view = view[(*steps, *(slice(None, None, d) for d in attrs["dilation"]))]
    rows = math.prod(view.shape[: rank + 1])
    grouped = view.reshape(rows, groups, x.shape[-1] // groups, math.prod(kernel))
    return np.ascontiguousarray(grouped.transpose(1, 0, 3, 2)).reshape(groups, rows, -1)


def real(attrs: Attrs, x: Array, w: Array, *bias: Array) -> Array:
    """Float meaning; the product runs in the array's own precision."""
    groups, out = attrs["groups"], shape(attrs, x.shape, w.shape)
    patches = columns(attrs, x, w.shape[1:-1], 0.0)
    sums = np.matmul(patches, w.reshape(groups, w.shape[0] // groups, -1).transpose(0, 2, 1))
    y = sums.transpose(1, 0, 2).reshape(out)
    return np.asarray(y + bias[0]) if bias else y


def quantize_weights(
    w: Array, bias: Array, x_scale: float, per_channel: bool
) -> tuple[Array, Array]:
    """(int8 weights, float64 scale per output channel), symmetric, 127 at the largest weight.

    A channel with tiny weights and a large bias gets a larger scale, so that the bias keeps within
    BIAS_MAX: it is the bias of a nearly dead channel that overflows int32, not the products.
    """
    rows = np.abs(w.reshape(w.shape[0], -1)).max(axis=1).astype(np.float64)
    largest = rows if per_channel else np.full_like(rows, rows.max())
    scale = np.maximum(largest / 127.0, np.abs(bias) / (x_scale * BIAS_MAX))
    scale = scale.astype(np.float32).astype(np.float64)  # weights of 1e-44 have a scale of 0 here
    scale = np.where(scale > 0, scale, 1.0)
    spread = scale.reshape(-1, *([1] * (w.ndim - 1)))
    return np.asarray(np.clip(np.rint(w / spread), -127, 127), np.int8), scale


def quantize_wide_weights(
    w: Array, bias: Array, x: QuantParams, per_channel: bool
) -> tuple[Array, Array]:
    """(int16 weights, float64 scale per output channel), symmetric; as large as int32 has room for
    the sum of their magnitudes times the largest input, its zero point, and WIDE_BIAS_MAX."""
    rows = np.abs(w.reshape(w.shape[0], -1))
    most = (2**31 - WIDE_BIAS_MAX) // (abs(x.zero_point) - x.low) - rows.shape[1] // 2 - 1
    scale = np.maximum(rows.max(axis=1) / 32767.0, rows.sum(axis=1) / most)
    scale = np.maximum(scale, np.abs(bias) / (x.scale * WIDE_BIAS_MAX)).astype(np.float32)
    scale = scale.astype(np.float64) if per_channel else np.full(len(scale), float(scale.max()))
    scale = np.where(scale > 0, scale, 1.0)
    spread = scale.reshape(-1, *([1] * (w.ndim - 1)))
    return np.asarray(np.clip(np.rint(w / spread), -32767, 32767), np.int16), scale


def eight_bits(w: Array) -> Array:
    """float weights [K, ...] as they are where they have 8 bits."""
    integers, scale = quantize_weights(w.astype(np.float64), np.zeros(len(w)), 1.0, True)
    return (integers * scale.reshape(-1, *([1] * (w.ndim - 1)))).astype(w.dtype)


def quantize(site: QuantizeInputs) -> QuantizedParams:
    """Weights symmetric per output channel; the input's zero point is folded into the bias."""
    x, w, bias = site.params(0), *_floats(site)
    return _integers(site, *quantize_weights(w, bias, x.scale, site.per_channel))


def quantize_conv(site: QuantizeInputs) -> QuantizedParams:
    """The same, with weights of 16 bits where the input has them, or where the result has and its
    windows do not lie side by side."""
    shapes, attrs, wide = site.shapes, site.attrs, site.params(0).dtype == "int16"
    if not wide and (site.target.dtype == "int8" or side_by_side(attrs, shapes, site.out)):
        return quantize(site)
    return quantize_wide(site)


def quantize_wide(site: QuantizeInputs) -> QuantizedParams:
    """The same, with weights of 16 bits."""
    x, w, bias = site.params(0), *_floats(site)
    weights = quantize_wide_weights(w, bias, x, site.per_channel)
    return _integers(site, *weights, x_wide=int(x.dtype == "int16"))


def _floats(site: QuantizeInputs) -> tuple[Array, Array]:
    """Weights and bias in float64."""
    w = site.constant(1).astype(np.float64)
    bias = site.constants[2] if len(site.constants) > 2 else None
    return w, np.zeros(w.shape[0]) if bias is None else bias.astype(np.float64)


def _integers(site: QuantizeInputs, weight: Array, scale: Array, **scalars: int) -> QuantizedParams:
    x, (_, bias) = site.params(0), _floats(site)
    folded = np.rint(bias / (x.scale * scale)) - x.zero_point * _row_sums(weight, signed=True)
    folded = np.clip(folded, -(2.0**31), 2.0**31 - 1)  # where that cuts, the proof fails (E117)
    bound = _bound(weight, folded, -x.low)
    y = site.target
    r = choose_requant(x.scale * scale / y.scale, bound, y.zero_point, y.dtype)
    return QuantizedParams(
        {"x_zero": x.zero_point, "pre": r.pre, **scalars},
        {
            "weight": weight,
            "bias": folded.astype(np.int32),
            "mult": r.mult,
            "offset": r.offset,
            "shift": r.shift,
        },
    )


def _row_sums(weight: Array, *, signed: bool) -> Array:
    rows = weight.reshape(weight.shape[0], -1).astype(np.int64)
    return np.asarray((rows if signed else np.abs(rows)).sum(axis=1))


def _bound(weight: Array, bias: Array, reach: int) -> Array:
    """Largest |acc| per channel over all inputs, at every point of the summation."""
    return np.asarray(np.abs(bias.astype(np.int64)) + reach * _row_sums(weight, signed=False))


def acc_bound(step: QuantizedNode) -> int:
    """Proves that no order of summation leaves int32 for these weights and this bias."""
    reach = 32768 if step.integers.scalars.get("x_wide") else 128
    return int(_bound(step["weight"], step["bias"], reach).max())


def requant_of(step: QuantizedNode) -> Requant:
    """The requantisation of a step that holds one per output channel."""
    return Requant(step["pre"], step["mult"], step["offset"], step["shift"])


def integer(step: QuantizedNode, x: Array) -> Array:
    """x int8 or int16 [N, *S, C] -> int8 or int16 [N, *T, K]; padding is the zero point."""
    weight, groups = step["weight"], step.attrs["groups"]
    patches = columns(step.attrs, x, weight.shape[1:-1], step["x_zero"])
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(0, 2, 1)
    acc = exact_matmul(patches, matrix).transpose(1, 0, 2).reshape(step.out) + step["bias"]
    assert np.abs(acc).max(initial=0) <= INT32_MAX
    return requantize(acc, requant_of(step), step.low, step.high, step.kind)


def side_by_side(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether windows are pieces of the input, one behind the other: patches of a row, pixels."""
    x, kernel = shapes[0], shapes[1][1:-1]
    rows = all(r == s == 1 for r, s in zip(kernel[:-1], attrs["stride"][:-1], strict=True))
    dense = kernel[-1:] == tuple(attrs["stride"][-1:]) and x[-2] == out[-2] * kernel[-1]
    plain = attrs["groups"] == 1 and not any(map(any, attrs["pads"]))
    return rows and dense and plain and not_activated(attrs, shapes, out)


def accepts_int16(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether there is a kernel for products of 16 bits."""
    return attrs.get("groups", 1) == 1 and math.prod(shapes[1][1:]) <= WIDE_TAPS_MAX


def emits_int16(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    return accepts_int16(attrs, shapes, out) and limited(attrs, shapes, out)


def attributes(rank: int) -> dict[str, object]:
    """Attributes of a convolution with stride and dilation 1, no padding, one group."""
    ones = (1,) * rank
    return {"stride": ones, "dilation": ones, "pads": ((0, 0),) * rank, "groups": 1}


def streaming_rule(
    attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int
) -> StreamingRule | None:
    """Windows along a spatial axis; images one by one."""
    x, w, d = shapes[0], shapes[1], axis - 1
    if index or axis == len(x) - 1:
        return None
    if axis == 0:
        return StreamingRule(0, lambda made: attrs)
    taps, stride = (w[axis] - 1) * attrs["dilation"][d] + 1, attrs["stride"][d]
    before, _ = pads = attrs["pads"][d]
    made = _extent(x[axis], w[axis], stride, attrs["dilation"][d], pads)
    without = {**attrs, "pads": (*attrs["pads"][:d], (0, 0), *attrs["pads"][d + 1 :])}
    return StreamingRule(
        axis,
        lambda made: without,
        taps=taps,
        stride=stride,
        before=before,
        behind=max((made - 1) * stride - before + taps - x[axis], 0),
        fill=lambda step: int(step["x_zero"]),
    )


CONV = register(
    OpDef(
        name="conv",
        doc="convolution 1-D and 2-D: any kernel, stride, dilation, padding, groups; depthwise",
        shape=shape,
        nest=nest,
        real=real,
        integer=integer,
        quantize=quantize_conv,
        acc_bound=acc_bound,
        template="conv.c.j2",
        literals=literals,
        tiled=in_tiles,
        weights=(1, 2),
        epilogue=True,
        multiplies=True,
        streaming_rule=streaming_rule,
        accepts_int16=accepts_int16,
        emits_int16=emits_int16,
        int16_weights=eight_bits,
    )
)
