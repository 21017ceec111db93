# SPDX-License-Identifier: Apache-2.0
"""Products of any number of terms on NE16: the engine adds up sums of 32 bits part by part, the
cores requantise them. Convolutions, and linear layers as rows of pixels."""

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
from myoedge.operators.kernel import (
    ConstraintViolation,
    Fields,
    Kernel,
    Operand,
    Region,
    Sizes,
    TiledKernel,
)
from myoedge.operators.products.ne16 import (
    CHANNEL,
    SUM,
    Rule,
    has_int8_products,
    requantised_by_engine,
    sums_on_ne16,
)
from myoedge.operators.products.ne16_constants import (
    INPUTS,
    OUTPUTS,
    SIDE,
    WEIGHT_OFFSET,
    bit_planes,
)
from myoedge.operators.products.ne16_cycles import JOB, JOBS_A_TILE, run_tiles, sums_cycles
from myoedge.operators.products.packing import (
    INT8_PRODUCTS,
    packed_channels,
    row_sums,
    table_operand,
)
from myoedge.targets.chip import Engine

PART_GROUPS = 16  # of 16 inputs, at most: 8 KiB of weights for 32 outputs
PADDED_BYTE = 0.14  # cycles of seven cores: a byte of the padded input
SUM_BYTES = 4
MANY = 1024  # products: of fewer, all weights of 32 outputs are a small part of L1


@dataclass(frozen=True, slots=True)
class WindowParts:
    """The parts in which a window's inputs come; axis "part" counts those of all runs.

    run    inputs that lie one after the other: a row of taps, or a tap if taps lie apart
    runs   of a window     groups   of 16 inputs, of a part
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
        """int8 [K, *taps, C] -> uint8 [K, parts, bytes] in the layout of 1x1 jobs; parts are filled
        with inputs that no job reads."""
        rows = weight.reshape(len(weight), self.runs, self.run)
        more = INPUTS * self.groups * self.of_run - self.run
        filled = np.pad(rows, ((0, 0), (0, 0), (0, more)))
        return bit_planes(filled.reshape(len(rows), -1), bits).reshape(len(rows), self.count, -1)


def _columns(results: Any) -> Any:
    """Columns of one row of results as an image of three rows."""
    third = ceil_div(results, SIDE)
    return third + (results - third) % 2


def _units(rows: Any, columns: Any) -> Any:
    """Return the units that jobs are cut into: rows, or the columns of one row as three."""
    return np.where(rows > 1, rows, _columns(columns))


def sums_in_tiles(step: QuantizedNode, conv: Conv2dGeometry, *, keeps_scratch: bool) -> TiledKernel:
    """Axes t0 and t1 of the results, k in blocks of 32 channels, innermost the parts of a window.

    keeps_scratch   tiles of the same results and other channels are consecutive, so that the input
                    is prepared once; else weights that are streamed from L3 come once
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
    """Whether a tile's first job leaves the sums alone that the cores may still requantise."""
    adds = int(behind["first_part"]) > 0
    rows, columns = int(here["conv.oh"]), int(here["conv.ow"])
    several = int(here["units_at_a_time"]) < int(_units(rows, columns))
    return bool(behind["has_scratch"]) and (adds or several)


def _work(
    conv: Conv2dGeometry, parts: WindowParts, bits: int, keeps_scratch: bool, sizes: Sizes
) -> Any:
    """Cycles of a tile: the engine's, and a share of those of the cores before the first part and
    behind the last one as far as no job runs meanwhile."""
    rows, columns, k, count = (sizes[axis] for axis in ("t0", "t1", "k", "part"))
    tiles = np.where(
        rows > 1, ceil_div(rows, SIDE) * ceil_div(columns, SIDE), run_tiles(rows * columns)
    )
    share, runs = count / parts.count, 1 + (count - 1) / parts.of_run
    groups = count * math.ceil(parts.run / INPUTS) / parts.of_run
    engine = sums_cycles(tiles, groups, k, runs, runs - share)
    jobs = np.minimum(JOBS_A_TILE, ceil_div(_units(rows, columns), SIDE))
    requantised = k * (CHANNEL * jobs + SUM * rows * columns)
    alone = np.maximum(requantised / jobs, requantised - engine * (jobs - 1) / jobs)
    prepared = PADDED_BYTE * conv.padded_bytes(sizes) * (k / conv.y[-1] if keeps_scratch else 1.0)
    return engine + share * (alone + prepared + JOB * jobs)


def _needs_sums(step: QuantizedNode, conv: Conv2dGeometry) -> ConstraintViolation | None:
    """Rule of sums that the cores requantise: so many products that their weights come in parts,
    but not those of 3x3 filters, whose jobs are faster; or a requantisation that NE16 has not."""
    if (conv.taps >= MANY and not is_filter(conv)) or requantised_by_engine(step) is not None:
        return None
    return ConstraintViolation(f"{MANY:,} products per result", f"{conv.taps:,}", "more inputs")


def sum_kernels(
    geometry_of: Callable[[QuantizedNode], Conv2dGeometry], *rules: Rule
) -> tuple[Kernel, ...]:
    """Kernels of products whose sums the cores requantise.

    geometry_of   layer -> its products as those of a convolution     rules   that layers keep to
    """

    def in_tiles(step: QuantizedNode, engine: Engine, *, keeps_scratch: bool) -> TiledKernel:
        return sums_in_tiles(step, geometry_of(step), keeps_scratch=keeps_scratch)

    rules = (*rules, has_int8_products, lambda step: _needs_sums(step, geometry_of(step)))
    return tuple(
        sums_on_ne16(partial(in_tiles, keeps_scratch=keeps), INT8_PRODUCTS, *rules)
        for keeps in (True, False)
    )
