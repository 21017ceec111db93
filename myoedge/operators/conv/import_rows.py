# SPDX-License-Identifier: Apache-2.0
"""Import of convolutions.

A 3-D convolution becomes a 2-D convolution: two adjacent axes with kernel size 1 are merged. One
axis with kernel size 1 becomes part of the batch. Otherwise the axis with the fewest windows is
gathered, so that its taps become channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.conv.transposed import conv_transpose
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    channels_first,
    channels_last,
    concat,
    fusible_view,
    optional_bias,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow
from myoedge.operators.library.import_moves import batched, check_kernel, pads_of, per_axis


class ConvAxis(NamedTuple):
    """Parameters of a convolution along one spatial axis.

    taps               kernel size
    stride, dilation   in elements
    pads               padding (before, after)
    """

    taps: int
    stride: int
    dilation: int
    pads: tuple[int, int]

    @property
    def is_single(self) -> bool:
        """Whether the kernel has size 1 and stride 1 along this axis."""
        return self.taps == self.stride == 1 and not any(self.pads)

    def count(self, n: int) -> int:
        return (n + sum(self.pads) - (self.taps - 1) * self.dilation - 1) // self.stride + 1


def over_axes(
    d: GraphBuilder, x: str, w: Array, bias: Sequence[str], axes: Sequence[ConvAxis], groups: int
) -> str:
    """Add a convolution over any number of axes: x [N, *S, C], w [K, *R, C/groups] -> [N, *T,
    K]."""
    if len(axes) < 3:
        _, stride, dilation, pads = zip(*axes, strict=True)
        attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "pads": pads}
        return d.add("conv", x, d.constant(w), *bias, **attrs, groups=groups)
    n, *sizes, _ = d.shape(x)
    for i in range(2):
        if axes[i].is_single and axes[i + 1].is_single:
            joined = (*sizes[:i], sizes[i] * sizes[i + 1], *sizes[i + 2 :])
            x = reshape(d, x, (n, *joined, d.shape(x)[-1]))
            y = over_axes(d, x, w.squeeze(i + 1), bias, (*axes[:i], *axes[i + 1 :]), groups)
            counts = (axis.count(size) for axis, size in zip(axes, sizes, strict=True))
            return fusible_view(d, y, (n, *counts, len(w)))
    lengths = [axis.count(m) * axis.taps for axis, m in zip(axes, sizes, strict=True)]
    first = min(range(3), key=lambda i: (not axes[i].is_single, lengths[i], i))
    return _convolve_as_images(d, x, w, bias, axes, groups, first)


def _convolve_as_images(
    d: GraphBuilder,
    x: str,
    w: Array,
    bias: Sequence[str],
    axes: Sequence[ConvAxis],
    groups: int,
    axis: int,
) -> str:
    """Compute the convolution with one axis as the batch and its taps as channels."""
    order = (0, 1 + axis, *(i for i in range(1, 4) if i != 1 + axis), 4)
    x = _gather_windows(d, transpose(d, x, order), axes[axis], groups)
    n, count, *rest = d.shape(x)
    rows = w.transpose(order)
    rows = np.moveaxis(rows, 1, -2).reshape(len(w), *rows.shape[2:4], -1)
    others = [other for i, other in enumerate(axes) if i != axis]
    y = over_axes(d, reshape(d, x, (n * count, *rest)), rows, bias, others, groups)
    y = fusible_view(d, y, (n, count, *d.shape(y)[1:]))
    return transpose(d, y, tuple(int(i) for i in np.argsort(order)))


def _gather_windows(d: GraphBuilder, x: str, axis: ConvAxis, groups: int) -> str:
    """Gather the windows of one axis: [N, D, H, W, C] -> [N, windows, H, W, groups * taps *
    C/groups]."""
    if any(axis.pads):
        x = d.add("pad", x, pads=((0, 0), axis.pads, *((0, 0),) * 3), value=0.0)
    count, last = axis.count(d.shape(x)[1] - sum(axis.pads)), d.shape(x)[-1]
    starts = (tap * axis.dilation for tap in range(axis.taps))
    reach = (count - 1) * axis.stride + 1
    parts = [slice_axis(d, x, 1, start, start + reach, axis.stride) for start in starts]
    y = concat(d, parts, 4)
    if groups == 1 or axis.taps == 1:
        return y
    shape = d.shape(y)
    y = reshape(d, y, (*shape[:4], axis.taps, groups, last // groups))
    return reshape(d, transpose(d, y, (0, 1, 2, 3, 5, 4, 6)), shape)


BY_WINDOWS = 'use torch.einsum("nclk,ock->nol", x.unfold(2, 3, 1), weight), for a kernel of 3'


def conv(d: GraphBuilder, a: Arguments, out: Shape) -> str:
    """Import a convolution of [N, C, *S], or [C, *S], as a channels-last convolution."""
    if a.get("transposed"):
        return conv_transpose(d, a, out)
    w = weights(d, a["weight"], "a convolution's weight", BY_WINDOWS)
    rank, groups = w.ndim - 2, int(a["groups"])
    if rank not in (1, 2, 3):
        raise Unsupported(f"convolution {rank}-D")
    check_kernel(a, w.shape[2:])
    x = batched(d, a["input"], rank + 2)
    channels, sizes = d.shape(x)[1], d.shape(x)[2:]
    if groups < 1 or w.shape[0] % groups or channels != w.shape[1] * groups:
        raise ValueError(f"{channels} channels in {groups} groups, weights {list(w.shape)}")
    bias = optional_bias(d, a["bias"])
    if bias and d.shape(*bias) != w.shape[:1]:
        raise ValueError(f"a bias {list(d.shape(*bias))}")
    stride, dilation = (per_axis(a, name, rank) for name in ("stride", "dilation"))
    pads = pads_of(a, sizes, w.shape[2:], stride, dilation)
    x = transpose(d, x, channels_last(rank + 2))
    axes = [ConvAxis(*axis) for axis in zip(w.shape[2:], stride, dilation, pads, strict=True)]
    y = over_axes(d, x, w.transpose(channels_last(rank + 2)), bias, axes, groups)
    return reshape(d, channels_first(d, y), out)


ROWS = (
    ImportRow(
        "conv",
        conv,
        "conv1d conv2d conv3d convolution conv1d.padding conv2d.padding conv3d.padding",
        "Conv(input, weight: weights, bias: weights, *, groups: group = 1, stride: strides = None, "
        "dilation: dilations = None, pads=None, kernel_shape=None, auto_pad='NOTSET')",
    ),
    ImportRow(
        "conv",
        conv_transpose,
        "conv_transpose1d conv_transpose2d.input",
        "ConvTranspose(input, weight: weights, bias: weights, *, groups: group = 1, "
        "stride: strides = None, dilation: dilations = None, pads=None, kernel_shape=None, "
        "auto_pad='NOTSET', output_padding=None, output_shape=None)",
    ),
)
