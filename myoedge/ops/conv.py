# SPDX-License-Identifier: Apache-2.0
"""Convolution over any number of spatial axes, channels last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myoedge.fixedpoint import INT32_MAX, QParams, Requant, choose_requant, requantize
from myoedge.ir import Array, Attrs, Shape
from myoedge.op import (
    Integers,
    InTime,
    Nest,
    OpDef,
    Site,
    Step,
    exact_matmul,
    limited,
    not_activated,
    register,
)
from myoedge.ops import dense, depthwise, wide_conv
from myoedge.ops.depthwise import packed_depthwise
from myoedge.ops.packing import (
    CHANNELS,
    channel_axes,
    packed_channels,
    packed_weights,
    scale_fields,
    weight_operands,
    with_table,
)
from myoedge.ops.wide import wide_rows
from myoedge.target.gap9_tiles import Prices
from myoedge.tiled import OUT, Dim, Fields, Operand, Region, Sizes, Tiled

FEW_CHANNELS = 64  # up to here images are brought in with their padding, which is faster
TOGETHER_BYTES = 64 << 10  # of scratch in which every core gathers windows for itself, at most
BIAS_MAX = 2**22  # of a bias alone; with 2**23 for K = 512 products the sum stays far below 2**31
WIDE_BIAS_MAX = 2**28  # of one beside products of 16 bits, which have the rest of int32
WIDE_TAPS_MAX = 2**14  # of these products in a sum: fewer bits of each are left, the more there are


def shape(attrs: Attrs, x: Shape, w: Shape, *_: Shape) -> Shape:
    """x [N, *S, C], w [K, *R, C/groups] -> [N, *T, K]."""
    spatial = zip(x[1:-1], w[1:-1], attrs["stride"], attrs["dilation"], attrs["pads"], strict=True)
    return (x[0], *(_extent(*axis) for axis in spatial), w[0])


def _extent(n: int, r: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    return (n + sum(pads) - (r - 1) * dilation - 1) // stride + 1


def nest(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> Nest:
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
    return Nest(axes, operands, frozenset([*r, "c"]))


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
    w: Array, bias: Array, x: QParams, per_channel: bool
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


def quantize(site: Site) -> Integers:
    """Weights symmetric per output channel; the input's zero point is folded into the bias."""
    x, w, bias = site.params(0), *_floats(site)
    return _integers(site, *quantize_weights(w, bias, x.scale, site.per_channel))


def quantize_conv(site: Site) -> Integers:
    """The same, with weights of 16 bits where the input has them, or where the result has and its
    windows do not lie side by side."""
    shapes, attrs, wide = site.shapes, site.attrs, site.params(0).dtype == "int16"
    if not wide and (site.target.dtype == "int8" or side_by_side(attrs, shapes, site.out)):
        return quantize(site)
    w, bias = _floats(site)
    weights = quantize_wide_weights(w, bias, site.params(0), site.per_channel)
    return _integers(site, *weights, x_wide=int(wide))


def _floats(site: Site) -> tuple[Array, Array]:
    """Weights and bias in float64."""
    w = site.constant(1).astype(np.float64)
    bias = site.constants[2] if len(site.constants) > 2 else None
    return w, np.zeros(w.shape[0]) if bias is None else bias.astype(np.float64)


def _integers(site: Site, weight: Array, scale: Array, **scalars: int) -> Integers:
    x, (_, bias) = site.params(0), _floats(site)
    folded = np.rint(bias / (x.scale * scale)) - x.zero_point * _row_sums(weight, signed=True)
    folded = np.clip(folded, -(2.0**31), 2.0**31 - 1)  # where that cuts, the proof fails (E117)
    bound = _bound(weight, folded, -x.low)
    y = site.target
    r = choose_requant(x.scale * scale / y.scale, bound, y.zero_point, y.dtype)
    return Integers(
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


def acc_bound(step: Step) -> int:
    """Proves that no order of summation leaves int32 for these weights and this bias."""
    reach = 32768 if step.integers.scalars.get("x_wide") else 128
    return int(_bound(step["weight"], step["bias"], reach).max())


def requant_of(step: Step) -> Requant:
    """The requantisation of a step that holds one per output channel."""
    return Requant(step["pre"], step["mult"], step["offset"], step["shift"])


def integer(step: Step, x: Array) -> Array:
    """x int8 or int16 [N, *S, C] -> int8 or int16 [N, *T, K]; padding is the zero point."""
    weight, groups = step["weight"], step.attrs["groups"]
    patches = columns(step.attrs, x, weight.shape[1:-1], step["x_zero"])
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).transpose(0, 2, 1)
    acc = exact_matmul(patches, matrix).transpose(1, 0, 2).reshape(step.out) + step["bias"]
    assert np.abs(acc).max(initial=0) <= INT32_MAX
    return requantize(acc, requant_of(step), step.low, step.high, step.kind)


