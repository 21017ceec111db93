# SPDX-License-Identifier: Apache-2.0
"""Loops in a plan: layers that run once per iteration, and the tensors that they access."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from myoedge.graph.ir import Node
from myoedge.operators.base import QuantizedNode
from myoedge.operators.kernel import Source
from myoedge.operators.turns import READ, STATE, WRITE, loop_spans
from myoedge.quantization.scales import QuantGraph

Roots = Mapping[str, tuple[str, int]]
Use = tuple[int, Source, int]  # layer, operand number or result, offset in bytes in the tensor


@dataclass(frozen=True, slots=True)
class LoopLayers:
    """The layers of a loop's body.

    first, last   indices of the first and of the last layer, inclusive
    steps         number of iterations
    """

    first: int
    last: int
    steps: int

    @property
    def layers(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, layer: int) -> bool:
        return self.first <= layer <= self.last

    @property
    def indices(self) -> set[int]:
        return set(range(self.first, self.last + 1))


@dataclass(frozen=True, slots=True)
class LoopTensor:
    """A tensor that stays in L1 during a loop: a state, whose first value a layer before the loop
    sets, or a result of one layer that later ones of the loop read. Or a row of a sequence, of
    which the next one is fetched during each iteration.

    loop         the loop
    setter       layer that sets the state's first value, or computes the result; of a row, the
                 first layer that reads it
    size_bytes   size in bytes
    uses         accesses
    is_row       whether it is a row of a sequence
    stored_as    of a state that a later layer or a caller reads: its tensor, which is stored after
                 the loop; otherwise ""
    """

    loop: LoopLayers
    setter: int
    size_bytes: int
    uses: tuple[Use, ...]
    is_row: bool = False
    stored_as: str = ""

    @property
    def is_state(self) -> bool:
        return self.setter < self.loop.first

    @property
    def layers(self) -> int:
        """Number of layers in which it is live, per iteration."""
        return self.loop.layers if self.is_state else self.last_use - self.setter

    @property
    def last_use(self) -> int:
        return max(layer for layer, _, _ in self.uses)


def row_bytes(q: QuantGraph, node: Node) -> int:
    """Return the bytes of the row that a loop operator reads or writes in one iteration."""
    row = node.name if node.op == READ else node.inputs[0]
    return q.graph.tensors[row].size * q.element_type(row).size_bytes


def loop_layers(q: QuantGraph, steps: Sequence[QuantizedNode]) -> tuple[LoopLayers, ...]:
    """Return the layers of every loop's body, except of loops that one call computes."""
    index = {step.node.name: at for at, step in enumerate(steps)}
    found = []
    for span in loop_spans(q.graph.nodes):
        body = q.graph.nodes[span.first : span.end]
        layers = [index[node.name] for node in body if node.name in index]
        if layers and steps[layers[0]].turns == 1:
            found.append(LoopLayers(min(layers), max(layers), span.steps))
    return tuple(found)


def replaced_tensors(steps: Sequence[QuantizedNode], roots: Roots) -> set[str]:
    """Return the tensors in whose buffers later layers write other tensors, such as final states.

    roots   tensor -> (tensor in whose buffer it is, offset in bytes)
    """
    written = (name for step in steps for name in step.written)
    return {roots[name][0] for name in written if roots[name] != (name, 0)}


def loop_tensors(
    steps: Sequence[QuantizedNode],
    roots: Roots,
    loops: Sequence[LoopLayers],
    leaving: Container[str],
) -> list[LoopTensor]:
    """Return the tensors that layers of one loop access: results that no other layer reads, and
    states, which a layer before the loop sets.

    roots     tensor -> (tensor in whose buffer it is, offset in bytes)
    leaving   tensors in buffers of a caller
    """
    uses = _buffer_accesses(steps, roots)
    made = ((at, result) for at, step in enumerate(steps) for result in step.results)
    found = []
    for at, result in made:
        name, node = result.node.name, result.node
        if roots[name] == (name, 0) and node.op != WRITE:
            tensors = (_loop_result(x, at, result, uses[name], name in leaving) for x in loops)
            found += [x for x in tensors if x is not None]
    return found


