# SPDX-License-Identifier: Apache-2.0
"""Choice of the chains of a network that are planned as one layer: those that save most cycles.

For linear, linear, add, softmax, the chain [add, softmax] that ends last saves less than the chain
[linear, linear, add], which shares the sum with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from myoedge.operators.base import QuantizedNode
from myoedge.operators.chains import chain_step
from myoedge.operators.folded_constants import element_cycles, with_folded_constants
from myoedge.plan.chain_members import has_sums, may_join
from myoedge.plan.chains import JoinableLayers

Cycles = Callable[[QuantizedNode], float]


@dataclass(frozen=True, slots=True)
class FasterChain:
    """A chain that takes fewer estimated cycles than its members.

    chain          the chain
    saved_cycles   by which its estimate is below those of its members
    """

    chain: QuantizedNode
    saved_cycles: float

    @property
    def names(self) -> set[str]:
        return {member.node.name for member in self.chain.members}


def join_chains(layers: JoinableLayers, cycles: Cycles) -> tuple[QuantizedNode, ...]:
    """Join element-wise layers where one loop takes fewer estimated cycles than they do; a chain is
    in the place of its last member.

    cycles   layer -> its estimated cycles; infinity if it has no tile
    """
    joined: dict[str, QuantizedNode] = {}
    taken: set[str] = set()
    for step in reversed(layers.steps):
        for found in _chains_ending_with(layers, step, taken, cycles):
            joined[found.chain.members[-1].node.name] = found.chain
            taken |= found.names
    kept = (x for x in layers.steps if x.node.name in joined or x.node.name not in taken)
    return tuple(joined.get(x.node.name, x) for x in kept)


def _chains_ending_with(
    layers: JoinableLayers, last: QuantizedNode, taken: Set[str], cycles: Cycles
) -> Iterator[FasterChain]:
    """Yield the chain that ends with a layer, if there is one; before it, those that end with a
    member of it, have sums outside of it, and save more.

    taken   members of other chains
    """
    found = None if last.node.name in taken else _fastest_chain(layers, last, taken, cycles)
    while found is not None:
        better = _faster_chain_inside(layers, found, taken, cycles)
        yield found if better is None else better
        if better is None:
            return
        taken = taken | better.names
        found = _fastest_chain(layers, last, taken, cycles)


def _faster_chain_inside(
    layers: JoinableLayers, found: FasterChain, taken: Set[str], cycles: Cycles
) -> FasterChain | None:
    """Return the chain that ends with a member of another one, reads sums outside of it, and saves
    most, if that is more; None if there is none."""
    others = (
        _fastest_chain(layers, member, taken, cycles, least_cycles=found.saved_cycles)
        for member in found.chain.members[:-1]
        if _reads_reduction(layers, member, taken | found.names)
    )
    return max(filter(None, others), key=lambda x: x.saved_cycles, default=None)


def _reads_reduction(layers: JoinableLayers, member: QuantizedNode, taken: Set[str]) -> bool:
    """Return whether a layer reads the result of a layer that sums and may join.

    taken   members of chains
    """
    read = {layers.made_by(name) for name in member.operands} - {*taken, ""}
    made = (layers.steps[layers.at[name]] for name in read)
    return any(may_join(step) and has_sums(step) for step in made)


def _fastest_chain(
    layers: JoinableLayers,
    last: QuantizedNode,
    taken: Set[str],
    cycles: Cycles,
    least_cycles: float = 0.0,
) -> FasterChain | None:
    """Return the chain that ends with a layer and saves most cycles; None if none does.

    least_cycles   that it has to save more than
    """
    best, most = None, least_cycles
    for members in layers.chains_before(last, taken) if may_join(last) else []:
        in_order = layers.in_order(members)
        chain = chain_step(in_order, layers.stored(members)) if len(in_order) > 1 else None
        for way in _ways_to_compute(layers, chain):
            saved = sum(map(cycles, in_order)) - cycles(way)
            if saved > most:
                best, most = FasterChain(way, saved), saved
    return best


def _ways_to_compute(
    layers: JoinableLayers, chain: QuantizedNode | None
) -> Iterator[QuantizedNode]:
    """Yield a chain, and the one with folded constants, with their results in order of memory. In a
    loop, constants stay in L1, and the one with folded constants is alone if it computes as
    fast."""
    folded = None if chain is None else with_folded_constants(chain, layers.constants)
    ways = [x for x in (chain, folded) if x is not None]
    if layers.loop_of.get(ways[-1].node.name if ways else "") is not None:
        ways = [min(reversed(ways), key=element_cycles)]
    for way in ways:
        in_order = layers.in_order_of_memory(way)
        if in_order is not None:
            yield in_order
