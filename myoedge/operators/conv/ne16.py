# SPDX-License-Identifier: Apache-2.0
"""Convolutions on NE16: 3x3 filters, kernels of one row as overlapping pixels, copied windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from myoedge.numerics.arrays import ceil_div
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Spatial, tile_fields
from myoedge.operators.kernel import BrokenRule, Fields, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.ne16 import (
    JOB_PIXELS,
    JOBS_A_TILE,
    OUTPUTS,
    SIDE,
    bit_planes,
    filter_cycles,
    filter_planes,
    image_cycles,
    parameters,
    pointwise_cycles,
    rows_on_ne16,
    scale_bytes,
)
from myoedge.operators.products.packing import table_operand
from myoedge.targets.chip import Engine

FILTER, PIXELS, WINDOWS = range(3)  # ways of me_ne16_conv_s8.h
PADDED_BYTE = 0.3  # cycles of eight cores: a byte of the padded input
WINDOW, WINDOW_ROW, WINDOW_BYTE = 20.0, 12.0, 0.25  # of a window, each of its rows, a byte of it


@dataclass(frozen=True, slots=True)
class _Way:
    """Jobs of a convolution: what of its input lies in scratch, and their cycles."""

    conv: Spatial
    number: int
    scale: int

    @staticmethod
    def of(conv: Spatial, scale: int) -> _Way:
        if conv.kernel == (3, 3) and conv.stride == conv.dilation == (1, 1):
            return _Way(conv, FILTER, scale)
        one_row = conv.kernel[0] == 1 and conv.dilation[1] == 1
        return _Way(conv, PIXELS if one_row else WINDOWS, scale)

    def cycles(self, sizes: Sizes) -> Any:
        """Cycles of a tile: the cores write scratch, then the engine computes."""
        rows, columns, k = sizes["t0"], sizes["t1"], sizes["k"]
        if self.number == FILTER:
            jobs = filter_cycles(rows, columns, self.conv.x[-1], k, self.scale)
        elif self.number == PIXELS and self.conv.y[1] > 1:
            tiles = ceil_div(rows, SIDE) * ceil_div(columns, SIDE)
            jobs = image_cycles(tiles, self.conv.taps, k, self.scale)
        else:
            jobs = pointwise_cycles(rows * columns, self.conv.taps, k, self.scale)
        return jobs + self._prepared(sizes)

    def _prepared(self, sizes: Sizes) -> Any:
        if self.number != WINDOWS:
            return PADDED_BYTE * self.conv.padded_bytes(sizes)
        window = WINDOW + WINDOW_ROW * self.conv.kernel[0] + WINDOW_BYTE * self.conv.taps
        return sizes["t0"] * sizes["t1"] * window

    def scratch(self, sizes: Sizes) -> Any:
        if self.number == WINDOWS:
            return sizes["t0"] * sizes["t1"] * self.conv.taps + 4
        return self.conv.padded_bytes(sizes)

    def fields(self, regions: Mapping[str, Region]) -> Fields:
        y = regions["y"]
        _, rows, columns, _, _ = y.extent
        units, least = rows * columns, JOB_PIXELS
        if self.number == FILTER or (self.number == PIXELS and rows > 1):
            units, least = rows, SIDE
        known = tile_fields(regions)
        conv = {
            f"conv.{name}": known[name] for name in known if name not in ("channels", "scratch")
        }
        return {
            **conv,
            "conv.padded": "@scratch",
            "first_k": y.start[4],
            "units_at_a_time": ceil_div(units, JOBS_A_TILE * least) * least,
            "has_scratch": int(y.start[4] > 0),
        }


def conv_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Axes t0 and t1 of the results, k in blocks of 32 channels."""
    conv, table, scale = Spatial.of(step), table_operand(step), scale_bytes(step)
    if conv.pointwise:
        return rows_on_ne16(step, engine)
    way, (k, *_) = _Way.of(conv, scale), step["weight"].shape
    is_filter = way.number == FILTER
    planes = (
        filter_planes(step["weight"]) if is_filter else bit_planes(step["weight"].reshape(k, -1))
    )
    op = {f"conv.{name}": value for name, value in conv.fields(conv.x[-1], step).items()}
    return TiledKernel(
        function="me_ne16_conv_s8",
        axes={**conv.axes(), "k": k},
        split=("k", "t0", "t1"),
        unit_axes=("n",),
        innermost_axes=("k",),
        multiples={"k": OUTPUTS},
        operands=(
            conv.read(()),
            Operand("weights", "weights", planes.shape, ((("k", 1),), ()), array=planes),
            Operand.whole("parameters", parameters(step)),
            *table,
            conv.write((("k", 1),)),
        ),
        op={**op, "way": way.number, "k": k, "scale_bytes": scale, "parameters": "@parameters"},
        tile=way.fields,
        scratch=way.scratch,
        work=way.cycles,
        l1_only=True,
    )


def one_group(step: QuantizedNode) -> BrokenRule | None:
    """Rule of NE16 about groups of channels."""
    groups = step.attrs["groups"]
    change = "a convolution with groups=1"
    return BrokenRule("one group of channels", str(groups), change) if groups > 1 else None
