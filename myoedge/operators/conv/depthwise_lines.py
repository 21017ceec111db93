# SPDX-License-Identifier: Apache-2.0
"""Tiling of depthwise convolutions with any kernel size, stride, dilation and channel multiplier:
weight layout, scratch and cycles of me_depthwise_lines_s8.h."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry, tile_fields
from myoedge.operators.kernel import AffineExpr, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.library.packing import (
    BLOCK,
    CHANNELS,
    channel_axes,
    packed_channels,
    table_operand,
)
from myoedge.targets.chip import Engine

MOST_LINES, LEAST_ALONG = 8, 32  # maximum lines of a block; minimum results along a cut line
FEW_RESULTS = 32  # results of a block with more than MOST_LINES lines
BLOCKS = 16  # blocks that a tile should have: twice the number of cores
EIGHT = 8  # results of a line computed together; four if a block has few results per line
# Cycles of a core: per block, phase of a sorted line, byte of it (four channels).
BLOCK_CYCLES, PHASE, TURNED = 400.0, 50.0, 8.0
# Cycles per output channel of a block, line of it, call for short lines; then per group of 8 or 4
# results, row of taps, word of taps.
OUTPUT, LINE, CALL = 110.0, 20.0, 110.0
RESULTS = {8: 75.0, 4: 60.0}
TAP_ROW = {8: 6.0, 4: 6.0}
TAP_WORD = {8: 15.5, 4: 12.0}


@dataclass(frozen=True, slots=True)
class ChannelLines:
    """The direction in which a depthwise kernel computes adjacent results: along rows or columns.

    conv    geometry of the layer
    along   spatial axis of a line: 1 for rows, 0 for columns
    """

    conv: Conv2dGeometry
    along: int

    @staticmethod
    def of(conv: Conv2dGeometry, cores: int) -> ChannelLines:
        """Return the direction, rows or columns, that takes fewer estimated cycles."""
        rows, columns = conv.y[1:3]
        sizes = {"t0": rows, "t1": columns, "c": conv.x[-1]}
        ways = [ChannelLines(conv, along) for along in (1, 0)]
        return min(ways, key=lambda way: float(way.cycles(sizes, cores)))

    @property
    def phases(self) -> int:
        """Number of phases into which the kernel sorts a line: phase p has the positions with
        remainder p, so that the taps of adjacent results are adjacent."""
        return math.lcm(self.conv.stride[self.along], self.conv.dilation[self.along])

    @property
    def taps_apart(self) -> int:
        """Distance in kernel taps between two adjacent taps of one phase."""
        return self.phases // self.conv.dilation[self.along]

    @property
    def words(self) -> int:
        """Number of weight words per line of the kernel, with room to shift its taps by up to three
        bytes."""
        return ceil_div(ceil_div(self.conv.kernel[self.along], self.taps_apart) + BLOCK - 1, BLOCK)

    @property
    def rows(self) -> int:
        return self.conv.kernel[1 - self.along] * self.taps_apart

    @property
    def multiplier(self) -> int:
        return self.conv.y[-1] // self.conv.x[-1]

    def packed(self, weight: Array) -> Array:
        """Pack weights int8 [K, k_h, k_w, 1] as int8 [K, bytes], in the layout of
        me_depthwise_lines_s8.h."""
        taps = weight.reshape(len(weight), *self.conv.kernel)
        taps = taps if self.along else taps.swapaxes(1, 2)
        filled = np.pad(taps, ((0, 0), (0, 0), (0, -taps.shape[2] % self.taps_apart)))
        apart = filled.reshape(len(weight), taps.shape[1], -1, self.taps_apart).swapaxes(2, 3)
        rows = apart.reshape(len(weight), self.rows, -1)
        moved = np.zeros((*rows.shape[:2], BLOCK, BLOCK * self.words), np.int8)
        for by in range(BLOCK):
            moved[:, :, by, by : by + rows.shape[2]] = rows
        words = moved.reshape(*moved.shape[:3], self.words, BLOCK).swapaxes(2, 3)
        return np.ascontiguousarray(words.reshape(len(weight), -1))

    def blocks(self, sizes: Sizes) -> tuple[Any, Any]:
        """Return the block of results that a core computes at once: (lines, results per line).

        sizes   loop -> tile extent
        """
        results = (sizes["t0"], sizes["t1"])
        across, along = results[1 - self.along], results[self.along]
        lines = np.minimum(across, np.maximum(MOST_LINES, FEW_RESULTS // along))
        others = ceil_div(sizes["c"], BLOCK) * ceil_div(across, lines)
        parts = np.clip(ceil_div(BLOCKS, others), 1, ceil_div(along, LEAST_ALONG))
        return lines, round_up(ceil_div(along, parts), BLOCK)

    def _bytes_of_line(self, along: Any) -> Any:
        last = (along - 1) * self.conv.stride[self.along] // self.phases
        return self.phases * ((last + 8 + BLOCK * self.words) // BLOCK * BLOCK)

    def _input_lines(self, across: Any) -> Any:
        """Return the number of input lines that the windows of a block cover."""
        axis = 1 - self.along
        reach = (self.conv.kernel[axis] - 1) * self.conv.dilation[axis] + 1
        return (across - 1) * self.conv.stride[axis] + reach

    def scratch(self, sizes: Sizes, cores: int) -> Any:
        """Return the scratch bytes of a tile, as C's me_depthwise_lines_scratch_bytes.

        The words per core are odd, so that the cores use different memory banks.
        """
        lines, along = self.blocks(sizes)
        words = self._input_lines(lines) * self._bytes_of_line(along) + self.rows
        return cores * BLOCK * (words // 2 * 2 + 1)

    def cycles(self, sizes: Sizes, cores: int) -> Any:
        """Return the estimated cycles of a tile, which the core with the most blocks takes."""
        across, along = sizes[f"t{1 - self.along}"], sizes[f"t{self.along}"]
        lines, block = self.blocks(sizes)
        groups = ceil_div(sizes["c"], BLOCK)
        count = groups * ceil_div(across, lines) * ceil_div(along, block)
        results = np.minimum(block, along)
        turned = PHASE * self.phases + TURNED * self._bytes_of_line(results)
        outputs = BLOCK * self.multiplier * self._channel_cycles(lines, results)
        each = BLOCK_CYCLES + self._input_lines(lines) * turned + outputs
        return ceil_div(count, cores) * each

    def _channel_cycles(self, lines: Any, results: Any) -> Any:
        """Return the cycles of one output channel of a block.

        The kernel computes eight results of a line at a time; blocks with fewer results four at a
        time, along or across lines, and the remaining ones singly.
        """
        runs = np.minimum(self.phases // self.conv.stride[self.along], results)
        n = ceil_div(results, runs)
        longer, shorter = np.maximum(n, lines), np.minimum(n, lines)
        fours = np.where(longer < BLOCK, longer, ceil_div(longer, BLOCK))
        calls = np.where(longer < BLOCK, longer, 1 + (longer % BLOCK > 0))
        few = shorter * (calls * CALL + fours * self._results_cycles(BLOCK))
        eights = lines * (ceil_div(n, EIGHT) * self._results_cycles(EIGHT) + LINE)
        return runs * (OUTPUT + np.where(n < EIGHT, few, eights))

    def _results_cycles(self, at_a_time: int) -> float:
        words = TAP_WORD[at_a_time] * self.words
        return RESULTS[at_a_time] + self.rows * (TAP_ROW[at_a_time] + words)


def is_depthwise(step: QuantizedNode) -> bool:
    """Return whether every output channel reads only one input channel."""
    return bool(1 < step.attrs["groups"] == step.shapes[0][-1])


def lines_in_tiles(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the tiled kernel me_depthwise_lines_s8; tiles divide results and channels. If the
    number of input channels is a multiple of four, so is that of a tile."""
    conv = Conv2dGeometry.of(step)
    way, c, cores = ChannelLines.of(conv, engine.cores), conv.x[-1], engine.cores
    m, cut = way.multiplier, c % BLOCK == 0
    channels: AffineExpr = CHANNELS if cut else ()
    outputs: AffineExpr = (("k", BLOCK * m), ("km", 1)) if cut else ()
    weights = way.packed(step.integers.weight)
    each = packed_channels(step)

    def of_tile(sizes: Sizes) -> Sizes:
        return {"t0": sizes["t0"], "t1": sizes["t1"], "c": BLOCK * sizes["k"] if cut else c}

    return TiledKernel(
        function="me_depthwise_lines_s8",
        axes={**conv.axes(), **({**channel_axes(c), "km": BLOCK * m} if cut else {})},
        split=("k", "t0", "t1") if cut else ("t0", "t1"),
        unit_axes=("n",),
        operands=(
            conv.read(channels),
            Operand("weights", "weights", weights.shape, (outputs, ()), array=weights),
            Operand("channels", "channels", (len(each), each[0].nbytes), (outputs, ()), array=each),
            *table_operand(step),
            conv.write(outputs),
        ),
        op={
            **{f"conv.{name}": value for name, value in conv.fields(1, step).items()},
            "multiplier": m,
            "turned": 1 - way.along,
            "phases": way.phases,
        },
        tile=lambda regions: _tile_fields(way, regions),
        scratch=lambda sizes: way.scratch(of_tile(sizes), cores),
        work=lambda sizes: way.cycles(of_tile(sizes), cores),
    )


def _tile_fields(way: ChannelLines, regions: Mapping[str, Region]) -> Fields:
    y, known = regions["y"], tile_fields(regions)
    sizes = {"t0": y.extent[1], "t1": y.extent[2], "c": y.extent[4] // way.multiplier}
    lines, along = way.blocks(sizes)
    return {
        **{f"conv.{name}": known[name] for name in known},
        "conv.padded": "@none",
        "block_lines": int(lines),
        "block_along": int(along),
    }
