# SPDX-License-Identifier: Apache-2.0
"""Tiling of dense and depthwise convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.numerics.element_type import INT16
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.depthwise import depthwise_in_tiles, wide_depthwise_in_tiles
from myoedge.operators.conv.geometry import Conv2dGeometry, joined_weight, tile_fields
from myoedge.operators.conv.wide import wide_in_tiles
from myoedge.operators.kernel import Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.library import rows as dense
from myoedge.operators.library.packing import (
    BLOCK,
    CHANNELS,
    channel_axes,
    packed_channels,
    packed_weights,
    table_operand,
    weight_operands,
)
from myoedge.operators.library.rows import (
    is_int8,
    is_large_product,
    row_sizes,
    rows_in_place,
    rows_in_tiles,
    wide_rows,
)
from myoedge.operators.result_order import ALL_READ_FIRST, ResultOrder
from myoedge.targets.chip import Engine

FEW_CHANNELS = 64  # up to this many channels, copying the image with its padding is faster
PADDED_BYTE = 0.06  # work per byte of the padded copy, in words of 4 x 4 sums
# Start of a tile, in words: of windows in words, or across words but for a single one, which runs
# on one core; of rows of a window in a word each; what an input copied with its padding and windows
# over an edge add to it, and what a single incomplete block of channels takes less.
IN_WORDS, ACROSS_WORDS, NARROW, PADDED, OVER_EDGES, FEW = 54.0, 91.0, 79.0, 27.0, 23.0, 15.0
CROSSING = 1.35  # factor on the work if windows are read in place by unaligned loads
TOGETHER = (2, 4, 8)  # results of a row that may be computed as one
FEW_INPUTS, FEW_RESULTS = 2, 32  # maximum channels of the input, and of the joined results
MANY_WINDOWS = 128  # with fewer windows, the larger weights cost as much as the saved windows
PLACED = 0.3  # work per window position, in words
TOGETHER_BYTES = 64 << 10  # maximum scratch for separate copies of the windows by all cores


def in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel of an int8 convolution; tiles divide rows t0, columns t1 and blocks
    of output channels k. Groups are computed one after another."""
    groups = step.attrs["groups"]
    depthwise = 1 < groups == step.shapes[0][-1] == step.out[-1]
    if step.weight_type == INT16:
        if depthwise:
            return wide_depthwise_in_tiles(step, engine, Conv2dGeometry.of(step))
        return wide_in_tiles(step, engine, Conv2dGeometry.of(step, groups))
    if step.element_type == INT16:
        return wide_rows(step, engine)
    if depthwise:
        return depthwise_in_tiles(step, engine, Conv2dGeometry.of(step))
    conv = Conv2dGeometry.of(step, groups)
    if conv.pointwise and groups == 1:
        return rows_in_tiles(step, engine)
    return _tile_dense(step, engine, conv.flat() if conv.pointwise else conv)


def is_large_pointwise(step: QuantizedNode) -> bool:
    """Return whether the layer is a 1x1 convolution large enough for nine cores."""
    plain = is_int8(step) and step.attrs["groups"] == 1 and Conv2dGeometry.of(step).pointwise
    return plain and is_large_product(*row_sizes(step))


