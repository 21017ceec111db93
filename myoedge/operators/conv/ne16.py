# SPDX-License-Identifier: Apache-2.0
"""Convolutions on NE16: 3x3 filters (also depthwise and of one row), kernels of one row as
overlapping pixels, and other kernels with copied windows; and those whose int32 sums the cores
requantise: with many products per result, or with operands, weights or results of 16 bits.

Each NE16 job of sums adds part of the products. Weights of more than 8 bits are two outputs of the
engine, their halves, whose sums the cores join.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import (
    Conv2dGeometry,
    joined_weight,
    merged_weight,
    spread_weight,
)
from myoedge.operators.conv.ne16_add import SummedKernel, linear_with_add_on_ne16
from myoedge.operators.conv.ne16_form import JobForm
from myoedge.operators.conv.ne16_forms import (
    Geometries,
    every_schedule,
    every_sums_schedule,
    fastest,
    split_weights,
)
from myoedge.operators.conv.ne16_rows import REQUANTISE, channels_of_sums, rows_on_ne16, sums_fields
from myoedge.operators.conv.ne16_rules import is_filter, not_depthwise
from myoedge.operators.conv.ne16_schedule import DEPTHWISE, FILTER, WINDOWS, JobSchedule
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.format import Format
from myoedge.operators.kernel import (
    FREE,
    AffineExpr,
    Fields,
    Kernel,
    Operand,
    TiledKernel,
    of_member,
)
from myoedge.operators.library.ne16_copies import CopiedOperands
from myoedge.operators.library.ne16_jobs import (
    IN_RUN,
    JOBS_A_TILE,
    OUTPUTS,
    X_WIDE,
    bit_planes,
    depthwise_planes,
    filter_planes,
    parameters,
)
from myoedge.operators.library.ne16_rules import (
    Rule,
    has_int8_products,
    has_weights_in_halves,
    requantised_by_engine,
    sums_on_ne16,
)
from myoedge.operators.library.packing import (
    INT8_PRODUCTS,
    INT16_PRODUCTS,
    table_operand,
)
from myoedge.targets.chip import Engine

TURNED, COPIES = 2, 8  # flags of me_ne16_jobs.h, as IN_RUN
OF_CORES = ("scale.pre", "scale.low", "scale.high")  # fields for the cores alone


def conv_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel of a convolution; tiles divide rows t0, columns t1 and output channels
    k in blocks of 32 (depthwise: all channels).

    Tiles of the same positions are consecutive, so that the input is prepared once for all
    channels.
    """
    return _tile_on_ne16(step, engine, keeps_scratch=True)


def conv_by_channels_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel of a convolution whose tiles may run in any order, so that streamed
    weights come from L3 only once; the input is prepared again for every tile.

    3x3 filters need no scratch for windows, which leaves more L1 for weights.
    """
    return _tile_on_ne16(step, engine, keeps_scratch=False)


def conv_with_sum_on_ne16(step: QuantizedNode, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel of a convolution fused with the addition after it; several jobs per
    tile leave only the last one's results to be added after the engine."""
    if is_pointwise(step):
        return linear_with_add_on_ne16(step, engine)
    way = replace(_fastest_schedule(step, keeps_scratch=True), jobs=JOBS_A_TILE)
    axes = ("n", "t0", "t1", "g", "k")
    cost = engine.kernels.get(f"me_ne16_jobs, {_row(step, way)}, add", FREE)
    own = replace(jobs_in_tiles(step, way, engine), cost=cost)
    return SummedKernel(own, axes, way.prepared).with_sum(step, engine)


def keeps_rows(step: QuantizedNode) -> ConstraintViolation | None:
    """Require contiguous results of a tile, in which columns were not exchanged with rows.

    -> None, or the violated requirement
    """
    if is_pointwise(step) or not _fastest_schedule(step, keeps_scratch=True).turned:
        return None
    return ConstraintViolation("a kernel along rows", "one down columns", "rows as columns")


def _tile_on_ne16(step: QuantizedNode, engine: Engine, *, keeps_scratch: bool) -> TiledKernel:
    if is_pointwise(step):
        return rows_on_ne16(step, engine)
    return jobs_in_tiles(step, _fastest_schedule(step, keeps_scratch=keeps_scratch), engine)


