# SPDX-License-Identifier: Apache-2.0
"""Addresses of the states of loops and of the rows of sequences.

A state has one address in all iterations. The layer that computes the next iteration's state writes
it there if this iteration's state is no longer needed; otherwise it is copied at the end. Rows of
sequences are read and written in place, at an address that advances in every iteration.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from myoedge.graph.ir import Node
from myoedge.operators.base import OPS
from myoedge.operators.turns import IN_LOOPS, NEXT, READ, STATE, WRITE, LoopSpan, loop_spans
from myoedge.plan.loops import row_bytes
from myoedge.quantization.scales import QuantGraph

Aliases = dict[str, tuple[str, int]]  # tensor -> (tensor whose buffer it shares, offset in bytes)


@dataclass
class LoopPlaces:
    """Addresses of the states and rows of a network's loops that need no copies.

    aliases   tensor -> (tensor whose buffer it shares, offset in bytes)
    idle      nodes that need no layer, because no bytes are copied
    rows      tensor that is a row of a sequence -> bytes from one iteration's row to the next
    """

    aliases: Aliases = field(default_factory=dict)
    idle: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(
        q: QuantGraph,
        aliases: Mapping[str, tuple[str, int]],
        alignment: int,
        whole: Container[int] = (),
    ) -> LoopPlaces:
        """Return the states and rows of a network's loops that need no copies, with their
        addresses.

        aliases     tensor -> (tensor whose buffer it shares, offset), for views and slices
        alignment   bytes of which a row's address must be a multiple
        whole       numbers of the loops that one call computes: their rows have any address
        """
        places = LoopPlaces({**aliases})
        for number, span in enumerate(loop_spans(q.graph.nodes)):
            places._add_loop(q, span, 1 if number in whole else alignment)
        return places

    def bytes_per_iteration(self, name: str) -> int:
        """Return the bytes by which a tensor's address advances per iteration of its loop; 0
        outside loops."""
        while name not in self.rows and name in self.aliases:
            name = self.aliases[name][0]
        return self.rows.get(name, 0)

    def _add_loop(self, q: QuantGraph, span: LoopSpan, alignment: int) -> None:
        body = q.graph.nodes[span.first : span.end]
        for node in body:
            if node.op == READ and (row := row_bytes(q, node)) % alignment == 0:
                self._share_buffer(node, node.inputs[0])
                self.rows[node.name] = row
        for node in body:
            if node.op == NEXT:
                self._add_state(q, body, node)
        for node in body:
            if node.op == WRITE and row_bytes(q, node) % alignment == 0:
                self._add_rows(q, body, node)

    def _add_state(self, q: QuantGraph, body: Sequence[Node], node: Node) -> None:
        value, state = node.inputs
        producer = q.graph.producer.get(state)
        if producer is None or producer.op != STATE:
            return
        self.aliases[node.name] = state, 0
        if self._is_last_reader(q, body, value, state):
            self.aliases[self._buffer_root(value)] = state, 0
            self.idle.add(node.name)

    def _add_rows(self, q: QuantGraph, body: Sequence[Node], node: Node) -> None:
        root = self._buffer_root(node.inputs[0])
        if self._is_computed(q, body, node.inputs[0]):
            self._share_buffer(node, "")
            self.aliases[root] = node.name, 0
            self.rows[root] = row_bytes(q, node)

    def _share_buffer(self, node: Node, name: str) -> None:
        self.idle.add(node.name)
        if name:
            self.aliases[node.name] = name, 0

    def _buffer_root(self, name: str) -> str:
        while name in self.aliases:
            name = self.aliases[name][0]
        return name

    def _is_computed(self, q: QuantGraph, body: Sequence[Node], name: str) -> bool:
        """Return whether a layer of the body computes exactly this tensor in its own buffer."""
        root = self._buffer_root(name)
        node = next((node for node in body if node.name == root), None)
        size = q.graph.tensors[name].size
        return node is not None and node.op not in IN_LOOPS and q.graph.tensors[root].size == size

    def _is_last_reader(self, q: QuantGraph, body: Sequence[Node], value: str, state: str) -> bool:
        """Return whether a state's buffer is no longer read when its next value is computed."""
        if not self._is_computed(q, body, value):
            return False
        root = self._buffer_root(value)
        others = (x for x in enumerate(body) if x[1].op != NEXT or x[1].inputs != (value, state))
        readers = (at for at, node in others if state in self._buffers_read(node))
        made = next(at for at, node in enumerate(body) if node.name == root)
        return max(readers, default=-1) < made

    def _buffers_read(self, node: Node) -> set[str]:
        """Return the buffers that a node's layer reads; `loop_next` does not read the old state."""
        count = 1 if node.op == NEXT else OPS[node.op].operands.read
        return {self._buffer_root(name) for name in node.inputs[:count]}


def loops_of_odd_rows(q: QuantGraph, alignment: int) -> set[int]:
    """Return the numbers of the loops with rows of which the size is no multiple of `alignment`."""
    return {
        number
        for number, span in enumerate(loop_spans(q.graph.nodes))
        for node in q.graph.nodes[span.first : span.end]
        if node.op in (READ, WRITE) and row_bytes(q, node) % alignment
    }
