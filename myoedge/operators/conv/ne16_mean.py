# SPDX-License-Identifier: Apache-2.0
"""Convolution on NE16 fused with a mean over each row: the cores compute means while NE16 computes
the next rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16 import jobs_in_tiles
from myoedge.operators.conv.ne16_schedule import JobSchedule
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import Fields, Operand, Region, Sizes, TiledKernel, of_member
from myoedge.operators.pool.reduce import axes_over
from myoedge.operators.products.ne16_constants import scale_bytes
from myoedge.operators.products.ne16_cycles import JOBS_A_TILE
from myoedge.operators.products.packing import scale_fields, table_operand
from myoedge.targets.chip import Engine

MEAN = "mean_"  # prefix for names of the mean's constants
# Cycles of a core for four results: per element of each, and around them.
TAP_CYCLES, WORD_CYCLES, CORES = 6.5, 60.0, 8


def conv_with_mean_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel of a convolution fused with the mean after it; tiles are whole rows,
    which stay in scratch until their mean is computed."""
    constants, op = _mean(step)
    way = JobSchedule.by_rows(
        Conv2dGeometry.of(step), scale_bytes(step), step.attrs["groups"], step.weight_bits
    )
    conv, (_, _, columns, k) = jobs_in_tiles(step, way), way.conv.y
    image, row, _, *channels = conv.out.dims
    shape, dims = (*way.conv.y[:2], 1, 1, k), (image, row, (), *channels)
    y = replace(conv.out, shape=shape, dims=dims, position_stride="")
    reduced = int(op["reduced"])
    each = (reduced * TAP_CYCLES + WORD_CYCLES) / (4 * CORES)

    def work(sizes: Sizes) -> Any:
        return way.cycles(sizes) + each * sizes["t0"] * sizes.get("k", k) / JOBS_A_TILE

    return replace(
        conv,
        function="me_ne16_conv_mean_s8",
        split=tuple(axis for axis in conv.split if axis != "t1"),
        operands=(*(o for o in conv.operands if not o.written), *constants, y),
        op=of_member("conv", conv.op) | of_member("mean", op),
        tile=lambda regions: _tile(regions, way),
        launches_next_tile=_starts_next,
        scratch=lambda sizes: way.scratch(sizes) + sizes["t0"] * columns * sizes.get("k", k),
        work=work,
    )


def _mean(step: QuantizedNode) -> tuple[list[Operand], Fields]:
    """Return the constants and the fields of the mean after a convolution."""
    mean = step.behind
    assert mean is not None, "a layer without a mean after it"
    reduced = math.prod(mean.shapes[0][axis] for axis in axes_over(mean.attrs))
    c = mean.integers
    each = Operand.whole("each", np.array([0, c.mult, c.offset, c.shift], np.int32))
    fields = {"reduced": reduced, "x_zero": c.x_zero, "each": "@each", **scale_fields(mean)}
    constants = [
        replace(operand, name=MEAN + operand.name, source=MEAN + operand.name)
        for operand in (each, *table_operand(mean))
    ]
    return constants, {
        name: value.replace("@", f"@{MEAN}") if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _tile(regions: Mapping[str, Region], way: JobSchedule) -> Fields:
    y, columns = regions["y"], way.conv.y[2]
    _, rows, _, _, k = y.extent
    results = replace(y, extent=(1, rows, columns, 1, k))
    image = way.scratch({"t0": rows, "t1": columns, "k": k})
    conv = {**way.fields({**regions, "y": results}), "conv.y": f"@scratch+{image}"}
    return {**of_member("conv", conv), "y": "@y"}


def _starts_next(here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the cores have finished the previous tile:
    its results overwrite the previous tile's first ones."""
    several = int(here["conv.units_at_a_time"]) < int(here["conv.conv.oh"])
    return several and bool(behind["conv.has_scratch"])


def is_over_rows(step: QuantizedNode) -> ConstraintViolation | None:
    """Require that the mean after the convolution covers exactly one row of results at a time.

    -> None, or the violated requirement
    """
    assert step.behind is not None, "a layer without a mean after it"
    x, axes = step.behind.shapes[0], step.behind.attrs["axes"]
    before, behind = x[: min(axes)], x[max(axes) + 1 :]
    n, rows, columns, k = Conv2dGeometry.of(step).y
    has = math.prod(before), math.prod(x) // math.prod((*before, *behind)), math.prod(behind)
    if has == (n * rows, columns, k):
        return None
    return ConstraintViolation(
        "a mean over rows of results", "a mean over other axes", "a mean over columns"
    )