def is_pointwise(step: QuantizedNode) -> bool:
    """Return whether a convolution is a linear layer."""
    return Conv2dGeometry.of(step).pointwise and step.attrs["groups"] == 1


def _fastest_schedule(step: QuantizedNode, *, keeps_scratch: bool) -> JobSchedule:
    return fastest(every_schedule(step, keeps_scratch=keeps_scratch))


def jobs_in_tiles(step: QuantizedNode, way: JobSchedule, engine: Engine) -> TiledKernel:
    """Return the kernel that runs a layer by a schedule of NE16 jobs.

    way   the schedule
    """
    table, conv, is_sums = table_operand(step), way.conv, way.parts is not None
    cut: AffineExpr = () if way.is_depthwise else (("k", 1),)
    of_group: AffineExpr = (("g", conv.y[-1]),) if conv.groups > 1 else ()
    constants = _sum_constants if is_sums else _constants
    strided = is_sums or not (table or way.turned)
    x, y = conv.read(()), replace(conv.write(cut), position_stride="conv.y_stride" * strided)
    finish: str | int = 0  # the C function that finishes results
    if way.parts:
        finish = REQUANTISE
    elif step.table is not None or way.number == WINDOWS:
        finish = "me_ne16_finish_bytes"
    return TiledKernel(
        function="me_ne16_jobs",
        callbacks=(REQUANTISE,) * is_sums,
        **_axes(way),
        unit_axes=("n", "g"),
        operands=(
            way.in_memory(replace(x, itemsize=way.sizes[0])),
            *constants(step, way, (*of_group, *cut)),
            *table,
            way.in_memory(replace(y, itemsize=way.sizes[1])),
        ),
        op={**_job_fields(step, way), "finish": finish, "beside": 0},
        tile=way.fields,
        launches_next_tile=way.launches_next_tile,
        jobs=JobForm(way, _copied(way)),
        scratch=way.scratch,
        work=way.cycles,
        cost=engine.kernels.get(f"me_ne16_jobs, {_row(step, way)}", FREE),
        l1_only=True,
    )


def _row(step: QuantizedNode, way: JobSchedule) -> str:
    """Return the name of a schedule's row of costs."""
    if way.parts:
        return f"sums, {16 if step.has_int16 else 8}"
    if way.number == WINDOWS and (not _is_in_row(way) or way.conv.dilation[1] > 1):
        return "windows over edges" if way.conv.reaches_over else "windows"
    return "phases" if way.phases else "turned" if way.turned else "conv"


def _is_in_row(way: JobSchedule) -> bool:
    """Return whether taps and results are one row."""
    return way.conv.kernel[0] == way.conv.y[1] == 1


