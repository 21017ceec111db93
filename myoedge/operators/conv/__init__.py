# SPDX-License-Identifier: Apache-2.0
"""Convolution over one or two spatial axes, channels last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myoedge.graph.ir import Attrs, Shape
from myoedge.numerics.arrays import Array
from myoedge.numerics.requant import exact_sums
from myoedge.operators.attributes import TIMES, NodeSite, Values, is_whole, padded
from myoedge.operators.base import QuantizedNode, QuantizeInputs, add_operator
from myoedge.operators.cases import Draw, DrawnUse, weight_slack
from myoedge.operators.common_rules import with_entry
from myoedge.operators.conv.depthwise_lines import is_depthwise, lines_in_tiles
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16 import (
    conv_by_channels_on_ne16,
    conv_on_ne16,
    conv_with_sum_on_ne16,
    keeps_rows,
    sum_kernels,
)
from myoedge.operators.conv.ne16_add import BESIDE_RESIDUAL, is_same_size
from myoedge.operators.conv.ne16_beside import (
    conv_with_mean_on_ne16,
    depthwise_on_both,
    is_over_rows,
)
from myoedge.operators.conv.ne16_beside import is_depthwise as is_depthwise_on_ne16
from myoedge.operators.conv.ne16_rows import int16_rows_on_ne16
from myoedge.operators.conv.ne16_rules import (
    has_rows,
    has_windows_in_one_group,
    in_one_group,
    one_group_or_depthwise,
)
from myoedge.operators.conv.tiling import (
    gathered_once,
    grouped_in_place,
    has_wide_windows,
    in_tiles,
    is_grouped,
    is_large_pointwise,
)
from myoedge.operators.format import SIXTEEN, STORED_BITS, Condition, Format
from myoedge.operators.kernel import CLUSTER, Kernel
from myoedge.operators.kernel_formats import low_scratch_fallback, on_nine_cores
from myoedge.operators.library.ne16_rules import on_ne16
from myoedge.operators.library.packing import (
    INT8_PRODUCTS,
    INT16_PRODUCTS,
    LEARNT,
    ROOM_FOR_SUMS,
    WeightedParams,
    acc_bound,
    quantize,
)
from myoedge.operators.qdq import Write, Writer, channels_first, channels_last, weights
from myoedge.operators.streaming_rule import OperandAxis, StreamingRule
from myoedge.operators.traits import ByHand, Constants, Weights


def shape(attrs: Attrs, x: Shape, w: Shape, *_: Shape) -> Shape:
    """Return the result shape [N, *T, K] for input x [N, *S, C] and weights w [K, *R, C/groups]."""
    spatial = zip(x[1:-1], w[1:-1], attrs["stride"], attrs["dilation"], attrs["pads"], strict=True)
    extents = ((n + sum(pads) - (r - 1) * d - 1) // step + 1 for n, r, step, d, pads in spatial)
    return (x[0], *extents, w[0])


def _groups_divide_channels(value: Any, site: NodeSite) -> bool:
    """Return whether groups divide the channels of the result, and their inputs are those that the
    weights have."""
    x, w = site.shapes[:2]
    return is_whole(value, 1, w[0]) and w[0] % value == 0 and x[-1] == value * w[-1]


ATTRIBUTES = {
    "stride": TIMES,
    "dilation": TIMES,
    "pads": padded(spatial=True),
    "groups": Values("groups of the channels that the weights have", _groups_divide_channels),
}


def columns(attrs: Attrs, x: Array, kernel: Shape, pad_value: float) -> Array:
    """Gather the windows of x [N, *S, C] (im2col) as [groups, N * outputs, taps * C / groups], taps
    in the order of the weights.

    kernel      taps per spatial axis
    pad_value   value of padded elements
    """
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
    """Compute the convolution in floats of x's precision: x [N, *S, C], w [K, *R, C/groups], bias
    [K]."""
    groups, out = attrs["groups"], shape(attrs, x.shape, w.shape)
    patches = columns(attrs, x, w.shape[1:-1], 0.0)
    sums = np.matmul(patches, w.reshape(groups, w.shape[0] // groups, -1).transpose(0, 2, 1))
    y = sums.transpose(1, 0, 2).reshape(out)
    return np.asarray(y + bias[0]) if bias else y


def quantize_conv(inputs: QuantizeInputs) -> WeightedParams:
    """Return the integer constants of a convolution.

    Weights are int16 if the input is int16. They are also int16 if only the result is, unless the
    windows are contiguous and do not overlap.
    """
    weights = inputs.weight_format.beside(inputs.params(0).element_type)
    if not windows_are_contiguous(inputs.attrs, inputs.shapes, inputs.out):
        weights = weights.beside(inputs.target.element_type)
    return quantize(inputs, weights)


def integer(step: QuantizedNode, x: Array) -> Array:
    """Convolve x int8 or int16 [N, *S, C] in integers, padded with x_zero; return int8 or int16 [N,
    *T, K]."""
    weight, groups = step.integers.weight, step.attrs["groups"]
    patches = columns(step.attrs, x, weight.shape[1:-1], step.integers.x_zero)
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(0, 2, 1)
    acc = exact_sums(patches, matrix, step.integers.bias.reshape(groups, 1, -1))
    return step.requantize(acc.transpose(1, 0, 2).reshape(step.out))


def windows_are_contiguous(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Return whether the windows are disjoint, consecutive runs of memory: the kernel is 1x1, or as
    wide as its stride along the only row."""
    x, kernel = shapes[0], shapes[1][1:-1]
    rows = all(r == s == 1 for r, s in zip(kernel[:-1], attrs["stride"][:-1], strict=True))
    dense = kernel[-1:] == tuple(attrs["stride"][-1:]) and x[-2] == out[-2] * kernel[-1]
    plain = attrs["groups"] == 1 and not any(map(any, attrs["pads"]))
    return rows and dense and plain and "act" not in attrs


