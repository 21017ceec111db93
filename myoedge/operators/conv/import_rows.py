# SPDX-License-Identifier: Apache-2.0
"""Import of convolutions."""

from __future__ import annotations

from myoedge.graph.ir import Shape
from myoedge.operators.conv.three_axes import ConvAxis, over_axes
from myoedge.operators.conv.transposed import conv_transpose
from myoedge.operators.conv.windows import batched, check_kernel, pads_of, per_axis
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    channels_first,
    channels_last,
    optional_bias,
    reshape,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow

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
