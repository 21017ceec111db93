# SPDX-License-Identifier: Apache-2.0
"""Whether a layer may write a buffer over one that it reads: its blocks of results are replayed in
their order, byte by byte, at the addresses of the plan."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.kernel import Operand, TiledKernel
from myoedge.operators.result_order import ResultOrder
from myoedge.plan.l1.tile_iteration import Spans
from myoedge.plan.plan import Plan


def replaces(plan: Plan, index: int, names: Sequence[str]) -> bool:
    """Return whether layer `index` writes one of two buffers over the other, and reads no byte of
    this one behind the result that took its place."""
    lives = {life.name: life for life in plan.lives}
    read, written = sorted((lives[name] for name in names), key=lambda life: life.first)
    is_handed_on = read.first < index == read.last and written.first == index
    return is_handed_on and _is_in_order(plan, index) and Replay.of(plan, index).is_sound


def _is_in_order(plan: Plan, index: int) -> bool:
    """Return whether one core computes a layer once, in a known order, and accesses all of its
    tensors where they are."""
    if index == len(plan.steps) or any(index in loop for loop in plan.loops):
        return False
    tiling = plan.tilings[index]
    has_order = tiling.kernel.order is not None and plan.chip.computes_in_order
    return has_order and tiling.accesses_in_l2(plan.steps[index].tensors)


Access = tuple[Operand, int]  # an operand, and its offset in the arena


@dataclass(frozen=True, eq=False, slots=True)
class Replay:
    """Reads and writes of a layer in the arena, in the order of its results.

    arena_bytes   its size
    """

    kernel: TiledKernel
    order: ResultOrder
    arena_bytes: int
    reads: Sequence[Access]
    writes: Sequence[Access]

    @staticmethod
    def of(plan: Plan, index: int) -> Replay:
        """Return the replay of a layer that accesses its tensors where they are."""
        kernel, tensors = plan.tilings[index].kernel, plan.steps[index].tensors
        places = [(x, plan.where[tensors[x.source]]) for x in kernel.operands if not x.constant]
        found = [(x, place.offset) for x, place in places if place.kind == "arena"]
        reads = [access for access in found if not access[0].written]
        writes = [access for access in found if access[0].written]
        return Replay(kernel, kernel.order or ResultOrder(()), plan.arena_bytes, reads, writes)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is read that results have replaced."""
        replaced = np.zeros(self.arena_bytes, bool)
        return not any(self._reads_replaced(replaced, x) for x in _blocks(self.kernel, self.order))

    def _reads_replaced(self, replaced: Array, block: Sequence[Spans]) -> bool:
        """Compute a block of results; return whether it reads bytes that results have replaced.

        replaced   per byte of the arena, whether it belongs to a result
        """
        early = any(x.any() for x in _regions(replaced, self.reads, block))
        for region in _regions(replaced, self.writes, block):
            region[...] = True
        late = any(x.any() for x in _regions(replaced, self.reads, block))
        return early if self.order.reads_first else late


def _regions(arena: Array, accesses: Sequence[Access], block: Sequence[Spans]) -> Iterator[Array]:
    """Yield the parts of the arena that the iterations of a block access."""
    for operand, at in accesses:
        shape = (*operand.shape, operand.itemsize)
        array = arena[at : at + math.prod(shape)].reshape(shape)
        for iteration in block:
            region = operand.region(iteration)
            spans = zip(region.start, region.extent, strict=True)
            yield array[tuple(slice(first, first + n) for first, n in spans)]


def _blocks(kernel: TiledKernel, order: ResultOrder) -> Iterator[list[Spans]]:
    """Yield the loop ranges of the iterations of each block, in order."""
    whole = {axis: (0, extent) for axis, extent in kernel.axes.items()}
    around = range(kernel.axes[order.channels]) if order.channels else (None,)
    loops = [range(kernel.axes[axis]) for axis in order.loops]
    for channels in around:
        fixed = {} if channels is None else {order.channels: (channels, 1)}
        iterations = iter(itertools.product(*loops))
        while block := [*itertools.islice(iterations, order.together)]:
            yield [
                {**whole, **fixed, **{a: (i, 1) for a, i in zip(order.loops, each, strict=True)}}
                for each in block
            ]
