# SPDX-License-Identifier: Apache-2.0
"""Convolutions and linear layers with many products per result on NE16.

Each NE16 job adds part of the products to 32-bit sums, which the cores requantise at the end. A
linear layer runs as a 1x1 convolution over rows of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div, round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry, tile_fields
from myoedge.operators.conv.ne16_rules import is_filter
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import Fields, Kernel, Operand, Region, Sizes, TiledKernel
from myoedge.operators.products.ne16 import CHANNEL, SUM
from myoedge.operators.products.ne16_constants import (
    INPUTS,
    OUTPUTS,
    SIDE,
    WEIGHT_OFFSET,
    bit_planes,
)
from myoedge.operators.products.ne16_cycles import JOB, JOBS_A_TILE, run_tiles, sums_cycles
from myoedge.operators.products.ne16_rules import (
    Rule,
    has_int8_products,
    requantised_by_engine,
    sums_on_ne16,
)
from myoedge.operators.products.packing import (
    INT8_PRODUCTS,
    packed_channels,
    row_sums,
    table_operand,
)
from myoedge.targets.chip import Engine

PART_GROUPS = 16  # of 16 inputs, at most: 8 KiB of weights for 32 outputs
PADDED_BYTE = 0.14  # cycles of seven cores: a byte of the padded input
PROGRAM = 2700  # cycles in which the control core programs the job of a run; the engine waits
SUM_BYTES = 4
MANY = 1024  # products: of fewer, all weights of 32 outputs are a small part of L1


@dataclass(frozen=True, slots=True)
class WindowParts:
    """Division of a window's inputs into parts, with one NE16 job per part; loop "part" counts
    them.

    run      number of contiguous inputs: a row of taps, or one tap if taps are dilated
    runs     number of such runs per window
    groups   groups of 16 inputs per part
    """

    run: int
    runs: int
    groups: int

    @staticmethod
    def of(conv: Conv2dGeometry) -> WindowParts:
        across = 1 if conv.dilation[1] == 1 else conv.kernel[1]
        run = conv.kernel[1] // across * conv.x[-1]
        return WindowParts(run, conv.kernel[0] * across, min(ceil_div(run, INPUTS), PART_GROUPS))

    @property
    def of_run(self) -> int:
        return ceil_div(self.run, INPUTS * self.groups)

    @property
    def count(self) -> int:
        return self.runs * self.of_run

    def planes(self, weight: Array, bits: int) -> Array:
        """Pack weights int8 [K, *taps, C] into NE16's bit planes for 1x1 jobs, uint8 [K, parts,
        bytes].

        Zero weights fill the last part of each run of contiguous inputs.
        """
        rows = weight.reshape(len(weight), self.runs, self.run)
        more = INPUTS * self.groups * self.of_run - self.run
        filled = np.pad(rows, ((0, 0), (0, 0), (0, more)))
        return bit_planes(filled.reshape(len(rows), -1), bits).reshape(len(rows), self.count, -1)


def _columns(results: Any) -> Any:
    """Return the number of columns if one row of results is arranged as an image of three rows."""
    third = ceil_div(results, SIDE)
    return third + (results - third) % 2


def _units(rows: Any, columns: Any) -> Any:
    """Return the number of units that are divided among jobs: rows, or the columns of a single row
    that is arranged as three."""
    return np.where(rows > 1, rows, _columns(columns))


def sums_in_tiles(step: QuantizedNode, conv: Conv2dGeometry, *, keeps_scratch: bool) -> TiledKernel:
    """Return the NE16 kernel that sums each window in parts; tiles divide rows t0, columns t1,
    blocks of 32 output channels, and innermost the parts of a window.

    keeps_scratch   whether tiles of the same positions are consecutive, so that the input is
                    prepared once; if not, each weight is loaded from L3 once
    """
    parts, k = WindowParts.of(conv), conv.y[-1]
    planes = parts.planes(step.integers.weight, step.weight_bits)
    channels = packed_channels(step)
    channels[:, 0] -= WEIGHT_OFFSET * row_sums(step.integers.weight)
    outputs, part = (("k", 1),), (("part", 1),)
    op = {f"conv.{name}": value for name, value in conv.fields(conv.x[-1], step).items()}
    return TiledKernel(
        function="me_ne16_conv_sums_s8",
        axes={**conv.axes(), "k": k, "part": parts.count},
        split=("t0", "t1", "k", "part"),
        unit_axes=("n",),
        innermost_axes=("k", "part") if keeps_scratch else ("part",),
        multiples={"k": OUTPUTS, "part": parts.of_run},
        operands=(
            conv.read(()),
            Operand("weights", "weights", planes.shape, (outputs, part, ()), array=planes),
            Operand("channels", "channels", (k, channels[0].nbytes), (outputs, ()), array=channels),
            *table_operand(step),
            replace(conv.write(outputs), position_stride="conv.y_stride"),
        ),
        op={**op, "part_groups": parts.groups, "weight_bits": step.weight_bits},
        tile=partial(_fields, conv, parts, keeps_scratch),
        launches_next_tile=_launches_next_tile,
        runs_jobs=True,
        scratch=lambda sizes: _image_bytes(conv, sizes) + _sums_bytes(sizes),
        work=partial(_work, conv, parts, step.weight_bits, keeps_scratch),
        l1_only=True,
    )


def _image_bytes(conv: Conv2dGeometry, sizes: Sizes) -> Any:
    return round_up(conv.padded_bytes(sizes), 4)


def _sums_bytes(sizes: Sizes) -> Any:
    rows, columns = sizes["t0"], sizes["t1"]
    pixels = np.where(rows > 1, rows * columns, SIDE * _columns(columns))
    return SUM_BYTES * pixels * sizes["k"]


def _fields(
    conv: Conv2dGeometry, parts: WindowParts, keeps_scratch: bool, regions: Mapping[str, Region]
) -> Fields:
    weights, (_, rows, columns, *_) = regions["weights"], regions["y"].extent
    first, count = weights.start[1], weights.extent[1]
    units = int(_units(rows, columns))
    jobs = JOBS_A_TILE if first == 0 or first + count == parts.count else 1
    each = ceil_div(units, jobs * SIDE) * SIDE
    image = _image_bytes(conv, {"t0": rows, "t1": columns})
    known = tile_fields(regions)
    return {
        **{f"conv.{name}": known[name] for name in known if name != "scratch"},
        "conv.padded": "@scratch",
        "sums": f"@scratch+{image}",
        "first_part": first,
        "parts": count,
        "first_units": each,
        "units_at_a_time": each,
        "has_scratch": int(first > 0 or (keeps_scratch and weights.start[0] > 0)),
    }


def _launches_next_tile(here: Fields, behind: Fields) -> bool:
    """Return whether the next tile's first job may start before the cores have requantised all
    sums."""
    adds = int(behind["first_part"]) > 0
    rows, columns = int(here["conv.oh"]), int(here["conv.ow"])
    several = int(here["units_at_a_time"]) < int(_units(rows, columns))
    several &= here["conv.k"] == behind["conv.k"]  # sums of the first jobs lie in the same places
    return bool(behind["has_scratch"]) and (adds or several)


def _work(
    conv: Conv2dGeometry, parts: WindowParts, bits: int, keeps_scratch: bool, sizes: Sizes
) -> Any:
    """Estimate the cycles of a tile: the engine's jobs, and the cores' work before the first and
    after the last part while the engine is idle."""
    rows, columns, k, count = (sizes[axis] for axis in ("t0", "t1", "k", "part"))
    tiles = np.where(
        rows > 1, ceil_div(rows, SIDE) * ceil_div(columns, SIDE), run_tiles(rows * columns)
    )
    share, runs = count / parts.count, 1 + (count - 1) / parts.of_run
    groups = count * math.ceil(parts.run / INPUTS) / parts.of_run
    programmed = PROGRAM * runs * ceil_div(k, OUTPUTS)
    engine = np.maximum(sums_cycles(tiles, groups, k, runs, runs - share), programmed)
    jobs = np.minimum(JOBS_A_TILE, ceil_div(_units(rows, columns), SIDE))
    requantised = k * (CHANNEL * jobs + SUM * rows * columns)
    alone = np.maximum(requantised / jobs, requantised - engine * (jobs - 1) / jobs)
    prepared = PADDED_BYTE * conv.padded_bytes(sizes) * (k / conv.y[-1] if keeps_scratch else 1.0)
    return engine + share * (alone + prepared + JOB * jobs)


def _needs_sums(step: QuantizedNode, conv: Conv2dGeometry) -> ConstraintViolation | None:
    """Check that a layer needs sums that the cores requantise.

    It does if its weights come in parts because of many products, except 3x3 filters, whose own
    jobs are faster; or if NE16 cannot requantise its results.
    """
    if (conv.taps >= MANY and not is_filter(conv)) or requantised_by_engine(step) is not None:
        return None
    return ConstraintViolation(f"{MANY:,} products per result", f"{conv.taps:,}", "more inputs")


def sum_kernels(
    geometry_of: Callable[[QuantizedNode], Conv2dGeometry], *rules: Rule
) -> tuple[Kernel, ...]:
    """Return the NE16 kernels that accumulate int32 sums, which the cores requantise.

    geometry_of   layer -> its products as the geometry of a convolution
    rules         further requirements of the layer
    """

    def in_tiles(step: QuantizedNode, engine: Engine, *, keeps_scratch: bool) -> TiledKernel:
        return sums_in_tiles(step, geometry_of(step), keeps_scratch=keeps_scratch)

    rules = (*rules, has_int8_products, lambda step: _needs_sums(step, geometry_of(step)))
    return tuple(
        sums_on_ne16(partial(in_tiles, keeps_scratch=keeps), INT8_PRODUCTS, *rules)
        for keeps in (True, False)
    )