def streaming_rule(at: OperandAxis) -> StreamingRule | None:
    """Return the rule for streaming a convolution: sliding windows along a spatial axis,
    independent images along the batch axis; None along channels."""
    attrs, axis, d = at.attrs, at.axis, at.axis - 1
    x, w = at.shapes[:2]
    if at.operand or axis == len(x) - 1:
        return None
    if axis == 0:
        return StreamingRule(0)
    taps, stride = (w[axis] - 1) * attrs["dilation"][d] + 1, attrs["stride"][d]
    return StreamingRule(
        axis,
        lambda made: with_entry(attrs, "pads", d, (0, 0)),
        taps=taps,
        stride=stride,
        before=attrs["pads"][d][0],
        fill=lambda step: int(step.integers.x_zero),
    )


INT16_RESULTS = Format(
    writes=SIXTEEN,
    weights=STORED_BITS,
    where=Condition("windows without gap or overlap", windows_are_contiguous) & ROOM_FOR_SUMS,
)
FORMATS = (INT8_PRODUCTS, INT16_RESULTS, *INT16_PRODUCTS)

WITH_SUM_ON_NE16 = (on_ne16(conv_with_sum_on_ne16, is_same_size, keeps_rows, form=BESIDE_RESIDUAL),)

CONV = add_operator(
    name="conv",
    attributes=ATTRIBUTES,
    doc="convolution 1-D to 3-D: any kernel, stride, dilation, padding, groups; depthwise",
    shape=shape,
    real=real,
    integer=ByHand(integer, acc_bound),
    constants=Constants(quantize_conv, kinds=(WeightedParams,), learnt=LEARNT),
    kernels=(
        *on_nine_cores(in_tiles, is_large_pointwise, *FORMATS),
        Kernel(CLUSTER, lines_in_tiles, is_depthwise, (INT8_PRODUCTS,)),
        low_scratch_fallback(gathered_once, INT8_PRODUCTS, accepts=has_wide_windows),
        low_scratch_fallback(grouped_in_place, INT8_PRODUCTS, accepts=is_grouped),
        on_ne16(conv_on_ne16),
        on_ne16(depthwise_on_both, one_group_or_depthwise, is_depthwise_on_ne16),
        on_ne16(conv_by_channels_on_ne16, has_windows_in_one_group),
        *sum_kernels(Conv2dGeometry.of, in_one_group),
        *int16_rows_on_ne16(INT16_RESULTS),
    ),
    kernels_before={
        "mean": (on_ne16(conv_with_mean_on_ne16, one_group_or_depthwise, has_rows, is_over_rows),),
        "add": WITH_SUM_ON_NE16,
        "sub": WITH_SUM_ON_NE16,
    },
    weights=Weights(
        (1, 2), multiplicands=lambda attrs, x, w, *_: columns(attrs, x, w.shape[1:-1], 0.0)
    ),
    epilogue=True,
    macs=lambda attrs, shapes, out: math.prod((*out, *shapes[1][1:])),
    streaming_rule=streaming_rule,
)


