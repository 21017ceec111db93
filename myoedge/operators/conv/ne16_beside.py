# SPDX-License-Identifier: Apache-2.0
"""Convolutions that NE16 and the cores compute at once: depthwise ones, of which each has a part of
every tile's rows, or of its results where these are one row; and ones fused with a mean over each
row, where the cores compute means while NE16 computes the next rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from myoedge.numerics.arrays import round_up
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.depthwise import depthwise_in_tiles
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16 import jobs_in_tiles
from myoedge.operators.conv.ne16_rules import Phases, is_filter
from myoedge.operators.conv.ne16_schedule import DEPTHWISE, FILTER, PIXELS, JobSchedule
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import FREE, Fields, Operand, Region, Sizes, TiledKernel, of_member
from myoedge.operators.library.ne16_jobs import JOB, JOBS_A_TILE, scale_bytes
from myoedge.operators.library.packing import scale_fields, table_operand
from myoedge.operators.pool.reduce import axes_over
from myoedge.targets.chip import Engine

REST = "rest_"  # prefix for names of the cores' constants
SHARES = 16  # parts into which a tile is divided
FIRST_JOB = 0.25  # fraction of the engine's part
ENGINE_SLOWED, CORES_SLOWED = 1.4, 1.3  # factors on cycles due to bank conflicts in L1


@dataclass(frozen=True, slots=True)
class SharedTiles:
    """Division of a depthwise layer's tiles between NE16 and the cores.

    jobs    schedule of NE16's jobs
    cores   kernel of the cores for the rest
    share   part of a tile's units that NE16 computes, of SHARES
    """

    jobs: JobSchedule
    cores: TiledKernel
    share: int = SHARES

    def fastest(self) -> SharedTiles:
        """Return the division with the fewest estimated cycles if a single tile holds the layer."""
        ways = [replace(self, share=share) for share in range(1, SHARES + 1)]
        return min(ways, key=lambda way: float(way.cycles(self.cores.axes)))

    @property
    def axis(self) -> str:
        """Axis of a tile that is divided between NE16 and the cores."""
        return "t0" if self.jobs.in_rows else "t1"

    def units(self, sizes: Sizes) -> Any:
        """Return the rows or columns of a tile that NE16 computes, in whole smallest jobs."""
        least, whole = self.jobs.least_units, sizes[self.axis]
        return np.minimum(np.maximum(whole * self.share // (SHARES * least), 1) * least, whole)

    def of_engine(self, sizes: Sizes) -> Sizes:
        return {**sizes, self.axis: self.units(sizes)}

    def cycles(self, sizes: Sizes) -> Any:
        """Return the estimated cycles of a tile: the cores prepare the first job, and while NE16
        computes they prepare the second and compute the rest."""
        of_engine, left = self.of_engine(sizes), sizes[self.axis] - self.units(sizes)
        rest = self.cores.cycles({**sizes, self.axis: np.maximum(left, 1)})
        prepared, computed = self.jobs.prepared(of_engine), self.jobs.computed(of_engine)
        slowed, others = np.where(left > 0, ENGINE_SLOWED, 1.0), JOB + (1 - FIRST_JOB) * prepared
        work = others + np.where(left > 0, CORES_SLOWED * rest, 0)
        return FIRST_JOB * prepared + np.maximum(slowed * computed, work)

    def scratch(self, sizes: Sizes) -> Any:
        """Return the scratch bytes of NE16's jobs, which precede the cores' scratch."""
        return round_up(self.jobs.scratch(self.of_engine(sizes)), 4)


def depthwise_on_both(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the kernel of a depthwise convolution that NE16 and the cores share; tiles divide rows
    t0 and columns t1."""
    conv = Conv2dGeometry.of(step)
    scale, bits, phases = scale_bytes(step), step.weight_bits, Phases.of(conv)
    jobs = JobSchedule(conv, DEPTHWISE, scale, bits=bits, phases=phases)
    own, cores = jobs_in_tiles(step, jobs, engine), depthwise_in_tiles(step, engine, conv)
    cores = replace(cores, cost=replace(engine.kernels.get(cores.function, FREE), tile_cycles=0))
    shared = SharedTiles(jobs, cores).fastest()

    def whole(sizes: Sizes) -> Sizes:
        """Sizes of a tile, which has all channels."""
        return {**cores.axes, **sizes}

    def tile(regions: Mapping[str, Region]) -> Fields:
        _, rows, columns, _, _ = regions["y"].extent
        sizes = whole({"t0": rows, "t1": columns})
        of_engine = shared.of_engine(sizes)
        first, others = jobs.job_units(of_engine, 2)
        return {
            **own.tile(regions),
            "first_units": first,
            "units_at_a_time": others,
            "units": int(of_engine[shared.axis]),
            "rest.weights": f"@{REST}weights",
            "rest.channels": f"@{REST}channels",
            "rest.scratch": f"@scratch+{shared.scratch(sizes)}",
        }

    constants = (
        replace(o, name=REST + o.name, source=REST + o.name, dims=((),) * len(o.dims))
        for o in cores.operands
        if o.name in ("weights", "channels")
    )
    return replace(
        own,
        callbacks=("me_ne16_rest",),
        cost=engine.kernels.get("me_ne16_jobs, rest", FREE),
        operands=(*own.operands[:-1], *constants, replace(own.out, position_stride="")),
        op={**own.op, **of_member("conv", conv.fields(conv.x[-1], step)), "beside": "me_ne16_rest"},
        tile=tile,
        launches_next_tile=lambda here, behind: False,
        scratch=lambda sizes: shared.scratch(whole(sizes)) + cores.scratch(whole(sizes)),
        work=lambda sizes: shared.cycles(whole(sizes)),
    )


