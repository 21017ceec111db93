# SPDX-License-Identifier: Apache-2.0
"""A network before tiling, and where its tensors may be: in L1, in the arena, or outside."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Written
from myoedge.plan.l1.layer_kernels import NetworkKernels
from myoedge.plan.l1.resident import ResidentTensor
from myoedge.plan.l1.tile_grid import readable
from myoedge.plan.l1.tiling import Tiling
from myoedge.plan.locations import Location, LoopState
from myoedge.plan.loops import (
    LoopLayers,
    LoopTensor,
    Roots,
    borders,
    loop_tensors,
    read_rows,
    replaced_tensors,
    written_by_rows,
)
from myoedge.plan.placement import Allocator, LiveRange, Placement
from myoedge.plan.plan import size_bytes
from myoedge.quantization.scales import QuantGraph
from myoedge.targets.chip import Chip
from myoedge.targets.costs import ByteCost

BYTES_FIRST = 1e6  # cycles per byte of a constant, beside which the cycles of a layer do not count


@dataclass(frozen=True)
class LoweredNetwork:
    """A network before tiling: the layers that run, and the tensors that share buffers.

    quant     the quantised network
    chip      the chip
    steps     layers that run; views are left out
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    owned     tensor -> number of the output to which it is directly written
    copies    (output number, tensor) copied at the end
    placing   placement function for the arena
    kernels   candidate kernels of the layers
    used      chip with only the engines in use
    loops     loop bodies
    rows      tensor -> bytes by which its address advances per iteration of a loop
    is_tight  whether bytes decide instead of cycles: kernels have the fewest bytes of constants,
              tiles read few at once, and passes over them bring them to L2 again
    """

    quant: QuantGraph
    chip: Chip
    steps: tuple[QuantizedNode, ...]
    roots: Roots
    owned: Mapping[str, int]
    copies: tuple[tuple[int, str], ...]
    placing: Allocator
    kernels: NetworkKernels
    used: Chip
    loops: tuple[LoopLayers, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    is_tight: bool = False

    def tight(self) -> LoweredNetwork:
        """Return the network for which bytes decide."""
        by_bytes = dict.fromkeys(range(len(self.steps)), ByteCost(held=BYTES_FIRST))
        return replace(self, kernels=replace(self.kernels, byte_cost=by_bytes), is_tight=True)

    def passes(self, tilings: Sequence[Tiling], apart: Container[int] = ()) -> dict[int, int]:
        """Return layer -> number of its passes over its constants, which are loaded into L2 in each
        of them: of layers outside of loops, if bytes decide.

        apart   layers that have none
        """
        if not self.is_tight:
            return {}
        counts = ((at, tiling.passes) for at, tiling in enumerate(tilings) if at not in apart)
        return {at: n for at, n in counts if n > 1 and not any(at in x for x in self.loops)}


def tensors_near(n: LoweredNetwork) -> tuple[list[ResidentTensor], list[LoopTensor]]:
    """Return the tensors that may stay in L1 between layers, and during loops."""
    looped: list[LoopTensor] = []
    if n.loops:
        looped = loop_tensors(n.steps, n.roots, n.loops, _caller_tensors(n))
        looped += read_rows(n.steps, n.roots, n.rows, n.loops)
    return _resident_candidates(n), looped


def _resident_candidates(n: LoweredNetwork) -> list[ResidentTensor]:
    """Return the tensors that may stay in L1, because only layers read them."""
    leaving = _caller_tensors(n) | replaced_tensors(n.steps, n.roots)
    readers: dict[str, list[tuple[int, int, int]]] = {}
    for at, step in enumerate(n.steps):
        for number, operand in enumerate(step.operands):
            name, offset = n.roots[operand]
            readers.setdefault(name, []).append((at, number, offset))
    return [
        ResidentTensor(at, readable(size_bytes(n.quant, x)), tuple(readers[x]), Written(number))
        for at, step in enumerate(n.steps)
        for number, x in enumerate(step.written)
        if x in readers
        and x not in leaving
        and _is_in_same_loops(n, x, at, [step for step, _, _ in readers[x]])
    ]


def ready_operands(n: LoweredNetwork) -> dict[int, frozenset[int]]:
    """Return layer -> its operands, by number, that are in L2 when the layer before begins: that
    layer does not write them, and both are in the same loops."""
    found = {}
    for at in {*range(1, len(n.steps))} - borders(n.loops):
        written = {n.roots[name][0] for name in n.steps[at - 1].written}
        read = enumerate(n.roots[name][0] for name in n.steps[at].operands)
        found[at] = frozenset(number for number, root in read if root not in written)
    return found


def _caller_tensors(n: LoweredNetwork) -> set[str]:
    """Return the tensors in buffers of the caller, or copied there."""
    return {*n.owned, *(n.roots[name][0] for _, name in n.copies)}


def _is_in_same_loops(n: LoweredNetwork, name: str, made: int, readers: Sequence[int]) -> bool:
    """Return whether a tensor's producer and readers are in the same loops, and it is no part of
    another tensor."""
    sides = {tuple(at in loop for loop in n.loops) for at in (made, *readers)}
    return len(sides) == 1 and n.roots[name][0] == name


def loop_states(
    looped: Iterable[LoopTensor], tilings: Sequence[Tiling], steps: Sequence[QuantizedNode]
) -> list[LoopState]:
    """Return the states that stay in L1 until their loop ends, and are stored then."""
    found = []
    for x in (x for x in looped if x.stored_as):
        number = steps[x.setter].written.index(x.stored_as)
        tiling = tilings[x.setter]
        offset = tiling.resident.get(tiling.kernel.written(Written(number)).name)
        if offset is not None:
            found.append(LoopState(x.stored_as, offset, x.size_bytes, x.setter, x.loop.last))
    return found


def resident_tensors(
    steps: Sequence[QuantizedNode], tilings: Sequence[Tiling], stored: Container[str]
) -> dict[str, int]:
    """Return tensor -> L1 offset, for tensors that stay in L1.

    stored   states that are stored after their loops
    """
    return {
        name: tiling.resident[operand.name]
        for step, tiling in zip(steps, tilings, strict=True)
        for operand in tiling.kernel.results
        if operand.name in tiling.resident and (name := step.tensors[operand.source]) not in stored
    }


def arena_lives(n: LoweredNetwork) -> list[LiveRange]:
    """Return the live ranges of the arena's buffers, in steps; copies of outputs are one more."""
    first, last = dict[str, int](), dict[str, int]()
    for at, step in enumerate(n.steps):
        for name in step.written:
            first.setdefault(n.roots[name][0], at)
        last.update((n.roots[name][0], at) for name in step.tensors.values())
    last.update((n.roots[name][0], len(n.steps)) for _, name in n.copies)
    for loop in n.loops:
        by_rows = written_by_rows(n.steps, n.roots, n.rows, loop)
        first.update((name, loop.first) for name in by_rows)
        carried = (name for name in first if first[name] < loop.first <= last[name])
        kept = (*carried, *by_rows)
        last.update((name, max(last[name], loop.last)) for name in kept)
    return [
        LiveRange(name, size_bytes(n.quant, name), first[name], last[name])
        for name in first
        if name not in n.owned
    ]


def located_tensor(
    n: LoweredNetwork, root: tuple[str, int], resident: Mapping[str, int], placement: Placement
) -> Location:
    name, offset = root
    if name in resident:
        return Location("l1", "", resident[name] + offset)
    if name in n.quant.constants:
        return Location("constant", name, offset)
    if name in n.quant.graph.inputs:
        return Location("input", n.quant.graph.inputs.index(name), offset)
    if name in n.owned:
        return Location("output", n.owned[name], offset)
    return Location("arena", "", placement.offsets[name] + offset)