@dataclass(frozen=True, slots=True)
class _DenseConv:
    """Ways in which me_conv_s8 reads windows, with their costs.

    in_place  windows are read across words
    gather    each core copies its windows; `room` bytes of scratch for all
    padded    the input is first copied with its padding
    together  all cores copy all windows once
    table     work, in words, of looking up a block's results
    """

    conv: Conv2dGeometry
    windows: dense.Windows
    in_place: bool
    gather: bool
    padded: bool
    together: bool
    room: int
    table: int
    cores: int

    @staticmethod
    def of(
        step: QuantizedNode, conv: Conv2dGeometry, cores: int, *, once: bool = False
    ) -> _DenseConv:
        """Choose how windows are read.

        once   copy all windows once, whatever is faster
        """
        in_place, copies_words = conv.crossing and not once, conv.x[-1] % 4 == 0
        room = 0 if in_place else dense.scratch(conv.taps, cores)
        return _DenseConv(
            conv,
            conv.windows(once=once),
            in_place=in_place,
            gather=not (conv.pointwise and copies_words),
            padded=not once and _is_padded_first(conv, cores),
            together=once or (room > TOGETHER_BYTES and copies_words and not conv.pointwise),
            room=room,
            table=dense.TABLE if step.table is not None else 0,
            cores=cores,
        )

    @property
    def ways(self) -> dict[str, bool]:
        """Flags of me_conv_s8_params that select how the kernel reads windows."""
        return {"narrow": self.conv.narrow, "in_place": self.in_place, "together": self.together}

    @property
    def has_edges(self) -> bool:
        """Whether windows cross the edges of the operand."""
        return self.conv.reaches_over and not self.padded

    def work(self, sizes: Sizes) -> Any:
        """Work in words of taps of 4 x 4 sums, with equivalents for copied windows and padding."""
        rows, columns, words = sizes["t0"] * sizes["t1"], sizes["t1"], self.windows.words
        blocks = dense.shared_windows_work if self.together else dense.block_work
        found = blocks(rows, sizes["k"], words + self.table, self.cores) * self.block_share
        edges = self.conv.edge_share if self.has_edges else 0.0
        if self.together:
            copies = dense.shared_gather_work(rows, columns, self.windows, edges, self.cores)
        else:
            copies = dense.gather_work(rows, columns, sizes["k"], self.windows, self.cores)
            parts = np.where(sizes["t0"] == 1, 2, self.cores)  # one core has half a row's edges
            over_edges = np.minimum(edges * rows / parts, ceil_div(rows, self.cores))
            copies = copies + dense.edges_work(over_edges, words)
        found = found * (CROSSING if self.windows.crossing else 1.0) + copies
        if self.padded:
            found = found + self.conv.padded_bytes(sizes) / self.cores * PADDED_BYTE
        return found + self.start

    @property
    def block_share(self) -> float:
        """Work of a block as a fraction of one of four channels: less if there are fewer."""
        k = self.conv.y[-1]
        return (5 * k + 4) / 24 if k < BLOCK else 1.0

    @property
    def start(self) -> float:
        """Work before the first window, but for code that copies windows of whole blocks."""
        more = PADDED * self.padded + OVER_EDGES * self.has_edges
        more -= FEW * (self.conv.y[-1] < BLOCK)
        if self.windows.copied or self.together or math.prod(self.conv.y[1:-1]) == 1:
            return more
        if self.conv.narrow:
            return NARROW + more
        return (ACROSS_WORDS if self.windows.crossing else IN_WORDS) + more

    def scratch(self, sizes: Sizes) -> Any:
        if self.padded:
            return self.room + self.conv.padded_bytes(sizes)
        if self.together:
            return sizes["t0"] * sizes["t1"] * dense.stride(self.conv.taps)
        return self.room if self.gather else 0

    @property
    def order(self) -> ResultOrder | None:
        """Order of the results on one core; None if cores share copies of the windows."""
        conv = self.conv
        if self.together:
            return None
        if self.padded:
            return ALL_READ_FIRST
        several = self.windows.runs > 1 or conv.taps % 4 > 0
        in_place = self.in_place or not (several or conv.unaligned or self.has_edges)
        copied = several and not in_place
        ways = {"copied": copied, "in_place": in_place}
        return dense.block_order(("t0", "t1"), conv.taps, conv.y[-1], **ways)

    def fields(self, regions: Mapping[str, Region]) -> Fields:
        padded = f"@scratch+{self.room}" if self.padded else "@none"
        return {**tile_fields(regions), "padded": padded}


def _is_padded_first(conv: Conv2dGeometry, cores: int) -> bool:
    """Return whether the input is copied with its padding before windows are read; one core only
    does so if it must, because it gathers fewer windows at once than the copy takes."""
    few = conv.x[-1] <= FEW_CHANNELS and conv.kernel[0] > 1 and cores > 1
    odd = conv.crossing and conv.taps % 4 > 0
    return conv.narrow or odd or (conv.reaches_over and (few or conv.crossing))


