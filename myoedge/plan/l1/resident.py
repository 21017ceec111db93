# SPDX-License-Identifier: Apache-2.0
"""Results that stay in L1 until the last layer that reads them has run: neither stored nor loaded.

Such a tensor lies in L1 as a whole, at one place; tiles of the layers that write and read it are
runs of its bytes. Others get what is left of L1. Resident tensors are chosen by cost, layer by
layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from myoedge.numerics.arrays import round_up
from myoedge.operators.kernel import TiledKernel
from myoedge.plan.l1.prefetch import hidden_cycles
from myoedge.plan.l1.tile_search import ALIGNMENT, Hidden, TileChoice
from myoedge.plan.placement import Life, greedy

LONGEST = 8  # layers that a tensor may stay for
MORE = 1.002  # times the cycles without it: a tensor in L1 takes no L2, and no energy of the DMA
LARGEST = 2  # of L1's room, the part of it that a tensor may take


@dataclass(frozen=True, slots=True)
class ResidentTensor:
    """A tensor between layers: which step computes it, and who reads it.

    readers   (step, number of the operand, bytes from the tensor's start), in the order of steps
    """

    producer: int
    size_bytes: int
    readers: tuple[tuple[int, int, int], ...]

    @property
    def last(self) -> int:
        return self.readers[-1][0]

    @property
    def steps(self) -> range:
        return range(self.producer, self.last + 1)

    @property
    def life(self) -> Life:
        """In steps."""
        return Life(f"{self.producer:05d}", self.size_bytes, self.producer, self.last)


# step, tiling, room, resident operands, what is spare for a prefetch -> the best tiles
Pick = Callable[[int, TiledKernel, int, frozenset[str], Hidden], TileChoice | None]


def resident_operands(
    index: int, kernel: TiledKernel, resident: Iterable[ResidentTensor]
) -> dict[str, tuple[ResidentTensor, int]]:
    """Operands of a step that are resident tensors, and where they start in these."""
    found: dict[str, tuple[ResidentTensor, int]] = {}
    for tensor in resident:
        if tensor.producer == index:
            found[kernel.out.name] = (tensor, 0)
        numbers = {number: at for step, number, at in tensor.readers if step == index}
        for operand in kernel.operands:
            if isinstance(operand.source, int) and operand.source in numbers:
                found[operand.name] = (tensor, numbers[operand.source])
    return found


def room_left(index: int, resident: Iterable[ResidentTensor], room: int) -> int:
    """Bytes of L1 that resident tensors leave to a step."""
    sizes = (tensor.size_bytes for tensor in resident if index in tensor.steps)
    return room - sum(round_up(size, ALIGNMENT) for size in sizes)


def choose_resident(
    kernels: Sequence[TiledKernel | None], tensors: Sequence[ResidentTensor], room: int, pick: Pick
) -> list[ResidentTensor]:
    """Resident tensors that make layers between faster, earliest first: while a layer computes, the
    constants of the next are estimated to be loaded."""
    # of the layer before, as one tile
    computed = [0.0, *(0.0 if k is None else float(k.cycles(k.axes)) for k in kernels)]
    hidden = [Hidden(hidden_cycles([cycles])) for cycles in computed]

    def total_cycles(steps: Iterable[int], resident: Sequence[ResidentTensor]) -> float:
        """Cycles of these nodes; infinite where one of them has no feasible tile any more."""
        total = 0.0
        for index in steps:
            if (kernel := kernels[index]) is not None:
                names = frozenset(resident_operands(index, kernel, resident))
                left = room_left(index, resident, room)
                choice = pick(index, kernel, left, names, hidden[index])
                total += float("inf") if choice is None else choice.cycles
        return total

    resident: list[ResidentTensor] = []
    for tensor in sorted(tensors, key=lambda t: t.producer):
        more, ends = [*resident, tensor], {tensor.producer, *(s for s, _, _ in tensor.readers)}
        fits = tensor.size_bytes * LARGEST <= room and tensor.last - tensor.producer <= LONGEST
        if not (fits and all(kernels[i] is not None for i in ends) and end_bytes(more) <= room):
            continue
        if total_cycles(tensor.steps, more) < MORE * total_cycles(tensor.steps, resident):
            resident = more
    return resident


def resident_offsets(resident: Sequence[ResidentTensor]) -> Mapping[int, int]:
    """{producer: bytes from the start of L1}: the same place for all of a tensor's life."""
    placed = greedy([tensor.life for tensor in resident], ALIGNMENT)
    return {tensor.producer: placed[tensor.life.name] for tensor in resident}


def end_bytes(resident: Sequence[ResidentTensor]) -> int:
    """Bytes from the start of L1 to the end of the last resident tensor, gaps between included."""
    offsets = resident_offsets(resident)
    return max((offsets[tensor.producer] + tensor.size_bytes for tensor in resident), default=0)
