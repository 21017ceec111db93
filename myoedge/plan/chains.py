# SPDX-License-Identifier: Apache-2.0
"""Element-wise layers that are planned as one layer, with one generated kernel.

A chain runs in the place of its last member. It writes the results that other layers, the next
iteration of a loop or the network's caller read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

from myoedge.graph.ir import Shape
from myoedge.numerics.arrays import Array
from myoedge.operators.base import QuantizedNode
from myoedge.operators.chain_nest import operands_read_elsewhere, with_late_results
from myoedge.operators.described import written_shape
from myoedge.plan.chain_members import (
    has_sums,
    has_weights,
    joins_operands,
    may_join,
    moves_operand,
    reads_rows,
    sums_along,
    sums_each_once,
)

MOST_MEMBERS = 24  # of a chain: a longer loop body leaves the cores' instruction caches
LATE_BYTES = 1024  # of results that wait in the cores' stacks: 128 bytes a core
NEAREST = 8  # other layers between members whose results are written, too

Roots = Mapping[str, tuple[str, int]]
Members = Mapping[str, QuantizedNode]  # by name, the last one first


@dataclass(frozen=True)
class JoinableLayers:
    """Layers of a network, and which of them may be members of one chain.

    steps     layers in order of execution
    made_by   tensor -> layer whose result it is, or views; "" without one
    leaving   tensors whose buffers are the caller's, or copied there
    loop_of   layer -> number of its loop
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    constants   constant operands as integers, by name
    """

    steps: Sequence[QuantizedNode]
    made_by: Callable[[str], str]
    leaving: Set[str]
    loop_of: Mapping[str, int]
    roots: Roots
    constants: Mapping[str, Array]
    shapes: dict[str, Shape] = field(default_factory=dict)

    @cached_property
    def at(self) -> dict[str, int]:
        return {step.node.name: number for number, step in enumerate(self.steps)}

    @cached_property
    def readers(self) -> dict[str, set[str]]:
        """Layer -> layers that read its result."""
        found: dict[str, set[str]] = {}
        for step in self.steps:
            for made in map(self.made_by, step.operands):
                found.setdefault(made, set()).add(step.node.name)
        return found

    def chains_before(self, last: QuantizedNode, taken: Set[str]) -> list[Members]:
        """Return chains that end with `last`: with the layers near it that read or write the same
        tensors, or with layers whose results only members read; both also without layers with
        weights, which kernels by hand may compute faster.

        taken   members of other chains
        """
        found = self._candidate_chains(last, taken)
        products = {
            n for known in found for n, x in known.items() if x is not last and has_weights(x)
        }
        others = self._candidate_chains(last, taken | products) if products else []
        return [*found, *(x for x in others if len(x) > 1)]

    def _candidate_chains(self, last: QuantizedNode, taken: Set[str]) -> list[Members]:
        own = {last.node.name: last}
        near, others = {**own}, 0
        for step in reversed(self.steps[: self.at[last.node.name]]):
            if self._can_join(step, near, taken):
                near[step.node.name] = step
            else:
                others += 1
            if others > NEAREST:
                break
        found = [
            self._add_inner_layers(x, taken) for x in (self._connected_members(near, last), own)
        ]
        return found[:1] if found[0].keys() == found[1].keys() else found

    def _add_inner_layers(self, members: Members, taken: Set[str]) -> Members:
        """Return the members with layers whose results only members read."""
        inner = {**members}
        ahead = self._layers_read(inner.values())
        while ahead and len(inner) < MOST_MEMBERS:
            name = max(ahead, key=self.at.__getitem__)  # its readers are known by then
            ahead.remove(name)
            step = self.steps[self.at[name]]
            if self._can_join(step, inner, taken) and not self._must_be_stored(name, inner):
                inner[name] = step
                ahead |= self._layers_read([step])
        return inner

    def _layers_read(self, steps: Collection[QuantizedNode]) -> set[str]:
        """Return the layers whose results layers read."""
        read = {self.made_by(x) for step in steps for x in step.operands}
        return (read & self.at.keys()) - {step.node.name for step in steps}

    def in_order(self, members: Members) -> list[QuantizedNode]:
        """Return the members in order; they read each other's results by their own names, not as
        views."""
        names = sorted(members, key=self.at.__getitem__)
        return [
            replace(
                members[name],
                operands=tuple(
                    made if (made := self.made_by(x)) in members else x
                    for x in members[name].operands
                ),
            )
            for name in names
        ]

    def stored(self, members: Members) -> list[str]:
        """Return the members before the last one whose results the chain writes."""
        names = sorted(members, key=self.at.__getitem__)
        return [name for name in names[:-1] if self._must_be_stored(name, members)]

    def _must_be_stored(self, name: str, members: Members) -> bool:
        """Return whether a member's result is read outside of the chain, is the state of a loop, a
        row of a sequence or an output, or is traced."""
        is_shared = self._buffer_of(name) != name or name in self.leaving
        is_shared |= self.steps[self.at[name]].is_traced
        return is_shared or not self.readers.get(name, set()) <= members.keys()

    def _buffer_of(self, name: str) -> str:
        return self.roots[name][0]

    def _can_join(self, step: QuantizedNode, members: Members, taken: Set[str]) -> bool:
        """Return whether a layer before all members may be one."""
        last = next(iter(members.values()))
        loops = [self.loop_of.get(x.node.name) for x in (step, last)]
        return (
            step.node.name not in taken
            and len(members) < MOST_MEMBERS
            and loops[0] == loops[1]
            and may_join(step)
            and (self._fits_loops(step, members) or self._is_read_by_members_only(step, members))
            and not self._is_moving_sum(step, members)
            and self._can_run_later(step, members)
            and self._overwrites_few_elements([*members.values(), step])
        )

    def _fits_loops(self, step: QuantizedNode, members: Members) -> bool:
        """Return whether a layer can be computed by the loops of the last one, once per element."""
        name, last = step.node.name, next(iter(members.values()))
        readers = self._readers_in_chain(name, members)
        read = [(reader, self._operand_names(reader, name)) for reader in readers]
        is_own = all(reads_rows(x, names) or not moves_operand(x, names) for x, names in read)
        return (
            self._squeezed_shape(step) == self._squeezed_shape(last)
            and is_own
            and not joins_operands(step)
        )

    def _readers_in_chain(self, name: str, members: Members) -> list[QuantizedNode]:
        return [members[x] for x in self.readers.get(name, set()) if x in members]

    def _operand_names(self, reader: QuantizedNode, name: str) -> set[str]:
        """Return the operands of a layer that are another one's result, or views of it."""
        return {x for x in reader.operands if self.made_by(x) == name}

    def _is_moving_sum(self, step: QuantizedNode, members: Members) -> bool:
        """Return whether a layer has sums, and one that depends on it is read at another place than
        its own, where the sums would have other axes."""
        ahead = [step.node.name] if has_sums(step) else []
        while ahead:
            name = ahead.pop()
            readers = self._readers_in_chain(name, members)
            if any(moves_operand(reader, self._operand_names(reader, name)) for reader in readers):
                return True
            ahead += [reader.node.name for reader in readers]
        return False

    def _is_read_by_members_only(self, step: QuantizedNode, members: Members) -> bool:
        """Return whether only members read a layer's result: others of its shape, and sums of each
        element once; of joined operands, which are only read, sums of them along the joined
        axis."""
        name, shape = step.node.name, self._squeezed_shape(step)
        if self._must_be_stored(name, members):
            return False
        readers = [members[x] for x in self.readers.get(name, set())]
        read = [(reader, self._operand_names(reader, name)) for reader in readers]
        if joins_operands(step):
            return all(sums_along(x, names, step.attrs["axis"]) for x, names in read)
        return all(
            sums_each_once(x, shape)
            if moves_operand(x, names)
            else shape == self._squeezed_shape(x)
            for x, names in read
        )

    def in_order_of_memory(self, chain: QuantizedNode) -> QuantizedNode | None:
        """Return a chain that writes a buffer of which it reads other elements than those that it
        writes, such as the next state of a loop that is a product of the state, late; None if that
        takes too much memory."""
        late = [
            n for n, result in enumerate(chain.results) if self._overwrites_operands(chain, result)
        ]
        if sum(map(_size_bytes, (chain.results[n] for n in late))) > LATE_BYTES:
            return None
        return with_late_results(chain, late) if late else chain

    def _overwrites_operands(self, chain: QuantizedNode, result: QuantizedNode) -> bool:
        """Return whether a chain reads the buffer of one of its results, except each element for
        the same element."""
        elsewhere = operands_read_elsewhere(chain)
        return any(
            at in elsewhere or not self._is_same_memory(chain, at, result)
            for at, name in enumerate(chain.operands)
            if self._buffer_of(name) == self._buffer_of(result.node.name)
        )

    def _is_same_memory(self, reader: QuantizedNode, at: int, result: QuantizedNode) -> bool:
        """Return whether an operand is the same elements in memory as a result."""
        read = (
            self.roots[reader.operands[at]],
            _without_unit_axes(reader.shapes[at]),
            reader.read_type(at),
        )
        return read == (
            self.roots[result.node.name],
            self._squeezed_shape(result),
            result.element_type,
        )

    def _squeezed_shape(self, step: QuantizedNode) -> Shape:
        """Return the shape of what a layer writes, without axes of extent 1."""
        if step.node.name not in self.shapes:
            self.shapes[step.node.name] = _without_unit_axes(written_shape(step))
        return self.shapes[step.node.name]

    def _can_run_later(self, step: QuantizedNode, members: Members) -> bool:
        """Return whether a layer may run in the place of the last member: those between neither
        read its result nor overwrite what it reads, and members read it in whole."""
        name, last = step.node.name, next(iter(members))
        between = self.steps[self.at[name] + 1 : self.at[last]]
        others = [other for other in between if other.node.name not in members]
        changed = {self._buffer_of(written) for other in others for written in other.written}
        return (
            self.readers.get(name, set()).isdisjoint(other.node.name for other in others)
            and changed.isdisjoint(map(self._buffer_of, step.operands))
            and all(self._reads_in_own_shape(member, step) for member in members.values())
        )

    def _reads_in_own_shape(self, reader: QuantizedNode, step: QuantizedNode) -> bool:
        """Return whether a layer reads the result of another one, if it does, in its own shape."""
        read = zip(reader.operands, reader.shapes, strict=True)
        shapes = [shape for x, shape in read if self.made_by(x) == step.node.name]
        return all(_without_unit_axes(shape) == self._squeezed_shape(step) for shape in shapes)

    def _overwrites_few_elements(self, chain: Sequence[QuantizedNode]) -> bool:
        """Return whether few elements that layers overwrite are read for other elements, too: a
        part of a state that is broadcast is."""
        own = {member.node.name for member in chain}
        writes = {self._buffer_of(member.node.name): member for member in chain}
        moved = {
            over.node.name: _size_bytes(over)
            for member in chain
            for at, name in enumerate(member.operands)
            if self.made_by(name) not in own
            and (over := writes.get(self._buffer_of(name))) is not None
            and not self._is_same_memory(member, at, over)
        }
        return sum(moved.values()) <= LATE_BYTES

    def _connected_members(self, members: Members, last: QuantizedNode) -> Members:
        """Return the members that share tensors with the last one, directly or through others."""
        uses = {
            name: {name, *(self.made_by(x) or x for x in step.operands)}
            for name, step in members.items()
        }
        kept, tensors = {last.node.name: last}, uses[last.node.name]
        while more := {
            name: step
            for name, step in members.items()
            if name not in kept and not tensors.isdisjoint(uses[name])
        }:
            kept |= more
            tensors = tensors.union(*(uses[name] for name in more))
        return kept


def _size_bytes(result: QuantizedNode) -> int:
    return math.prod(written_shape(result)) * result.element_type.size_bytes


def _without_unit_axes(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)