def is_depthwise(step: QuantizedNode) -> ConstraintViolation | None:
    """Require a depthwise convolution: one filter per channel.

    -> None, or the violated requirement
    """
    groups = step.attrs["groups"]
    if groups > 1:
        return None
    return ConstraintViolation("a group per input", "one group", "a depthwise convolution")


MEAN = "mean_"  # prefix for names of the mean's constants
# Cycles of a core for four results: per element of each, and around them.
TAP_CYCLES, WORD_CYCLES, CORES = 6.5, 60.0, 8


def conv_with_mean_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel of a convolution fused with the mean after it; tiles are whole rows,
    which stay in scratch until their mean is computed."""
    constants, op = _mean_constants(step)
    own, groups = Conv2dGeometry.of(step), step.attrs["groups"]
    number = DEPTHWISE if groups > 1 else FILTER if is_filter(own) else PIXELS
    # a few rows of results per job
    way = JobSchedule(own, number, scale_bytes(step), jobs=JOBS_A_TILE, bits=step.weight_bits)
    conv, (_, _, columns, k) = jobs_in_tiles(step, way, engine), way.conv.y
    image, row, _, *channels = conv.out.dims
    shape, dims = (*way.conv.y[:2], 1, 1, k), (image, row, (), *channels)
    y = replace(conv.out, shape=shape, dims=dims, position_stride="")
    reduced = int(op["reduced"])
    each = (reduced * TAP_CYCLES + WORD_CYCLES) / (4 * CORES)

    def work(sizes: Sizes) -> Any:
        return way.cycles(sizes) + each * sizes["t0"] * sizes.get("k", k) / JOBS_A_TILE

    return replace(
        conv,
        callbacks=("me_ne16_mean",),
        cost=engine.kernels.get("me_ne16_jobs, mean", FREE),
        split=tuple(axis for axis in conv.split if axis != "t1"),
        operands=(*(o for o in conv.operands if not o.written), *constants, y),
        op={**conv.op, "finish": "me_ne16_mean", **of_member("mean", op)},
        tile=lambda regions: _tile_fields(regions, way),
        launches_next_tile=_can_launch_next_tile,
        scratch=lambda sizes: way.scratch(sizes) + sizes["t0"] * columns * sizes.get("k", k),
        work=work,
    )


def _mean_constants(step: QuantizedNode) -> tuple[list[Operand], Fields]:
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


def _tile_fields(regions: Mapping[str, Region], way: JobSchedule) -> Fields:
    y, columns = regions["y"], way.conv.y[2]
    _, rows, _, _, k = y.extent
    results = replace(y, extent=(1, rows, columns, 1, k))
    image = way.scratch({"t0": rows, "t1": columns, "k": k})
    return {**way.fields({**regions, "y": results}), "conv.y": f"@scratch+{image}", "y": "@y"}


def _can_launch_next_tile(here: Fields, behind: Fields) -> bool:
    """Return whether a tile's first job may start before the cores have finished the previous tile:
    its results overwrite the previous tile's first ones."""
    several = int(here["units_at_a_time"]) < int(here["conv.oh"])
    return several and bool(behind["has_scratch"])


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
