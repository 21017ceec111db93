# SPDX-License-Identifier: Apache-2.0
"""Element-wise layers that are planned as one layer, with one generated kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from myoedge.operators.base import OPS, QuantizedNode
from myoedge.operators.chains import chain_step

MOST_MEMBERS = 24  # of a chain: a longer loop body leaves the cores' instruction caches


@dataclass(frozen=True)
class JoinableLayers:
    """Layers of a network, and which of them may be members of one chain.

    steps     layers in order of execution
    readers   layer -> layers that read its result; without those whose results leave the network,
              or that a layer reads in part
    loop_of   layer -> number of its loop
    buffer_of   tensor -> tensor whose buffer it shares
    """

    steps: Sequence[QuantizedNode]
    readers: Mapping[str, Sequence[str]]
    loop_of: Mapping[str, int]
    buffer_of: Mapping[str, str]

    @cached_property
    def at(self) -> dict[str, int]:
        return {step.node.name: number for number, step in enumerate(self.steps)}

    def chain_before(self, last: QuantizedNode, taken: set[str]) -> list[QuantizedNode]:
        """Return the layers of a chain that ends with `last`, in order: layers of its shape whose
        results only members read.

        taken   members of other chains
        """
        members = {last.node.name: last}
        ahead = {*last.operands} & self.at.keys()
        while ahead and len(members) < MOST_MEMBERS:
            name = max(ahead, key=self.at.__getitem__)  # its readers are known by then
            ahead.remove(name)
            step = self.steps[self.at[name]]
            read_by = self.readers.get(name, ("",))
            if name not in taken and members.keys() >= {*read_by} and self._fits(step, last):
                members[name] = step
                ahead |= {*step.operands} & self.at.keys()
        chain = sorted(members.values(), key=lambda step: self.at[step.node.name])
        return [last] if self._is_overwritten(chain) else chain

    def _is_overwritten(self, chain: Sequence[QuantizedNode]) -> bool:
        """Return whether a layer between the members writes a buffer that a member before it reads,
        such as the next state of a loop."""
        own = {member.node.name for member in chain}
        read = set[str]()
        for step in self.steps[self.at[chain[0].node.name] : self.at[chain[-1].node.name]]:
            name = step.node.name
            if name in own:
                read |= {self.buffer_of[x] for x in step.operands if x not in own}
            elif self.buffer_of[name] in read:
                return True
        return False

    def _fits(self, step: QuantizedNode, last: QuantizedNode) -> bool:
        loops = [self.loop_of.get(x.node.name) for x in (step, last)]
        return step.out == last.out and may_join(step) and loops[0] == loops[1]


def may_join(step: QuantizedNode) -> bool:
    """Return whether a layer has a description, and is not fused otherwise."""
    return OPS[step.node.op].meaning is not None and step.behind is None


def join_chains(
    layers: JoinableLayers, cycles: Callable[[QuantizedNode], float]
) -> tuple[QuantizedNode, ...]:
    """Join element-wise layers where one loop takes fewer estimated cycles than they do; a chain is
    in the place of its last member.

    cycles   layer -> its estimated cycles; infinity if it has no tile
    """
    joined: dict[str, QuantizedNode] = {}
    taken: set[str] = set()
    for step in reversed(layers.steps):
        chain = None if step.node.name in taken else _faster_chain(layers, step, taken, cycles)
        if chain is not None:
            joined[step.node.name] = chain
            taken |= {member.node.name for member in chain.members}
    kept = (x for x in layers.steps if x.node.name in joined or x.node.name not in taken)
    return tuple(joined.get(x.node.name, x) for x in kept)


def _faster_chain(
    layers: JoinableLayers,
    last: QuantizedNode,
    taken: set[str],
    cycles: Callable[[QuantizedNode], float],
) -> QuantizedNode | None:
    """Return the chain that ends with a layer; None if its members take no more cycles."""
    members = layers.chain_before(last, taken) if may_join(last) else []
    chain = chain_step(members) if len(members) > 1 else None
    if chain is None or cycles(chain) >= sum(map(cycles, members)):
        return None
    return chain
