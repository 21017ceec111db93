# SPDX-License-Identifier: Apache-2.0
"""Distance by which a result must start below an operand, so that one core may write it over what
it has read of the operand; from the index maps of both and the order of the kernel's results."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array, strides
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.result_order import ResultOrder
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.lowered import LoweredNetwork
from myoedge.plan.placement import LiveRange, Replacement


@dataclass(frozen=True, slots=True)
class Displacement:
    """The smallest distance from a result's start up to an operand's start.

    size_bytes   the distance; negative if the result may start above the operand
    multiple     bytes of which it is a multiple
    """

    size_bytes: int
    multiple: int = 1


def displacement(kernel: TiledKernel, read: Operand, written: Operand) -> Displacement | None:
    """Return the displacement of a result of a layer with one tile; None if the result may not
    overlap the operand."""
    order = kernel.order
    if order is None:
        return None
    multiple = 1
    if order.channels:
        if read.dims[-1] != written.dims[-1] or read.shape[-1] != written.shape[-1]:
            return None
        multiple = read.shape[-1] * read.itemsize
        if order.channels not in dict(read.dims[-1]) or read.itemsize != written.itemsize:
            return None
    begins, _ = _byte_spans(read, kernel.axes, order)
    _, ends = _byte_spans(written, kernel.axes, order)
    starts = np.arange(0, len(begins), order.together)
    begins = np.minimum.accumulate(np.minimum.reduceat(begins, starts)[::-1])[::-1]
    ends = np.maximum.accumulate(np.maximum.reduceat(ends, starts))
    if order.reads_first:
        begins, ends = begins[1:], ends[:-1]
    size_bytes = math.prod(read.shape) * read.itemsize
    still_read = begins < size_bytes
    most = int((ends - begins)[still_read].max(initial=-size_bytes))
    return Displacement(-(-most // multiple) * multiple, multiple)


def _byte_spans(
    operand: Operand, axes: Mapping[str, int], order: ResultOrder
) -> tuple[Array, Array]:
    """Return the first byte, and the end of the last one, that each iteration accesses; of a
    position all bytes, if iterations access channels of it."""
    extents = [axes[axis] for axis in order.loops]
    count = math.prod(extents)
    each = np.indices(extents).reshape(len(extents), count)
    index = dict(zip(order.loops, each, strict=True))
    begins, ends = np.zeros(count, np.int64), np.full(count, operand.itemsize)
    is_empty = np.zeros(count, bool)
    steps = strides(operand.shape)
    for d, (n, dim) in enumerate(zip(operand.shape, operand.dims, strict=True)):
        low, high = np.zeros(count, np.int64), np.full(count, n - 1)
        if dim and order.channels not in dict(dim):
            low = high = low + (operand.first[d] if operand.first else 0)
            for axis, stride in dim:
                reach = (axes[axis] - 1) * stride
                low = low + index.get(axis, 0) * stride + min(reach, 0) * (axis not in index)
                high = high + index.get(axis, 0) * stride + max(reach, 0) * (axis not in index)
        low, high = np.maximum(low, 0), np.minimum(high, n - 1)
        is_empty |= low > high
        begins += low * steps[d] * operand.itemsize
        ends += high * steps[d] * operand.itemsize
    size_bytes = math.prod(operand.shape) * operand.itemsize
    return np.where(is_empty, size_bytes, begins), np.where(is_empty, 0, ends)


def replacements(
    n: LoweredNetwork, tilings: Sequence[Tiling], lives: Sequence[LiveRange]
) -> Iterator[Replacement]:
    """Yield the pairs of buffers of which a layer may write one over the other, which no later
    layer reads.

    lives   buffers of the arena
    """
    starts, ends = defaultdict[int, list[str]](list), defaultdict[int, list[str]](list)
    for life in lives:
        starts[life.first].append(life.name)
        if life.first < life.last:
            ends[life.last].append(life.name)
    for at, tiling in enumerate(tilings if n.chip.computes_in_order else ()):
        step, in_loop = n.steps[at], any(at in loop for loop in n.loops)
        if tiling.accesses_in_l2(step.tensors) and not in_loop:
            pairs = itertools.product(ends[at], starts[at])
            yield from filter(None, (_replacement(n, step, tiling.kernel, x) for x in pairs))


def _replacement(
    n: LoweredNetwork, step: QuantizedNode, kernel: TiledKernel, names: tuple[str, str]
) -> Replacement | None:
    """Return how a layer may write one buffer over another one; None if it may not.

    names   of the buffer that is read, and of the one that is written
    """
    places = [(x, n.roots[step.tensors[x.source]]) for x in kernel.operands if not x.constant]
    read, written = (
        [(x, offset) for x, (root, offset) in places if root == name] for name in names
    )
    distances, multiple = list[int](), 1
    for (x, at), (y, to) in itertools.product(read, written):
        found = displacement(kernel, x, y)
        if found is None or (at - to) % found.multiple:
            return None
        distances.append(found.size_bytes - at + to)
        multiple = math.lcm(multiple, found.multiple)
    return Replacement(*names, max(distances), multiple) if distances else None