def _write_conv(w: Writer, step: QuantizedNode, x: str) -> str:
    rank, attrs = len(step.out), step.attrs
    weight, bias = weights(w, step, [0, rank - 1, *range(1, rank - 1)])
    y = w.node(
        "Conv",
        channels_first(w, x, rank),
        weight,
        bias,
        strides=list(attrs["stride"]),
        dilations=list(attrs["dilation"]),
        pads=[*(p[0] for p in attrs["pads"]), *(p[1] for p in attrs["pads"])],
        group=attrs["groups"],
    )
    return channels_last(w, y, rank)


WRITE: Mapping[str, Write] = {"conv": _write_conv}


CONV_IN_TORCH = """\
x = F.pad(x0.movedim(-1, 1), sum(pads[::-1], ()))
run = (F.conv1d, F.conv2d)[len(stride) - 1]
bias = ws[1] if ws[1:] else None
run(x, w0.movedim(-1, 1), bias, stride, 0, dilation, groups).movedim(1, -1)
"""


def conv(d: Draw) -> DrawnUse:
    """Return a random test case of a convolution along one or two axes, possibly grouped or
    depthwise; the input is padded if the kernel would exceed it."""
    rank, groups, per_group = d.pick([1, 2, 2]), d.pick([1, 1, 1, 2, 3, 5]), d.pick([1, 1, 2, 3, 4])
    taps = d.pick([1, 1, 1, 2, 3, 4, 5, 7] if groups > 1 else [1, 2, 3, 4, 5, 8, 13])
    axes = [_draw_axis(d) for _ in range(rank)]
    spatial, kernel, stride, dilation, pads = zip(*axes, strict=True)
    attrs = {"stride": stride, "dilation": dilation, "pads": pads, "groups": groups}
    shape = (d.pick([1, 1, 2]), *spatial, groups * taps)
    weights = d.weights((groups * per_group, *kernel, taps))
    common = d.common(1, act=True) | {"slack": weight_slack, "per_tensor": d.flag()}
    return DrawnUse("conv", attrs, (shape,), CONV_IN_TORCH, weights=weights, **common)


def _draw_axis(d: Draw) -> tuple[int, int, int, int, tuple[int, int]]:
    """Draw extent, taps, stride, dilation, and pads that make all taps fit."""
    n, taps, stride, dilation = d.integer(1, 5), d.integer(1, 4), d.integer(1, 3), d.integer(1, 3)
    before, after = d.integer(0, 3), d.integer(0, 3)
    missing = max(0, (taps - 1) * dilation + 1 - n - before - after)
    return n, taps, stride, dilation, (before, after + missing)


CASES = {"conv": conv}