def _axes(way: JobSchedule) -> dict[str, Any]:
    """Return the fields of a tiling: over rows and columns, and unless depthwise over the channels
    k of the results; innermost over parts of windows."""
    axes = way.conv.axes()
    if way.is_depthwise:
        return {"axes": axes, "split": ("t0", "t1")}
    kept, of_k = ("k",) if way.keeps_scratch else (), {**axes, "k": way.conv.y[-1]}
    if way.parts is None:
        sizes = {"innermost_axes": kept, "multiples": {"k": OUTPUTS}}
        return {"axes": of_k, "split": ("k", "t0", "t1"), **sizes}
    return {
        "axes": {**of_k, "part": way.parts.count},
        "split": ("t0", "t1", "k", "part"),
        "innermost_axes": (*kept, "part"),
        "multiples": {"k": OUTPUTS // way.parts.halves, "part": way.parts.of_run},
    }


def _constants(step: QuantizedNode, way: JobSchedule, outputs: AffineExpr) -> tuple[Operand, ...]:
    """Return the weights of a layer, and the parameters with which the engine requantises."""
    planes = _weight_planes(step, way)
    return (
        Operand("weights", "weights", planes.shape, (outputs, ()), array=planes),
        Operand.whole("parameters", parameters(step, way.joined)),
    )


def _sum_constants(
    step: QuantizedNode, way: JobSchedule, outputs: AffineExpr
) -> tuple[Operand, ...]:
    """Return the weights of sums [K, halves, parts, bytes], and the channels with which the cores
    requantise."""
    assert way.parts is not None, "a schedule of sums"
    weight, groups = split_weights(step)[0], step.attrs.get("groups", 1)
    if groups > 1:
        weight = merged_weight(weight, groups, way.conv.groups)
    planes = way.parts.planes(weight.reshape(-1, *weight.shape[2:]), way.bits)
    planes = planes.reshape(*weight.shape[:2], *planes.shape[1:])
    of_part = (("part", 1),)
    return (
        Operand("weights", "weights", planes.shape, (outputs, (), of_part, ()), array=planes),
        channels_of_sums(step, outputs),
    )


def _job_fields(step: QuantizedNode, way: JobSchedule) -> Fields:
    """Return the fields of me_ne16_jobs_params that describe the jobs."""
    copies, x_size = way.number == WINDOWS, way.sizes[0]
    sizes = way.conv.fields(x_size * way.conv.x[-1], step)
    zero = int(sizes["x_zero"]).to_bytes(x_size, "little", signed=True)
    flags = {IN_RUN: not way.in_rows, TURNED: way.turned, COPIES: way.copies_padding}
    flags |= {X_WIDE: x_size > 1}
    own = sums_fields(step, way.parts.halves, way.bits) if way.parts else {}
    used = sizes if way.parts else sizes.keys() - OF_CORES
    return {
        **{f"conv.{name}": value for name, value in sizes.items() if name in used},
        **of_member("sums", own),
        "form": sum(flag for flag, is_set in flags.items() if is_set),
        "step": way.step,
        "padding": int.from_bytes(zero * (4 // x_size), "little", signed=True),
        "inputs": way.inputs,
        "prepare": "me_ne16_copy_windows" if copies else "me_ne16_pad",
    }


def _copied(way: JobSchedule) -> CopiedOperands | None:
    """Return what may be copied by a list: an input with its padding, or windows of one row."""
    conv, is_windows = way.conv, way.number == WINDOWS
    if way.parts or way.turned or (is_windows and not _is_in_row(way)):
        return None
    sizes = (conv.kernel, conv.stride, conv.dilation)
    return CopiedOperands(conv.x[-1], *sizes, is_windows, in_row=not way.in_rows)


def _weight_planes(step: QuantizedNode, way: JobSchedule) -> Array:
    """Return a layer's weights in the engine's layout."""
    weight, bits = step.integers.weight, way.bits
    if not way.is_depthwise:
        weight = merged_weight(weight, step.attrs["groups"], way.conv.groups * way.groups)
    conv = Conv2dGeometry.of(step)
    if way.is_spread:
        weight, conv = spread_weight(weight, conv), conv.spread()
    weight = joined_weight(weight, conv, way.joined)
    if way.number in (FILTER, DEPTHWISE):
        taps = way.phases.weights(weight) if way.phases else weight
        if way.is_depthwise:
            return depthwise_planes(taps[..., 0], bits)
        return filter_planes(taps, bits)
    return bit_planes(weight.reshape(len(weight), -1), bits)


MANY = 1024  # products per result; with fewer, the weights of 32 outputs are a small part of L1


def sum_kernels(geometry_of: Geometries, *rules: Rule) -> tuple[Kernel, ...]:
    """Return the NE16 kernels that accumulate int32 sums, which the cores requantise.

    geometry_of   (layer, number of groups one after another) -> its products as the geometry of a
                  convolution
    rules         further requirements of layers of int8
    """

    def in_tiles(step: QuantizedNode, engine: Engine, *, keeps_scratch: bool) -> TiledKernel:
        ways = every_sums_schedule(step, geometry_of, keeps_scratch=keeps_scratch)
        return jobs_in_tiles(step, fastest(ways), engine)

    def needs_sums(step: QuantizedNode) -> ConstraintViolation | None:
        """Check that weights come in parts because of many products, except 3x3 filters, whose own
        jobs are faster; or that NE16 cannot requantise the results."""
        conv = geometry_of(step, 1)
        if (conv.taps >= MANY and not is_filter(conv)) or requantised_by_engine(step) is not None:
            return None
        return ConstraintViolation(f"{MANY:,} products per result", f"{conv.taps:,}", "more inputs")

    forms: dict[Format, tuple[Rule, ...]] = {
        INT8_PRODUCTS: (*rules, has_int8_products, needs_sums),
        **dict.fromkeys(INT16_PRODUCTS, (not_depthwise, has_weights_in_halves)),
    }
    return tuple(
        sums_on_ne16(partial(in_tiles, keeps_scratch=keeps), form, *own)
        for form, own in forms.items()
        for keeps in (True, False)
    )
