# SPDX-License-Identifier: Apache-2.0
"""Forms in which NE16's jobs may compute a convolution, as a table, and the schedules of a layer in
all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from myoedge.numerics.arrays import Array, round_up
from myoedge.numerics.element_type import INT8
from myoedge.operators.base import QuantizedNode
from myoedge.operators.conv.geometry import Conv2dGeometry
from myoedge.operators.conv.ne16_rules import Phases, is_filter, one_group_or_depthwise
from myoedge.operators.conv.ne16_schedule import (
    DEPTHWISE,
    FILTER,
    PIXELS,
    WINDOWS,
    JobSchedule,
)
from myoedge.operators.library.ne16_jobs import (
    INPUTS,
    POINTWISE_MODE,
    SIDE,
    SUMS,
    WEIGHT_BITS,
    scale_bytes,
    weight_halves,
)
from myoedge.operators.library.ne16_parts import WindowParts

Geometries = Callable[[QuantizedNode, int], Conv2dGeometry]  # (layer, number of groups) -> geometry
JOINED = (2, 4)  # results of a row that may be joined to one pixel
GROUP = 1000.0  # extra cycles per group, which is a separate tile
WEIGHT_BYTE = 0.5  # cycles: L1 gets a byte in 0.13, from a full L2 in 2; more makes tiles smaller

# Name of a form -> kind of its jobs, and whether they compute a convolution.
FORMS: Mapping[str, tuple[int, Callable[[Conv2dGeometry], bool]]] = {
    "filter": (FILTER, is_filter),
    "windows": (WINDOWS, lambda conv: True),
    "pixels": (PIXELS, lambda conv: conv.kernel[0] == conv.dilation[1] == 1),
    "phases": (FILTER, lambda conv: not is_filter(conv) and Phases.of(conv) is not None),
}


def dense_schedules(conv: Conv2dGeometry, scale: int, bits: int) -> Iterator[JobSchedule]:
    """Yield the schedules of each group of a convolution: all forms of its rewritten geometries,
    and pixels of exchanged rows and columns.

    scale   bytes of a multiplier
    bits    bits of a weight
    """
    for own, is_spread, joined in _rewritten(conv):
        for number, applies in FORMS.values():
            if applies(own):
                phases = None if number != FILTER or is_filter(own) else Phases.of(own)
                way = JobSchedule(own, number, scale, joined, bits=bits, phases=phases)
                yield replace(way, is_spread=is_spread)
    if conv.kernel[1] == conv.dilation[0] == 1 < conv.kernel[0]:
        yield JobSchedule(conv.turned(), PIXELS, scale, bits=bits, turned=True)


def _rewritten(conv: Conv2dGeometry) -> Iterator[tuple[Conv2dGeometry, bool, int]]:
    """Yield a convolution as it is and with zeros between dilated taps, each also with joined
    results: (geometry, whether there are zeros between taps, number of joined results)."""
    for spread in (conv, conv.spread())[: 1 + (conv.dilation[1] > 1)]:
        yield spread, spread is not conv, 1
        if conv.groups == spread.dilation[1] == 1:
            for n in JOINED:
                if conv.y[2] % n == 0:
                    yield spread.joined(n), spread is not conv, n


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
                yield replace(_with_groups(way), keeps_scratch=keeps_scratch)


def _group_counts(step: QuantizedNode) -> list[int]:
    """Return the numbers of groups that may run one after another; each has several inputs, or is
    the whole layer."""
    groups = step.attrs["groups"]
    most = groups + (groups == 1 or groups < step.shapes[0][-1])
    return [count for count in range(1, most) if groups % count == 0]


def every_sums_schedule(
    step: QuantizedNode, geometry_of: Geometries, *, keeps_scratch: bool
) -> Iterator[JobSchedule]:
    """Yield the schedules of sums of all numbers of groups one after another, with zero weights
    between those that are merged: of 1x1 jobs and, with 16 bits, of 3x3 filters.

    geometry_of     (layer, number of groups one after another) -> its products as the geometry of
                    a convolution
    keeps_scratch   as in every_schedule; if not, each weight is loaded from L3 once
    """
    split, bits = split_weights(step)
    groups, x_size = step.attrs.get("groups", 1), step.read_type(0).size_bytes
    for count in (n for n in range(1, groups + 1) if groups % n == 0):
        conv = geometry_of(step, count)
        for number in (PIXELS, FILTER) if step.has_int16 and is_filter(conv) else (PIXELS,):
            parts = WindowParts.of(conv, x_size, split.shape[1], is_filter=number == FILTER)
            sizes = (x_size, step.element_type.size_bytes)
            way = JobSchedule(conv, number, SUMS, bits=bits, parts=parts, sizes=sizes)
            yield replace(way, keeps_scratch=keeps_scratch)


def split_weights(step: QuantizedNode) -> tuple[Array, int]:
    """Return weights [K, halves, *kernel, C] of a layer, and the bits of each."""
    weight, bits = step.integers.weight, step.weight_bits
    return weight_halves(weight) if bits > INT8.bits else (weight[:, None], bits)


def _with_groups(way: JobSchedule) -> JobSchedule:
    """Return the schedule of a layer whose groups are jobs of a tile, if the pixels of a job have
    the channels of one position; otherwise the schedule of a group.

    way   the schedule of a group
    """
    conv, pixel = way.conv, way.phases.pixel if way.phases else 1
    is_tap = way.number == PIXELS and conv.taps == conv.x[-1]
    if not is_tap and (way.number != FILTER or pixel > 1):
        return way
    x, y = ((*shape[:3], conv.groups * shape[3]) for shape in (conv.x, conv.y))
    return replace(way, conv=replace(conv, x=x, y=y, groups=1), groups=conv.groups)


def fastest(ways: Iterable[JobSchedule]) -> JobSchedule:
    """Return the schedule with the fewest estimated cycles if each of its groups is one tile."""
    return min(ways, key=lambda way: way.conv.groups * (_group_cycles(way) + GROUP))


def _group_cycles(way: JobSchedule) -> float:
    """Return the estimated cycles of a group if it is one tile, and of its weights."""
    (_, rows, columns, k), parts = way.conv.y, way.parts
    sizes = {"t0": rows, "t1": columns, "k": k, "part": parts.count if parts else 1}
    taps = round_up(way.inputs, INPUTS) * (1 if way.mode == POINTWISE_MODE else SIDE * SIDE)
    outputs = 1 if way.is_depthwise else k * (parts.halves if parts else 1)
    return float(way.cycles(sizes)) + WEIGHT_BYTE * outputs * float(taps) * way.bits / WEIGHT_BITS
