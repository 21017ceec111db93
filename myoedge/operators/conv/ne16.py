# SPDX-License-Identifier: Apache-2.0
"""Convolutions on NE16: 3x3 filters (also depthwise and of one row), kernels of one row as
overlapping pixels, and other kernels with copied windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import (
    Conv2dGeometry,
    joined_weight,
    merged_weight,
    spread_weight,
)
from myoedge.operators.conv.ne16_rules import ONE_PHASE, Phases, is_filter, one_group_or_depthwise
from myoedge.operators.conv.ne16_schedule import (
    DEPTHWISE,
    FILTER,
    GROUP,
    PIXELS,
    WINDOWS,
    JobSchedule,
    dense_schedules,
)
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.kernel import FREE, AffineExpr, Fields, Operand, TiledKernel
from myoedge.operators.library.ne16 import rows_on_ne16
from myoedge.operators.library.ne16_add import SummedKernel, linear_with_add_on_ne16
from myoedge.operators.library.ne16_copies import CopiedOperands
from myoedge.operators.library.ne16_form import JobForm
from myoedge.operators.library.ne16_jobs import (
    DEPTHWISE_MODE,
    FILTER_MODE,
    IN_RUN,
    JOBS_A_TILE,
    OUTPUTS,
    POINTWISE_MODE,
    bit_planes,
    depthwise_planes,
    filter_planes,
    parameters,
    scale_bytes,
)
from myoedge.operators.library.packing import table_operand
from myoedge.targets.chip import Engine

MODES = {
    FILTER: FILTER_MODE,
    DEPTHWISE: DEPTHWISE_MODE,
    PIXELS: POINTWISE_MODE,
    WINDOWS: POINTWISE_MODE,
}
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
    cost = engine.kernels.get(f"me_ne16_jobs, {way.row}, add", FREE)
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
    ways = every_schedule(step, keeps_scratch=keeps_scratch)
    return min(ways, key=lambda way: way.conv.groups * (way.layer_cycles() + GROUP))


def every_schedule(step: QuantizedNode, *, keeps_scratch: bool) -> Iterator[JobSchedule]:
    """Yield the schedules: depthwise jobs if NE16 supports the kernel; otherwise groups as jobs of
    a tile, groups as tiles, several groups merged with zero weights between them, and all groups
    as one.

    keeps_scratch   whether scratch lasts between tiles; if not, 3x3 kernels use FILTER jobs, which
                    need little scratch
    """
    scale, bits, conv = scale_bytes(step), step.weight_bits, Conv2dGeometry.of(step)
    if step.attrs["groups"] > 1 and one_group_or_depthwise(step) is None:
        phases = None if is_filter(conv) else Phases.of(conv)
        way = JobSchedule(conv, DEPTHWISE, scale, bits=bits, phases=phases)
        yield replace(way, keeps_scratch=keeps_scratch)
    for count in _group_counts(step):
        for way in dense_schedules(Conv2dGeometry.of(step, count), scale, bits):
            if keeps_scratch or not is_filter(conv) or way.number == FILTER:
                yield replace(way.with_groups, keeps_scratch=keeps_scratch)


def _group_counts(step: QuantizedNode) -> list[int]:
    """Return the numbers of groups that may run one after another; each has several inputs, or is
    the whole layer."""
    groups = step.attrs["groups"]
    most = groups + (groups == 1 or groups < step.shapes[0][-1])
    return [count for count in range(1, most) if groups % count == 0]


def jobs_in_tiles(step: QuantizedNode, way: JobSchedule, engine: Engine) -> TiledKernel:
    """Return the kernel that runs a layer by a schedule of NE16 jobs.

    way   the schedule
    """
    table, conv = table_operand(step), way.conv
    k, planes = conv.y[-1], _weight_planes(step, way)
    cut: AffineExpr = () if way.is_depthwise else (("k", 1),)
    by_channels: dict[str, Any] = {} if way.is_depthwise else _split_channel_fields(k, way)
    of_group: AffineExpr = (("g", k),) if conv.groups > 1 else ()
    strided = "" if table or way.turned else "conv.y_stride"
    x, y = conv.read(()), replace(conv.write(cut), position_stride=strided)
    op = {
        **_job_fields(step, way),
        "finish": "me_ne16_finish_bytes" if table or way.number == WINDOWS else 0,
        "beside": 0,
    }
    return TiledKernel(
        function="me_ne16_jobs",
        **{"axes": conv.axes(), "split": ("t0", "t1"), **by_channels},
        unit_axes=("n", "g"),
        operands=(
            way.in_memory(x),
            Operand("weights", "weights", planes.shape, ((*of_group, *cut), ()), array=planes),
            Operand.whole("parameters", parameters(step, way.joined)),
            *table,
            way.in_memory(y),
        ),
        op=op,
        tile=way.fields,
        launches_next_tile=way.launches_next_tile,
        jobs=_form(way),
        scratch=way.scratch,
        work=way.cycles,
        cost=engine.kernels.get(f"me_ne16_jobs, {way.row}", FREE),
        l1_only=True,
    )


def _job_fields(step: QuantizedNode, way: JobSchedule) -> Fields:
    """Return the fields of me_ne16_jobs_params that describe the jobs."""
    form, sizes, copies = _form(way), way.conv.fields(way.conv.x[-1], step), way.number == WINDOWS
    zero = int(sizes["x_zero"]).to_bytes(1, "little", signed=True)
    flags = {IN_RUN: form.in_run, TURNED: way.turned, COPIES: way.copies_padding}
    return {
        **{f"conv.{name}": sizes[name] for name in sizes if name not in OF_CORES},
        "form": sum(flag for flag, is_set in flags.items() if is_set),
        "step": form.step,
        "padding": int.from_bytes(zero * 4, "little", signed=True),
        "inputs": form.inputs,
        "prepare": "me_ne16_copy_windows" if copies else "me_ne16_pad",
    }


def _form(way: JobSchedule) -> JobForm:
    """Return the jobs of a schedule."""
    conv, phases, c = way.conv, way.phases or ONE_PHASE, way.conv.x[-1]
    row, column = conv.stride[0] * c, conv.stride[1] * c
    return JobForm(
        MODES[way.number],
        way.bits,
        way.scale,
        outputs=conv.y[-1] * conv.groups,
        inputs=way.inputs,
        groups=way.groups,
        step=conv.taps if way.number == WINDOWS else column,
        row_bytes=(row * ((conv.kernel[1] - 1) * conv.dilation[1] + 1), row * conv.stride[1]),
        in_run=not way.in_rows,
        turned=way.turned,
        phases=(phases.down, phases.across),
        operands=_copied(way),
    )


def _copied(way: JobSchedule) -> CopiedOperands | None:
    """Return what may be copied by a list: an input with its padding, or windows of one row."""
    conv, is_windows = way.conv, way.number == WINDOWS
    if way.turned or (is_windows and (conv.kernel[0] > 1 or conv.y[1] > 1)):
        return None
    sizes = (conv.kernel, conv.stride, conv.dilation)
    return CopiedOperands(conv.x[-1], *sizes, is_windows, in_row=not way.in_rows)


def _split_channel_fields(k: int, way: JobSchedule) -> dict[str, Any]:
    """Return the fields of a tiling that also splits the k channels of the results."""
    return {
        "axes": {**way.conv.axes(), "k": k},
        "split": ("k", "t0", "t1"),
        "innermost_axes": ("k",) if way.keeps_scratch else (),
        "multiples": {"k": OUTPUTS},
    }


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
