# SPDX-License-Identifier: Apache-2.0
"""Loops whose body is one chain: a call computes all iterations.

Sequences of which an iteration reads or writes a row are operands and results as a whole; states
are read where the chain writes them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from myoedge.graph.ir import Shape
from myoedge.nest.flat import Iterations
from myoedge.operators.base import QuantizedNode
from myoedge.operators.chain_nest import ChainNest, ChainParams, with_turns
from myoedge.operators.turns import WRITE

Roots = Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class WholeLoops:
    """Loops of a network, and where their tensors are.

    loop_of   layer -> number of its loop
    counts    number of a loop -> its iterations
    roots     tensor -> (tensor whose buffer it shares, offset in bytes)
    rows      tensor -> bytes by which its address advances per iteration of a loop
    """

    loop_of: Mapping[str, int]
    counts: Sequence[int]
    roots: Roots
    rows: Callable[[str], int]

    def joined(
        self, steps: Sequence[QuantizedNode], cycles: Callable[[QuantizedNode], float]
    ) -> tuple[QuantizedNode, ...]:
        """Return the layers with each loop that one call can compute as one layer.

        cycles   layer -> its estimated cycles; infinity if it has no tile
        """
        sizes = Counter(self.loop_of.get(step.node.name) for step in steps)
        found = []
        for step in steps:
            loop = self.loop_of.get(step.node.name)
            is_body = loop is not None and sizes[loop] == 1
            whole = (
                self._chain_of_all_iterations(step, self.counts[loop])
                if is_body and loop is not None
                else None
            )
            found.append(step if whole is None or math.isinf(cycles(whole)) else whole)
        return tuple(found)

    def _chain_of_all_iterations(self, step: QuantizedNode, count: int) -> QuantizedNode | None:
        """Return a chain as all iterations of its loop; None if it cannot be."""
        if count == 1 or not isinstance(step.integers, ChainParams):
            return None
        rows, states = self._moved_reads(step)
        flat = step.integers.chain.flat
        if (
            flat.scanned
            or flat.row
            or flat.side_step
            or not self._reads_whole_sequences(step, rows, states)
        ):
            return None
        made = (n for n, result in enumerate(step.results) if self._is_row_result(result))
        turns = Iterations(count, frozenset(rows), frozenset(made), states)
        return self._with_sequences(with_turns(step, turns))

    def _moved_reads(self, step: QuantizedNode) -> tuple[set[int], dict[int, int]]:
        """Return a chain's reads, by number, of rows of sequences, and of states -> the results in
        their places."""
        rows, states = set[int](), dict[int, int]()
        for number, at in enumerate(step.integers.chain.operands):
            if at is None:
                continue
            # The number of the result that has the buffer of an operand; None without one
            buffers = [self.roots[x][0] for x in step.written]
            root = self.roots[step.operands[at]][0]
            if (result := buffers.index(root) if root in buffers else None) is not None:
                states[number] = result
            elif self.rows(step.operands[at]):
                rows.add(number)
        return rows, states

    def _reads_whole_sequences(
        self, step: QuantizedNode, rows: Set[int], states: Mapping[int, int]
    ) -> bool:
        """Return whether a chain reads sequences' rows and states as a whole.

        rows     its reads, by number, of rows
        states   its reads of states -> the results in their places
        """
        chain: ChainNest = step.integers.chain
        at: Sequence[int] = step.integers.chain.operands
        for number in rows:
            size = chain.flat.row_size(number) * step.read_type(at[number]).size_bytes
            if size != self.rows(step.operands[at[number]]):
                return False
        return all(self._is_state(step, at[number], result) for number, result in states.items())

    def _is_state(self, step: QuantizedNode, at: int, number: int) -> bool:
        """Return whether an operand is the whole state that a result replaces."""
        result = step.results[number]
        size = math.prod(result.out) * result.element_type.size_bytes
        return (
            self.roots[step.operands[at]] == self.roots[result.node.name]
            and not self._is_row_result(result)
            and math.prod(step.shapes[at]) * step.read_type(at).size_bytes == size
            and step.read_type(at) == result.element_type
        )

    def _is_row_result(self, result: QuantizedNode) -> bool:
        return result.node.op == WRITE or bool(self.rows(result.node.name))

    def _with_sequences(self, step: QuantizedNode) -> QuantizedNode:
        """Return a layer with the shapes of the sequences that it reads and writes."""

        def of_all(name: str, shape: Shape) -> Shape:
            return (step.turns, *shape) if self.rows(name) else shape

        shapes = map(of_all, step.operands, step.shapes)
        members = (replace(x, out=of_all(x.node.name, x.out)) for x in step.members)
        out = of_all(step.node.name, step.out)
        return replace(step, shapes=tuple(shapes), members=tuple(members), out=out)


def reads_bytes(step: QuantizedNode) -> bool:
    """Return whether a layer that computes all iterations of a loop reads rows element by element,
    at any address: not words of them, as sums do."""
    flat = step.integers.chain.flat
    return not (flat.over or flat.late)
