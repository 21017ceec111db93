# SPDX-License-Identifier: Apache-2.0
"""Geometry of a 2-D convolution: sizes, window extents, and the cost of gathering windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import OUT, AffineExpr, Fields, Operand, Region, Sizes
from myoedge.operators.library import rows as dense
from myoedge.operators.library.packing import scale_fields

CROSSING_WORDS = 1024  # words of weights up to which unaligned loads beat copied windows


@dataclass(frozen=True, slots=True)
class Conv2dGeometry:
    """Sizes of a 2-D convolution, for tiling and cycle estimates.

    x, y     shapes [N, H, W, C] of the input and the result; C of one group
    kernel, stride, dilation   (rows, columns)
    pads     (before, after) for rows and for columns
    groups   number of groups
    """

    x: Shape
    y: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    groups: int

    @staticmethod
    def of(step: QuantizedNode, groups: int = 1) -> Conv2dGeometry:
        """Return the geometry of a layer; a 1-D convolution has one row.

        groups   number of groups that are computed one after another
        """
        attrs, ones = step.attrs, (1,) * (4 - len(step.out))
        kernel, stride, dilation = (
            (*ones, *values)
            for values in (step.integers.weight.shape[1:-1], attrs["stride"], attrs["dilation"])
        )
        x, y = ((s[0], *ones, *s[1:-1], s[-1] // groups) for s in (step.shapes[0], step.out))
        pads = (*((0, 0) for _ in ones), *attrs["pads"])
        conv = Conv2dGeometry(x, y, kernel, stride, dilation, pads, groups)
        one_column = x[2] == y[2] == kernel[1] == 1 and not any(pads[1])
        return conv.turned() if one_column else conv

    def turned(self) -> Conv2dGeometry:
        """Return the geometry with rows and columns exchanged."""
        x, y = ((n, w, h, c) for n, h, w, c in (self.x, self.y))
        kernel, stride, dilation = (
            (columns, rows) for rows, columns in (self.kernel, self.stride, self.dilation)
        )
        return Conv2dGeometry(x, y, kernel, stride, dilation, self.pads[::-1], self.groups)

    @staticmethod
    def of_pixels(count: int, c: int, k: int) -> Conv2dGeometry:
        """Return the geometry of a 1x1 convolution over one row of `count` pixels with c input and
        k output channels."""
        ones, none = (1, 1), ((0, 0), (0, 0))
        return Conv2dGeometry((1, 1, count, c), (1, 1, count, k), ones, ones, ones, none, 1)

    @property
    def taps(self) -> int:
        return math.prod(self.kernel) * self.x[-1]

    @property
    def group(self) -> AffineExpr:
        return (("g", 1),) if self.groups > 1 else ()

    @property
    def pointwise(self) -> bool:
        """Whether the kernel is 1x1 with stride 1 and without padding."""
        return self.kernel == self.stride == (1, 1) and not self.reaches_over

    @property
    def reaches_over(self) -> bool:
        """Whether windows cross the edges of the operand."""
        return self.pads != ((0, 0), (0, 0))

    @property
    def narrow(self) -> bool:
        """Whether each row of a window fits one 32-bit word, so that the kernel reads it by one
        load."""
        in_word = self.kernel[1] * self.x[-1] in (3, 4) and self.kernel[0] > 1
        return in_word and self.dilation[1] == 1

    @property
    def crossing(self) -> bool:
        """Whether windows are contiguous in memory and read by unaligned loads instead of being
        copied."""
        in_one = self.kernel[0] == 1 and (self.kernel[1] == 1 or self.dilation[1] == 1)
        return in_one and self.unaligned and -(-self.taps // 4) * self.y[-1] <= CROSSING_WORDS

    @property
    def unaligned(self) -> bool:
        """Whether some windows begin or end at an address that is not a multiple of 4."""
        c = self.x[-1]
        return (self.taps | self.stride[1] * c | self.stride[0] * self.x[2] * c) % 4 > 0

    def reach(self, sizes: Sizes) -> tuple[Any, Any]:
        """Return the rows and columns of the input, padding included, that a tile's windows cover.

        sizes   loop -> tile extent
        """
        axes = zip(("t0", "t1"), self.kernel, self.stride, self.dilation, strict=True)
        rows, columns = ((sizes[t] - 1) * s + (k - 1) * d + 1 for t, k, s, d in axes)
        return rows, columns

    def padded_bytes(self, sizes: Sizes) -> Any:
        """Return the bytes of a copy of a tile's padded input, as C's me_conv_padded_bytes."""
        rows, columns = self.reach(sizes)
        return round_up(rows * columns * self.x[-1], 4) + 4

    def windows(self, *, once: bool = False) -> dense.Windows:
        """Return how me_conv reads the taps of a window: in place, or from a copy in scratch.

        once   whether the windows are copied once for all cores, even if reading in place is faster
        """
        c = self.x[-1]
        if self.narrow:
            return dense.Windows(self.kernel[0], crossing=True)
        if self.crossing and not once:
            return dense.Windows(-(-self.taps // 4), crossing=True)
        in_one = self.kernel[1] == 1 or self.dilation[1] == 1
        runs = self.kernel[0] * (1 if in_one else self.kernel[1])
        run = c * (self.kernel[1] if in_one else 1)
        return dense.Windows(-(-self.taps // 4), runs > 1 or self.unaligned, runs, run % 4)

    @property
    def edge_share(self) -> float:
        """Fraction of the windows that include padding."""
        inside = 1.0
        for d, count in enumerate(self.y[1:3]):
            stride, (pad, _) = self.stride[d], self.pads[d]
            reach = (self.kernel[d] - 1) * self.dilation[d] + 1
            first = min(-(-pad // stride), count)
            fit = min(max((self.x[1 + d] + pad - reach) // stride + 1, first), count)
            inside *= (fit - first) / count
        return 1 - inside

    def flat(self) -> Conv2dGeometry:
        """Return the geometry of a 1x1 convolution with all positions in one row."""
        x, y = ((1, 1, math.prod(s[:3]), s[3]) for s in (self.x, self.y))
        return replace(self, x=x, y=y)

    def joined(self, n: int) -> Conv2dGeometry:
        """Fold n adjacent output columns into the channel axis: an equivalent convolution with n
        times the channels, 1/n of the columns, n times the horizontal stride, and a wider kernel.
        """
        (*outer, columns, k), stride = self.y, self.stride[1]
        kernel = (self.kernel[0], self.kernel[1] + (n - 1) * stride)
        y = (*outer, columns // n, n * k)
        return replace(self, y=y, kernel=kernel, stride=(self.stride[0], n * stride))

    def spread(self) -> Conv2dGeometry:
        """Return the geometry of the same windows with undilated columns: the kernel has a tap,
        possibly of weight 0, at every column."""
        columns = (self.kernel[1] - 1) * self.dilation[1] + 1
        return replace(self, kernel=(self.kernel[0], columns), dilation=(self.dilation[0], 1))

    def axes(self) -> dict[str, int]:
        n, t0, t1, _ = self.y
        taps = {"r0": self.kernel[0], "r1": self.kernel[1], "s1": 1 + self.unread}
        return {"n": n, "g": self.groups, "t0": t0, "t1": t1, **taps}

    @property
    def unread(self) -> int:
        """Number of input columns that no window reads, at the right end of every row."""
        read = (self.y[2] - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1
        return max(self.x[2] + self.pads[1][0] - read, 0)

    def read(self, channels: AffineExpr) -> Operand:
        rows = (("t0", self.stride[0]), ("r0", self.dilation[0]))
        columns = (("t1", self.stride[1]), ("r1", self.dilation[1]), ("s1", 1))
        first = (0, -self.pads[0][0], -self.pads[1][0], 0, 0)
        index = ((("n", 1),), rows, columns, self.group, channels)
        return Operand("x", 0, (*self.x[:3], self.groups, self.x[3]), index, first)

    def write(self, channels: AffineExpr) -> Operand:
        index = ((("n", 1),), (("t0", 1),), (("t1", 1),), self.group, channels)
        return Operand("y", OUT, (*self.y[:3], self.groups, self.y[3]), index)

    def fields(self, c: int, step: QuantizedNode) -> dict[str, int | str]:
        """Return the fields of the C struct me_conv_s8_params.

        c   input channels of a group
        """
        both = {"k": self.kernel, "stride": self.stride, "dilation": self.dilation}
        sizes = {f"{key}_{axis}": v[d] for key, v in both.items() for d, axis in enumerate("hw")}
        return {"c": c, **sizes, "x_zero": step.integers.x_zero, **scale_fields(step)}


def joined_weight(weight: Array, conv: Conv2dGeometry, n: int) -> Array:
    """Return the weights for `Conv2dGeometry.joined`: [K, *kernel, C] -> [n * K, *wider kernel,
    C]."""
    k, stride, (rows, columns) = len(weight), conv.stride[1], conv.kernel
    weight = weight.reshape(k, rows, columns, -1)
    c = weight.shape[-1]
    wide = np.zeros((n, k, rows, columns + (n - 1) * stride, c), weight.dtype)
    for i in range(n):
        wide[i, :, :, i * stride : i * stride + columns] = weight
    return wide.reshape(n * k, *wide.shape[2:])


def spread_weight(weight: Array, conv: Conv2dGeometry) -> Array:
    """Return weights [K, *kernel, C] with zeros between taps dilated along columns: [K, *kernel of
    conv.spread(), C]."""
    weight = weight.reshape(len(weight), *conv.kernel, -1)
    wide = np.zeros((len(weight), *conv.spread().kernel, weight.shape[-1]), weight.dtype)
    wide[:, :, :: conv.dilation[1]] = weight
    return wide


def merged_weight(weight: Array, groups: int, merged: int) -> Array:
    """Convert weights of a grouped convolution to fewer groups, filled with zeros: [K, *kernel, C /
    groups] -> [K, *kernel, C / merged].

    merged   new number of groups, a divisor of `groups`
    """
    k, c, together = len(weight), weight.shape[-1], groups // merged
    wide = np.zeros((*weight.shape[:-1], together, c), weight.dtype)
    number = np.arange(k) // (k // groups) % together  # an output's group in a merged group
    wide[np.arange(k), ..., number, :] = weight
    return wide.reshape(*weight.shape[:-1], together * c)


def tile_fields(regions: Mapping[str, Region]) -> Fields:
    x, y = regions["x"], regions["y"]
    return {
        "x": "@x",
        "h": x.extent[1],
        "w": x.extent[2],
        "pad_top": x.before[1],
        "pad_left": x.before[2],
        "row_stride": math.prod(x.extent[2:]),
        "weights": "@weights",
        "channels": "@channels",
        "y": "@y",
        "oh": y.extent[1],
        "ow": y.extent[2],
        "k": y.extent[4],
        "y_stride": y.extent[4],
        "scratch": "@scratch",
    }