def gathered_once(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the convolution kernel whose cores share one copy of all windows, which takes less
    scratch than one copy per core."""
    conv = Conv2dGeometry.of(step, step.attrs["groups"])
    if conv.pointwise and conv.groups == 1:
        return rows_in_place(step, engine)
    return _tile_dense(step, engine, conv.flat() if conv.pointwise else conv, once=True)


def grouped_in_place(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the kernel me_group_conv_s8, which computes all groups at once without scratch and can
    read its input from L2."""
    conv = Conv2dGeometry.of(step)
    k, c, (k_h, k_w) = conv.y[-1], step.integers.weight.shape[-1], conv.kernel
    weights = step.integers.weight.reshape(k, k_h, k_w, c)
    if c < BLOCK:
        weights = np.ascontiguousarray(weights.transpose(0, 3, 1, 2))
    arrays = {"weights": weights.reshape(k, -1), "channels": packed_channels(step)}
    constants = (Operand.whole(name, array) for name, array in arrays.items())
    x = replace(conv.read(()), row_stride="row_stride")
    # loads of taps and weights per result, with equivalents for its overhead
    row_loads = k_w * (1.25 * c if c < BLOCK else 2 * (c // 4 + c % 4) + 1) + 10
    return TiledKernel(
        function="me_group_conv_s8",
        axes=conv.axes(),
        split=("t0", "t1"),
        unit_axes=("n",),
        operands=(x, *constants, *table_operand(step), conv.write(())),
        op={**conv.fields(c, step), "groups": step.attrs["groups"]},
        tile=lambda regions: {**tile_fields(regions), "padded": "@none"},
        work=lambda sizes: (
            ceil_div(sizes["t0"] * sizes["t1"] * k, engine.cores) * (k_h * row_loads + 20)
        ),
    )


def is_grouped(step: QuantizedNode) -> bool:
    return bool(step.attrs["groups"] > 1)


def has_wide_windows(step: QuantizedNode) -> bool:
    """Return whether a row of the kernel does not fit one 32-bit word."""
    return not Conv2dGeometry.of(step, step.attrs["groups"]).narrow


def _tile_dense(
    step: QuantizedNode, engine: Engine, conv: Conv2dGeometry, *, once: bool = False
) -> TiledKernel:
    n = 1 if once else _results_per_gemm_row(step, conv, engine.cores)
    weight, channels = joined_weight(step.integers.weight, conv, n), packed_channels(step)
    conv = conv.joined(n)
    c, k = conv.x[-1], conv.y[-1]
    table, how = table_operand(step), _DenseConv.of(step, conv, engine.cores, once=once)
    packed = _pack_groups(weight, conv)
    weights = weight_operands(packed, np.concatenate([channels] * n), k, conv.group)
    ways = {name: int(value) for name, value in how.ways.items()}
    x = replace(conv.read(()), row_stride="row_stride")
    return TiledKernel(
        function="me_conv_s8",
        kernel_waits=True,
        axes={**conv.axes(), **channel_axes(k)},
        split=("k", "t0", "t1"),
        unit_axes=("n", "g"),
        operands=(x, *weights, *table, conv.write(CHANNELS)),
        op={**conv.fields(c, step), **ways},
        tile=how.fields,
        scratch=how.scratch,
        work=how.work,
        order=how.order,
    )


def _results_per_gemm_row(step: QuantizedNode, conv: Conv2dGeometry, cores: int) -> int:
    """Number of neighbouring results computed as one with that many times the channels: few
    channels do not fill a block, and windows are read once for all."""
    if conv.groups > 1 or conv.dilation[1] > 1 or conv.x[-1] > FEW_INPUTS:
        return 1
    if math.prod(conv.y[1:3]) < MANY_WINDOWS:
        return 1

    def work(n: int) -> float:
        joined = conv.joined(n)
        sizes = {"t0": joined.y[1], "t1": joined.y[2], "k": ceil_div(joined.y[-1], BLOCK)}
        windows = math.prod(joined.y[1:3]) / cores
        return float(_DenseConv.of(step, joined, cores).work(sizes)) + PLACED * windows

    possible = [n for n in TOGETHER if conv.y[2] % n == 0 and n * conv.y[-1] <= FEW_RESULTS]
    return min([1, *possible], key=work)


def _pack_groups(weight: Array, conv: Conv2dGeometry) -> Array:
    """Pack weights group by group."""
    groups = weight.reshape(conv.groups, conv.y[-1], -1)
    if conv.narrow:  # a zero after the three taps of a row
        rows = weight.reshape(conv.groups, conv.y[-1], conv.kernel[0], -1)
        groups = np.pad(rows, ((0, 0), (0, 0), (0, 0), (0, 4 - rows.shape[-1])))
    return np.concatenate([packed_weights(group) for group in groups])