def literals(step: Step) -> dict[str, Any]:
    """Two spatial axes always: a convolution over one is a convolution over rows of height 1."""
    rank = len(step.out) - 2
    lead = (1,) * (2 - rank)
    attrs, weight, x = step.attrs, step["weight"], step.shapes[0]
    h_in, w_in = (*lead, *x[1:-1])
    h_out, w_out = (*lead, *step.out[1:-1])
    sizes = {"n": x[0], "h_in": h_in, "w_in": w_in, "h_out": h_out, "w_out": w_out}
    return {
        **sizes,
        "kernel": (*lead, *weight.shape[1:-1]),
        "stride": (*lead, *attrs["stride"]),
        "dilation": (*lead, *attrs["dilation"]),
        "pads": (*(((0, 0),) * len(lead)), *attrs["pads"]),
        "groups": attrs["groups"],
        "c_in": x[-1],
        "c_group": weight.shape[-1],
        "k_out": weight.shape[0],
        "k_group": weight.shape[0] // attrs["groups"],
        "weight_type": f"{weight.dtype}_t",
    }


@dataclass(frozen=True, slots=True)
class Spatial:
    """A convolution over two axes: what its tiles need of it.

    x, y    [N, H, W, C] of input and results, C of one group
    """

    x: Shape
    y: Shape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    groups: int

    @staticmethod
    def of(step: Step, groups: int = 1) -> Spatial:
        sizes = literals(step)
        x = (sizes["n"], sizes["h_in"], sizes["w_in"], sizes["c_in"] // groups)
        y = (sizes["n"], sizes["h_out"], sizes["w_out"], sizes["k_out"] // groups)
        kernel, stride, dilation, pads = (
            sizes[key] for key in ("kernel", "stride", "dilation", "pads")
        )
        return Spatial(x, y, kernel, stride, dilation, pads, groups)

    @property
    def group(self) -> Dim:
        return (("g", 1),) if self.groups > 1 else ()

    @property
    def pointwise(self) -> bool:
        """Whether every position is computed from the same one alone."""
        none = ((0, 0), (0, 0))
        return self.kernel == self.stride == (1, 1) and self.pads == none

    @property
    def narrow(self) -> bool:
        """Whether rows of the kernel are three taps: with a zero, a word that is read at once."""
        three = self.kernel[1] * self.x[-1] == 3 and self.kernel[0] > 1
        return three and self.dilation[1] == 1

    def reach(self, sizes: Sizes) -> tuple[Any, Any]:
        """Rows and columns of the input, padding included, that a tile's windows reach over."""
        axes = zip(("t0", "t1"), self.kernel, self.stride, self.dilation, strict=True)
        rows, columns = ((sizes[t] - 1) * s + (k - 1) * d + 1 for t, k, s, d in axes)
        return rows, columns

    def padded_bytes(self, sizes: Sizes) -> Any:
        """me_conv_padded: the input of a tile with its padding."""
        rows, columns = self.reach(sizes)
        return -(-rows * columns * self.x[-1] // 4) * 4 + 4

    def work(self, step: Step, narrow: bool) -> dense.Work:
        """What me_conv multiplies; narrow windows lie anywhere, a word for every row."""
        c, k = self.x[-1], self.y[-1]
        if narrow:
            return dense.work(step, 4 * self.kernel[0], k, crossing=True)
        in_one = self.kernel[1] == 1 or self.dilation[1] == 1
        pieces = self.kernel[0] * (1 if in_one else self.kernel[1])
        piece = c * (self.kernel[1] if in_one else 1)
        taps = math.prod(self.kernel) * c
        apart = (taps | self.stride[1] * c | self.stride[0] * self.x[2] * c) % 4
        copied = pieces > 1 or apart > 0
        return dense.work(step, taps, k, copied=copied, pieces=pieces, tail=piece % 4)

    def padding(self, prices: Prices, sizes: Sizes) -> Any:
        """Bringing a tile's input in with its padding."""
        rows, columns = self.reach(sizes)
        each = columns * self.x[-1] / 8 * prices.conv_padded_pair + prices.conv_padded_row
        return -(-rows // dense.WORKERS) * each + prices.conv_padded

    def edges(self, prices: Prices) -> Any:
        """A window that reaches over an edge."""
        words = -(-math.prod(self.kernel) * self.x[-1] // 4)
        each = self.kernel[0] * prices.conv_edge_row + words * prices.conv_edge_word
        return prices.conv_edge + each

    def at_edges(self, sizes: Sizes, share: Any) -> Any:
        """How many of these a core has whose `share` is the first windows, or the last."""
        (top, bottom), (left, right) = (
            tuple(-(-pad // stride) for pad in pads)
            for stride, pads in zip(self.stride, self.pads, strict=True)
        )
        columns = sizes["t1"]
        whole = np.minimum(max(top, bottom) * columns, share)
        in_row = np.minimum(left + right, columns)
        ends = np.minimum(max(left, right), share)
        at_ends = np.where(share < columns, ends, np.minimum(left + right, columns))
        return np.maximum(whole + (share - whole) * in_row // columns, at_ends)

    def flat(self) -> Spatial:
        """All positions in a row, where they are alike."""
        x, y = ((1, 1, math.prod(s[:3]), s[3]) for s in (self.x, self.y))
        return replace(self, x=x, y=y)

    def axes(self) -> dict[str, int]:
        n, t0, t1, _ = self.y
        taps = {"r0": self.kernel[0], "r1": self.kernel[1], "s1": 1 + self.unread}
        return {"n": n, "g": self.groups, "t0": t0, "t1": t1, **taps}

    @property
    def unread(self) -> int:
        """Columns behind the last window; with them rows lie one behind the other."""
        read = (self.y[2] - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1
        return max(self.x[2] + self.pads[1][0] - read, 0)

    def read(self, channels: Dim) -> Operand:
        rows = (("t0", self.stride[0]), ("r0", self.dilation[0]))
        columns = (("t1", self.stride[1]), ("r1", self.dilation[1]), ("s1", 1))
        first = (0, -self.pads[0][0], -self.pads[1][0], 0, 0)
        index = ((("n", 1),), rows, columns, self.group, channels)
        return Operand("x", 0, (*self.x[:3], self.groups, self.x[3]), index, first)

    def write(self, channels: Dim) -> Operand:
        index = ((("n", 1),), (("t0", 1),), (("t1", 1),), self.group, channels)
        return Operand("y", OUT, (*self.y[:3], self.groups, self.y[3]), index)

    def fields(self, c: int, step: Step) -> dict[str, int | str]:
        """me_conv."""
        both = {"k": self.kernel, "stride": self.stride, "dilation": self.dilation}
        sizes = {f"{key}_{axis}": v[d] for key, v in both.items() for d, axis in enumerate("hw")}
        return {"c": c, **sizes, "x_zero": step["x_zero"], **scale_fields(step)}


def in_tiles(step: Step) -> Tiled:
    """Axes t0 and t1 of the results, k in blocks of channels; groups one after another."""
    groups = step.attrs["groups"]
    if step["weight"].dtype == np.int16:
        return _wide_in_tiles(step, Spatial.of(step))
    if step.kind is np.int16:
        taps = math.prod(step["weight"].shape[1:])
        return wide_rows(step, math.prod(step.out[:-1]), taps, step.out[-1])
    if 1 < groups == step.shapes[0][-1] == step.out[-1]:
        return _depthwise_in_tiles(step, Spatial.of(step))
    conv = Spatial.of(step, groups)
    return _dense_in_tiles(step, conv.flat() if conv.pointwise else conv)


def _dense_in_tiles(step: Step, conv: Spatial) -> Tiled:
    c, k = conv.x[-1], conv.y[-1]
    taps = math.prod(conv.kernel) * c
    gather = not conv.pointwise or c % 4 != 0
    arrays = {"weights": _packed(step["weight"], conv), "channels": packed_channels(step)}
    table = with_table(step, arrays)
    reaches_over = conv.pads != ((0, 0), (0, 0))
    padded = conv.narrow or (c <= FEW_CHANNELS and conv.kernel[0] > 1 and reaches_over)
    room = dense.scratch(taps)
    together = room > TOGETHER_BYTES and c % 4 == 0 and not conv.pointwise
    work = conv.work(step, conv.narrow)

    def cycles(sizes: Sizes, prices: Prices) -> Any:
        rows, blocks, columns = sizes["t0"] * sizes["t1"], sizes["k"], sizes["t1"]
        share = -(-rows // dense.WORKERS) if together else dense.gathered(work, rows, blocks)
        edges = conv.at_edges(sizes, share) if gather and not padded else 0
        product = dense.together if together else dense.cycles
        around = conv.padding(prices, sizes) if padded else edges * conv.edges(prices)
        return product(prices, work, rows, blocks, columns, edges) + around

    def scratch(sizes: Sizes) -> Any:
        if padded:
            return room + conv.padded_bytes(sizes)
        if together:
            return sizes["t0"] * sizes["t1"] * dense.stride(taps)
        return room if gather else 0

    def fields(regions: Mapping[str, Region]) -> Fields:
        return {**_tile_fields(regions), "padded": f"@scratch+{room}" if padded else "@none"}

    return Tiled(
        kernel="me_conv",
        axes={**conv.axes(), **channel_axes(k)},
        split=("k", "t0", "t1"),
        single=("n", "g"),
        operands=(
            conv.read(()),
            *weight_operands(arrays, k, conv.group),
            *table,
            conv.write(CHANNELS),
        ),
        op={**conv.fields(c, step), "narrow": int(conv.narrow), "together": int(together)},
        tile=fields,
        arrays=arrays,
        scratch=scratch,
        cycles=cycles,
        first=lambda sizes, prices: (
            dense.first(prices, work, sizes["t0"] * sizes["t1"], sizes["k"])
            + prices.first_conv
            + (prices.first_padded if padded else prices.first_edge if gather else 0.0)
        ),
    )


def _wide_in_tiles(step: Step, conv: Spatial) -> Tiled:
    """Products of 16 bits."""
    c, k, taps = conv.x[-1], conv.y[-1], math.prod(step["weight"].shape[1:])
    arrays = wide_conv.arrays(step)
    table = with_table(step, arrays)
    wide = {"x_wide": step["x_wide"], "y_wide": step.item - 1}
    x, y = replace(conv.read(()), item=1 + wide["x_wide"]), conv.write(CHANNELS)
    return Tiled(
        kernel="me_wide_conv",
        axes={**conv.axes(), **channel_axes(k)},
        split=("k", "t0", "t1"),
        single=("n", "g"),
        operands=(x, *wide_conv.weight_operands(arrays), *table, replace(y, item=step.item)),
        op={**conv.fields(c, step), **wide},
        tile=_wide_tile,
        arrays=arrays,
        scratch=lambda sizes: sizes["t0"] * sizes["t1"] * wide_conv.row_bytes(taps),
        cycles=lambda sizes, prices: wide_conv.cycles(
            prices, sizes["t0"] * sizes["t1"], sizes["k"], conv.kernel[0], conv.kernel[1] * c
        ),
        first=lambda sizes, prices: prices.first_wide_conv,
    )


def _wide_tile(regions: Mapping[str, Region]) -> Fields:
    fields = _tile_fields(regions)
    return {name: fields[name] for name in fields if name not in ("row_stride", "y_stride")}


def _packed(weight: Array, conv: Spatial) -> Array:
    """Group by group."""
    groups = weight.reshape(conv.groups, conv.y[-1], -1)
    if conv.narrow:  # a zero behind the three taps of a row
        rows = weight.reshape(conv.groups, conv.y[-1], conv.kernel[0], 3)
        groups = np.pad(rows, ((0, 0), (0, 0), (0, 0), (0, 1)))
    return np.concatenate([packed_weights(group) for group in groups])


def _depthwise_in_tiles(step: Step, conv: Spatial) -> Tiled:
    """Channels are cut in fours where they are a multiple of it: as their weights are packed."""
    c, (k_h, k_w) = conv.x[-1], conv.kernel
    weights = packed_depthwise(step["weight"].reshape(c, k_h, k_w))
    arrays: dict[str, Array] = {"weights": weights, "channels": packed_channels(step)}
    table = with_table(step, arrays)
    cut = c % 4 == 0
    work = depthwise.Work.of(step, conv.kernel, conv.stride, conv.dilation)
    channels: Dim = CHANNELS if cut else ()
    blocks: Dim = (("k", 1),) if cut else ()
    packed = (
        Operand("weights", "weights", (len(weights), weights[0].size), (blocks, ())),
        Operand("channels", "channels", (c, 16), (channels, ())),
    )
    return Tiled(
        kernel="me_depthwise",
        axes={**conv.axes(), **(channel_axes(c) if cut else {})},
        split=("k", "t0", "t1") if cut else ("t0", "t1"),
        single=("n",),
        operands=(conv.read(channels), *packed, *table, conv.write(channels)),
        op={**conv.fields(1, step), "narrow": 0, "together": 0},
        tile=lambda regions: {**_tile_fields(regions), "padded": "@none"},
        arrays=arrays,
        scratch=lambda sizes: depthwise.scratch(k_h, k_w, 4 * sizes.get("k", c), sizes["t1"]),
        cycles=lambda sizes, prices: depthwise.cycles(
            prices, work, sizes["t0"], sizes["t1"], sizes["k"] if cut else -(-c // 4)
        ),
        first=lambda sizes, prices: prices.first_depthwise,
    )


def _tile_fields(regions: Mapping[str, Region]) -> Fields:
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


def side_by_side(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether windows are pieces of the input, one behind the other: patches of a row, pixels."""
    x, kernel = shapes[0], shapes[1][1:-1]
    rows = all(r == s == 1 for r, s in zip(kernel[:-1], attrs["stride"][:-1], strict=True))
    dense = kernel[-1:] == tuple(attrs["stride"][-1:]) and x[-2] == out[-2] * kernel[-1]
    plain = attrs["groups"] == 1 and not any(map(any, attrs["pads"]))
    return rows and dense and plain and not_activated(attrs, shapes, out)


def in_one_group(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    """Whether there is a kernel for products of 16 bits."""
    return attrs["groups"] == 1 and math.prod(shapes[1][1:]) <= WIDE_TAPS_MAX


def writes_wide(attrs: Attrs, shapes: Sequence[Shape], out: Shape) -> bool:
    return in_one_group(attrs, shapes, out) and limited(attrs, shapes, out)


def attributes(rank: int) -> dict[str, object]:
    """Attributes of a convolution with stride and dilation 1, no padding, one group."""
    ones = (1,) * rank
    return {"stride": ones, "dilation": ones, "pads": ((0, 0),) * rank, "groups": 1}


def in_time(attrs: Attrs, shapes: Sequence[Shape], index: int, axis: int) -> InTime | None:
    """Windows along a spatial axis; images one by one."""
    x, w, d = shapes[0], shapes[1], axis - 1
    if index or axis == len(x) - 1:
        return None
    if axis == 0:
        return InTime(0, lambda made: attrs)
    taps, stride = (w[axis] - 1) * attrs["dilation"][d] + 1, attrs["stride"][d]
    before, _ = pads = attrs["pads"][d]
    made = _extent(x[axis], w[axis], stride, attrs["dilation"][d], pads)
    without = {**attrs, "pads": (*attrs["pads"][:d], (0, 0), *attrs["pads"][d + 1 :])}
    return InTime(
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
        in_time=in_time,
        reads_wide=in_one_group,
        writes_wide=writes_wide,
        wide_weights=eight_bits,
    )
)
