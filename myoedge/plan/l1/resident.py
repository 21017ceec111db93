# SPDX-License-Identifier: Apache-2.0
"""Resident tensors: results that stay in L1 until their last reader has run, instead of being
stored in L2 and loaded again.

Such a tensor is in L1 completely, at one offset; tiles of the layers that write or read it are
contiguous parts of it. Other operands get the rest of L1. The choice is greedy, by estimated
cycles.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from myoedge.numerics.arrays import round_up
from myoedge.operators.kernel import OUT, Source, TiledKernel, Written
from myoedge.plan.l1.prefetch import hidden_cycles
from myoedge.plan.l1.tile_grid import ALIGNMENT
from myoedge.plan.l1.tile_search import Hidden, TileChoice
from myoedge.plan.placement import GrowingPlacement, LiveRange, greedy

LONGEST = 8  # maximum layers during which a tensor stays
MORE = 1.002  # accepted factor on the cycles: a tensor in L1 takes no L2 and no DMA energy
LARGEST = 2  # a tensor may take 1 / LARGEST of L1


@dataclass(frozen=True, slots=True)
class ResidentTensor:
    """A tensor that stays in L1 from the layer that computes it to its last reader.

    producer     step that computes it
    result       which of its results it is
    size_bytes   size in bytes
    readers      (step, operand number, offset in bytes in the tensor), in order of steps
    """

    producer: int
    size_bytes: int
    readers: tuple[tuple[int, int, int], ...]
    result: Written = OUT

    @property
    def last(self) -> int:
        return self.readers[-1][0]

    @property
    def ends(self) -> set[int]:
        """Return the steps that write or read the tensor."""
        return {self.producer, *(step for step, _, _ in self.readers)}

    @property
    def steps(self) -> range:
        return range(self.producer, self.last + 1)

    @property
    def life(self) -> LiveRange:
        """Live range of the tensor in layers."""
        name = f"{self.producer:05d}.{self.result.number}"
        return LiveRange(name, self.size_bytes, self.producer, self.last)


# (step, kernel, bytes of L1, resident operands, resources for a prefetch) -> best tiling
Pick = Callable[[int, TiledKernel, int, frozenset[str], Hidden], TileChoice | None]


def since(step: int, resident: Sequence[ResidentTensor]) -> Sequence[ResidentTensor]:
    """Return the resident tensors that may be live in `step` or later, in order of their
    producers."""
    return resident[bisect_left(resident, step - LONGEST, key=lambda tensor: tensor.producer) :]


def beside(step: int, resident: Sequence[ResidentTensor]) -> Sequence[ResidentTensor]:
    """Return the resident tensors that are live in `step`, in order of their producers."""
    there = since(step, resident)
    end = bisect_left(there, step + 1, key=lambda tensor: tensor.producer)
    return [tensor for tensor in there[:end] if step in tensor.steps]


def made_by(
    step: int, kernel: TiledKernel, resident: Sequence[ResidentTensor]
) -> Iterator[tuple[str, ResidentTensor]]:
    """Yield (operand, tensor) for the resident tensors that `step` computes."""
    for tensor in beside(step, resident):
        if tensor.producer == step:
            yield kernel.written(tensor.result).name, tensor


def resident_operands(
    index: int, kernel: TiledKernel, resident: Sequence[ResidentTensor]
) -> dict[str, tuple[ResidentTensor, int]]:
    """Return the operands of layer `index` that are resident tensors, each with the tensor and its
    byte offset in the tensor."""
    found: dict[str, tuple[ResidentTensor, int]] = {}
    for tensor in beside(index, resident):
        at: dict[Source, int] = {number: at for step, number, at in tensor.readers if step == index}
        at |= {tensor.result: 0} if tensor.producer == index else {}
        found |= {o.name: (tensor, at[o.source]) for o in kernel.operands if o.source in at}
    return found


def room_left(index: int, resident: Sequence[ResidentTensor], room: int) -> int:
    """Return the bytes of L1 that resident tensors leave to layer `index`.

    room   bytes of L1
    """
    sizes = (tensor.size_bytes for tensor in beside(index, resident))
    return room - sum(round_up(size, ALIGNMENT) for size in sizes)


def choose_resident(
    kernels: Sequence[TiledKernel | None], tensors: Sequence[ResidentTensor], room: int, pick: Pick
) -> list[ResidentTensor]:
    """Return the tensors that stay in L1 because that makes the network faster, decided in
    execution order.

    tensors   tensors that may stay
    room      bytes of L1
    pick      function that returns the fastest tiling of a layer in given bytes
    While a layer runs, the next layer's constants are assumed to be in L1 too.
    """
    # Compute cycles of the preceding layer, as one tile.
    computed = [0.0, *(0.0 if k is None else float(k.cycles(k.axes)) for k in kernels)]
    hidden = [Hidden(hidden_cycles([cycles])) for cycles in computed]

    def total_cycles(steps: Iterable[int], resident: Sequence[ResidentTensor]) -> float:
        """Return the cycles of these steps; infinite if one has no feasible tile."""
        total = 0.0
        for index in steps:
            if (kernel := kernels[index]) is not None:
                names = frozenset(resident_operands(index, kernel, resident))
                left = room_left(index, resident, room)
                choice = pick(index, kernel, left, names, hidden[index])
                total += float("inf") if choice is None else choice.cycles
        return total

    resident: list[ResidentTensor] = []
    placed = GrowingPlacement(ALIGNMENT)
    sizes_bytes = {tensor.life.name: tensor.size_bytes for tensor in tensors}
    for tensor in sorted(tensors, key=lambda t: t.producer):
        fits = tensor.size_bytes * LARGEST <= room and tensor.last - tensor.producer <= LONGEST
        if not fits or None in [kernels[index] for index in tensor.ends]:
            continue
        moved = placed.with_one_more(tensor.life)
        if any(at + sizes_bytes[name] > room for name, at in moved.items()):
            continue
        near = since(tensor.producer, resident)
        more = total_cycles(tensor.steps, [*near, tensor])
        if more < MORE * total_cycles(tensor.steps, near):
            resident.append(tensor)
            placed.add(tensor.life, moved)
    return resident


def resident_offsets(resident: Sequence[ResidentTensor]) -> Mapping[ResidentTensor, int]:
    """Return tensor -> offset in L1, which is constant for its whole life."""
    placed = greedy([tensor.life for tensor in resident], ALIGNMENT)
    return {tensor: placed[tensor.life.name] for tensor in resident}


def end_bytes(resident: Sequence[ResidentTensor]) -> int:
    """Return the end of the highest resident tensor, in bytes from the start of L1."""
    offsets = resident_offsets(resident)
    return max((offsets[tensor] + tensor.size_bytes for tensor in resident), default=0)


def without_largest(
    resident: Sequence[ResidentTensor], index: int, l1_bytes: int
) -> list[ResidentTensor]:
    """Return the resident tensors without the largest one that is live in step `index`, so that the
    step fits in L1."""
    beside = [tensor for tensor in resident if index in tensor.steps]
    assert beside, "tiles that were chosen to fit do not"
    fewer = [*resident]
    fewer.remove(max(beside, key=lambda tensor: tensor.size_bytes))
    while end_bytes(fewer) > l1_bytes:  # without a tensor, others may be placed less well
        fewer.remove(max(fewer, key=lambda tensor: tensor.size_bytes))
    return fewer
