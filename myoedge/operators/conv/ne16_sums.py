# SPDX-License-Identifier: Apache-2.0
"""Convolutions and linear layers on NE16 whose int32 sums the cores requantise: those with many
products per result, and those with operands, weights or results of 16 bits.

Each NE16 job adds part of the products to 32-bit sums. Weights of more than 8 bits are two outputs
of the engine, their halves, whose sums the cores join. A linear layer runs as a 1x1 convolution
over rows of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from myoedge.numerics.arrays import Array, ceil_div
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry, merged_weight, tile_fields
from myoedge.operators.conv.ne16_parts import SumsSchedule, WindowParts
from myoedge.operators.conv.ne16_rules import is_filter, not_depthwise
from myoedge.operators.engine_choice import ConstraintViolation
from myoedge.operators.format import Format
from myoedge.operators.kernel import (
    FREE,
    AffineExpr,
    Fields,
    Kernel,
    Operand,
    Region,
    TiledKernel,
    of_member,
)
from myoedge.operators.library.ne16 import REQUANTISE, sums_fields
from myoedge.operators.library.ne16_jobs import JOBS_A_TILE, OUTPUTS, SIDE, X_WIDE, weight_halves
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
    packed_channels,
    row_sums,
    table_operand,
)
from myoedge.targets.chip import Engine

Geometries = Callable[[QuantizedNode, int], Conv2dGeometry]  # (layer, number of groups) -> geometry
MANY = 1024  # products per result; with fewer, the weights of 32 outputs are a small part of L1


def sums_in_tiles(step: QuantizedNode, way: SumsSchedule, engine: Engine) -> TiledKernel:
    """Return the NE16 kernel that makes the sums of each window in parts; tiles divide rows t0,
    columns t1, outputs k in blocks of 32 outputs of the engine, and innermost the parts of a
    window.

    way   the schedule
    """
    conv, parts, k, planes = way.conv, way.parts, way.conv.y[-1], _weight_planes(step, way)
    channels = _packed_sum_channels(step)
    of_part = (("part", 1),)
    of_group = tuple((axis, stride * k) for axis, stride in conv.group)
    outputs: AffineExpr = (*of_group, ("k", 1))
    x_size, y_size = step.read_type(0).size_bytes, step.element_type.size_bytes
    y = replace(conv.write((("k", 1),)), itemsize=y_size, position_stride="conv.y_stride")
    return TiledKernel(
        function="me_ne16_jobs",
        callbacks=(REQUANTISE,),
        axes={**conv.axes(), "k": k, "part": parts.count},
        split=("t0", "t1", "k", "part"),
        unit_axes=("n", "g"),
        innermost_axes=("k", "part") if way.keeps_scratch else ("part",),
        multiples={"k": OUTPUTS // way.halves, "part": parts.of_run},
        operands=(
            replace(conv.read(()), itemsize=x_size),
            Operand("weights", "weights", planes.shape, (outputs, (), of_part, ()), array=planes),
            Operand("channels", "channels", (len(channels), 16), (outputs, ()), array=channels),
            *table_operand(step),
            y,
        ),
        op={
            **of_member("conv", conv.fields(x_size * conv.x[-1], step)),
            **of_member("sums", sums_fields(step, way.halves, way.bits)),
            "form": X_WIDE * (x_size - 1),
            "prepare": "me_ne16_pad",
            "finish": REQUANTISE,
            "beside": 0,
        },
        jobs=way,
        tile=partial(_job_fields, way, (x_size, y_size)),
        launches_next_tile=partial(_launches_next_tile, way),
        scratch=way.scratch,
        work=way.cycles,
        cost=engine.kernels.get(f"me_ne16_jobs, sums, {16 if step.has_int16 else 8}", FREE),
        l1_only=True,
    )


def _weight_planes(step: QuantizedNode, way: SumsSchedule) -> Array:
    """Return a layer's weights in the engine's layout, [K, halves, parts, bytes]."""
    weight, groups = _split_weights(step)[0], step.attrs.get("groups", 1)
    if groups > 1:
        weight = merged_weight(weight, groups, way.conv.groups)
    planes = way.parts.planes(weight.reshape(-1, *weight.shape[2:]), way.bits)
    return planes.reshape(*weight.shape[:2], *planes.shape[1:])


def _packed_sum_channels(step: QuantizedNode) -> Array:
    """Return `packed_channels` with biases for the engine's sums, of inputs plus 128 or 32,768;
    modulo 2**32."""
    channels = packed_channels(step)
    offset = -step.read_type(0).low
    biases = channels[:, 0].astype(np.int64) - offset * row_sums(step.integers.weight)
    channels[:, 0] = biases.astype(np.int32)
    return channels


def _job_fields(
    way: SumsSchedule, sizes_bytes: tuple[int, int], regions: Mapping[str, Region]
) -> Fields:
    weights, y = regions["weights"], regions["y"]
    _, rows, columns, *_ = y.extent
    first, count = weights.start[2], weights.extent[2]
    units = int(way.units(rows, columns))
    jobs = JOBS_A_TILE if first == 0 or first + count == way.parts.count else 1
    each = ceil_div(units, jobs * SIDE) * SIDE
    known = dict(tile_fields(regions))
    for name, size in zip(("row_stride", "y_stride"), sizes_bytes, strict=True):
        known[name] = size * int(known[name])
    return {
        **{f"conv.{name}": known[name] for name in known if name != "scratch"},
        "conv.padded": "@scratch",
        "first_part": first,
        "parts": count,
        "units": units,
        "first_units": each,
        "units_at_a_time": each,
        "has_scratch": int(first > 0 or (way.keeps_scratch and y.start[4] > 0)),
    }


def _launches_next_tile(way: SumsSchedule, here: Fields, behind: Fields) -> bool:
    """Return whether the next tile's first job may start before the cores have requantised all
    sums."""
    adds = int(behind["first_part"]) > 0
    rows, columns = int(here["conv.oh"]), int(here["conv.ow"])
    several = int(here["units_at_a_time"]) < int(way.units(rows, columns))
    several &= here["conv.k"] == behind["conv.k"]  # the first jobs' sums are at the same places
    return bool(behind["has_scratch"]) and (adds or several)


def _check_needs_sums(step: QuantizedNode, conv: Conv2dGeometry) -> ConstraintViolation | None:
    """Check that a layer needs sums that the cores requantise.

    It does if its weights come in parts because of many products, except 3x3 filters, whose own
    jobs are faster; or if NE16 cannot requantise its results.
    """
    if (conv.taps >= MANY and not is_filter(conv)) or requantised_by_engine(step) is not None:
        return None
    return ConstraintViolation(f"{MANY:,} products per result", f"{conv.taps:,}", "more inputs")


def every_sums_schedule(
    step: QuantizedNode, geometry_of: Geometries, *, keeps_scratch: bool
) -> Iterator[SumsSchedule]:
    """Yield the schedules of all numbers of groups one after another, with zero weights between
    those that are merged: of 1x1 jobs and, with 16 bits, of 3x3 filters.

    geometry_of, keeps_scratch   as in sum_kernels, and in SumsSchedule
    """
    split, bits = _split_weights(step)
    groups, size = step.attrs.get("groups", 1), step.read_type(0).size_bytes
    for count in (n for n in range(1, groups + 1) if groups % n == 0):
        conv = geometry_of(step, count)
        for with_filter in (False, True) if step.has_int16 and is_filter(conv) else (False,):
            parts = WindowParts.of(conv, size, is_filter=with_filter)
            yield SumsSchedule(conv, parts, split.shape[1], bits, keeps_scratch)


def _split_weights(step: QuantizedNode) -> tuple[Array, int]:
    """Return weights [K, halves, *kernel, C] of a layer, and the bits of each."""
    weight, bits = step.integers.weight, step.weight_bits
    return weight_halves(weight) if bits > INT8.bits else (weight[:, None], bits)


def sum_kernels(geometry_of: Geometries, *rules: Rule) -> tuple[Kernel, ...]:
    """Return the NE16 kernels that accumulate int32 sums, which the cores requantise.

    geometry_of   (layer, number of groups one after another) -> its products as the geometry of a
                  convolution
    rules         further requirements of layers of int8
    """

    def in_tiles(step: QuantizedNode, engine: Engine, *, keeps_scratch: bool) -> TiledKernel:
        ways = every_sums_schedule(step, geometry_of, keeps_scratch=keeps_scratch)
        return sums_in_tiles(step, min(ways, key=SumsSchedule.layer_cycles), engine)

    def needs_sums(step: QuantizedNode) -> ConstraintViolation | None:
        return _check_needs_sums(step, geometry_of(step, 1))

    forms: dict[Format, tuple[Rule, ...]] = {
        INT8_PRODUCTS: (*rules, has_int8_products, needs_sums),
        **dict.fromkeys(INT16_PRODUCTS, (not_depthwise, has_weights_in_halves)),
    }
    return tuple(
        sums_on_ne16(partial(in_tiles, keeps_scratch=keeps), form, *own)
        for form, own in forms.items()
        for keeps in (True, False)
    )