def read_rows(
    steps: Sequence[QuantizedNode],
    roots: Roots,
    rows: Mapping[str, int],
    loops: Sequence[LoopLayers],
) -> list[LoopTensor]:
    """Return the rows of sequences that layers of one loop read, and that no layer of it writes: a
    row that its first or its last layer does not read is fetched while that runs.

    roots   tensor -> (tensor in whose buffer it is, offset in bytes)
    rows    tensor -> bytes by which its address advances per iteration of a loop
    """
    found = []
    for loop in loops:
        if loop.steps == 1 or loop.first == 0:
            continue
        for uses in _row_uses(steps, roots, rows, loop):
            size = max(
                math.prod(steps[at].shapes[number]) * steps[at].read_type(number).size_bytes
                for at, number, _ in uses
            )
            row = LoopTensor(loop, uses[0][0], size, tuple(uses), is_row=True)
            found += [row] * (row.last_use < loop.last or row.setter > loop.first)
    return found


def _row_uses(
    steps: Sequence[QuantizedNode], roots: Roots, rows: Mapping[str, int], loop: LoopLayers
) -> Iterable[Sequence[tuple[int, int, int]]]:
    """Return the accesses to each row of a sequence that a loop's layers read and do not write."""
    written = written_by_rows(steps, roots, rows, loop)
    uses: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
    for at in range(loop.first, loop.last + 1):
        for number, name in enumerate(steps[at].operands):
            if rows.get(name) and roots[name][0] not in written:
                uses.setdefault(roots[name], []).append((at, number, 0))
    return uses.values()


def written_by_rows(
    steps: Sequence[QuantizedNode], roots: Roots, rows: Mapping[str, int], loop: LoopLayers
) -> list[str]:
    """Return the sequences to which a loop's layers write one row per iteration.

    roots, rows   as for `read_rows`
    """
    body = steps[loop.first : loop.last + 1]
    made = (result.node for step in body for result in step.results)
    return [roots[node.name][0] for node in made if rows.get(node.name) or node.op == WRITE]


def _loop_result(
    loop: LoopLayers, at: int, result: QuantizedNode, uses: Sequence[Use], leaves: bool
) -> LoopTensor | None:
    """Return a result of layer `at` as a tensor of a loop; None if it is none: layers
    outside access it before the loop ends, or it is no state and is read later.

    uses     accesses to its buffer
    leaves   whether the buffer is a caller's
    """
    within = tuple(use for use in uses if use[0] <= loop.last)
    is_read_later = leaves or len(within) < len(uses)
    is_state = result.node.op == STATE
    if (is_read_later and not is_state) or not _is_used_in_loop_only(loop, within, at, is_state):
        return None
    size = math.prod(result.out) * result.element_type.size_bytes
    stored_as = result.node.name if is_read_later else ""
    return LoopTensor(loop, at, size, within, stored_as=stored_as)


def _is_used_in_loop_only(loop: LoopLayers, uses: Iterable[Use], at: int, is_state: bool) -> bool:
    """Return whether only layers of a loop access a tensor; layer `at` may set a state."""
    layers = {layer for layer, _, _ in uses} - ({at} if is_state else set())
    return loop.steps > 1 and bool(layers) and layers <= loop.indices


def _buffer_accesses(steps: Sequence[QuantizedNode], roots: Roots) -> dict[str, list[Use]]:
    """Return tensor -> accesses to its buffer."""
    uses: dict[str, list[Use]] = {}
    for at, step in enumerate(steps):
        for source, name in step.tensors.items():
            root, offset = roots[name]
            uses.setdefault(root, []).append((at, source, offset))
    return uses


def turns_of(loops: Iterable[LoopLayers], layer: int) -> int:
    """Return how often a layer runs per inference: the iterations of its loop, or 1."""
    return next((loop.steps for loop in loops if layer in loop), 1)


def borders(loops: Iterable[LoopLayers]) -> frozenset[int]:
    """Return the layers before which no data may be prefetched: the first one of each loop, and the
    one after it."""
    return frozenset(at for loop in loops for at in (loop.first, loop.last + 1))


def own_row(q: QuantGraph, node: Node) -> int:
    """Return the distance in bytes of two iterations' rows, for a node that copies a row of a
    sequence; 0 for other nodes."""
    return row_bytes(q, node) if node.op in (READ, WRITE) else 0
