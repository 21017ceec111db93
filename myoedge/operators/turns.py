# SPDX-License-Identifier: Apache-2.0
"""Bodies of the loops of a graph, and the execution order of their iterations.

In the graph, a loop's nodes appear once: first its `loop_state` nodes, which run once, then its
body, which includes its `loop_read`, `loop_write` and `loop_next` nodes and runs once per
iteration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.numerics.arrays import Array
from myoedge.operators.base import OPS

STATE, READ, NEXT, WRITE, LAST = "loop_state", "loop_read", "loop_next", "loop_write", "loop_last"
BEGINS, ENDS = (STATE, READ), (NEXT, WRITE)  # operators at the begin and end of an iteration
# The reference runs a body step by step: with 20,000 steps, a build takes 2.3 GB and 40 s.
MOST_STEPS = 10_000
IN_LOOPS = frozenset((*BEGINS, *ENDS))  # results that differ between iterations

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class LoopSpan:
    """The body of a loop, as a range of a graph's nodes.

    first, end   half-open range of node indices
    steps        number of iterations
    """

    first: int
    end: int
    steps: int


def loop_spans(nodes: Sequence[Node]) -> list[LoopSpan]:
    """Return the loop bodies in order of the nodes; an incomplete loop has none."""
    firsts: dict[str, int] = {}
    ends: dict[str, int] = {}
    steps: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if node.op in IN_LOOPS:
            loop = node.attrs["loop"]
            steps[loop] = node.attrs["steps"]
            if node.op == STATE:
                firsts[loop] = index + 1
            elif node.op in ENDS:
                ends[loop] = index + 1
            firsts.setdefault(loop, index)
    spans = (LoopSpan(firsts[loop], end, steps[loop]) for loop, end in ends.items())
    return sorted(spans, key=lambda span: span.first)


def loop_of(nodes: Sequence[Node]) -> dict[str, int]:
    """Return node name -> number of its loop, for nodes in loops."""
    return {
        node.name: number
        for number, span in enumerate(loop_spans(nodes))
        for node in nodes[span.first : span.end]
    }


def has_loops(graph: Graph) -> bool:
    return any(node.op in IN_LOOPS for node in graph.nodes)


def times_run(nodes: Sequence[Node]) -> dict[str, int]:
    """Return node name -> number of times that the node runs: the iterations of its loop, or 1."""
    times = {node.name: 1 for node in nodes}
    for span in loop_spans(nodes):
        times.update((node.name, span.steps) for node in nodes[span.first : span.end])
    return times


def turns(nodes: Sequence[Node], items: Sequence[Item]) -> Iterator[tuple[Item, Node, int]]:
    """Yield (item, node, iteration) in execution order; the iteration is 0 outside loops.

    items   one object per node
    """
    at = 0
    rows = [*zip(items, nodes, strict=True)]
    for span in (*loop_spans(nodes), LoopSpan(len(nodes), len(nodes), 0)):
        yield from ((item, node, 0) for item, node in rows[at : span.first])
        for step in range(span.steps):
            yield from ((item, node, step) for item, node in rows[span.first : span.end])
        at = span.end


def moved(node: Node, step: int, values: MutableMapping[str, Array], axis: int = 0) -> Array | None:
    """Return the result of a loop operator in iteration `step`; None for other operators.

    values   tensors by name; a state is replaced by that of the next iteration, and results of
             loop_write keep the rows of earlier iterations
    axis     axis of the iterations in sequences: 0, or 1 after an axis of samples
    """
    if node.op not in IN_LOOPS:
        return None
    x = values[node.inputs[0]]
    row: tuple[slice | int, ...] = (*(slice(None),) * axis, step)
    if node.op == READ:
        return np.asarray(x[row])
    if node.op == NEXT and step < node.attrs["steps"] - 1:
        values[node.inputs[1]] = x
    if node.op != WRITE:
        return x
    first = np.expand_dims(x, axis)
    written = first.repeat(node.attrs["steps"], axis) if step == 0 else values[node.name]
    written[row] = x
    return written


def is_complete(node: Node, step: int) -> bool:
    """Return whether a node's result is final in iteration `step`; a sequence that the loop writes
    is final after the last iteration."""
    return node.op != WRITE or step == node.attrs["steps"] - 1


def in_order(nodes: Iterable[Node], tensors: Iterable[str]) -> tuple[Node, ...]:
    """Sort nodes so that each loop body is contiguous and follows its loop_state nodes; `loop_next`
    comes after all nodes that read the state.

    nodes     nodes in topological order
    tensors   names of inputs and constants
    """
    listed = [*nodes]
    group_of = {node.name: group for group in _loop_groups(listed) for node in group}
    made: list[Node] = []
    known = {*tensors}
    while left := [node for node in listed if node.name not in known]:
        for node in left:
            group = group_of.get(node.name, [node])
            if node.name not in known and _outside_inputs(group) <= known:
                made += group
                known |= _node_names(group)
        if known.isdisjoint(_node_names(left)):
            raise ValueError("loops that need each other's results")
    return tuple(made)


def _outside_inputs(group: Sequence[Node]) -> set[str]:
    """Return the tensors that nodes read and do not compute."""
    return {x for node in group for x in node.inputs} - _node_names(group)


def _node_names(nodes: Iterable[Node]) -> set[str]:
    return {node.name for node in nodes}


def _loop_groups(nodes: Sequence[Node]) -> list[list[Node]]:
    loops = dict.fromkeys(node.attrs["loop"] for node in nodes if node.op in IN_LOOPS)
    return [_ordered_loop_body(nodes, loop) for loop in loops]


def _ordered_loop_body(nodes: Iterable[Node], loop: str) -> list[Node]:
    """Return the nodes of a loop in order: states, the nodes that have to run in every iteration,
    writes, next states."""
    inside: set[str] = set()
    states, body, writes, ends = (list[Node]() for _ in range(4))
    for node in nodes:
        is_own = node.op in IN_LOOPS and node.attrs["loop"] == loop
        reads = not inside.isdisjoint(node.inputs)
        if not (is_own or reads) or node.op == LAST:
            continue
        {STATE: states, WRITE: writes, NEXT: ends}.get(node.op, body).append(node)
        if node.op not in ENDS:
            inside.add(node.name)
    return [*states, *body, *ordered_ends(ends, body), *writes]


def ordered_ends(nodes: Iterable[Node], body: Iterable[Node]) -> list[Node]:
    """Return the `loop_next` nodes of a loop in an order in which a state is overwritten only after
    all next states that read it.

    body   nodes that may be views of states; slices too, as contiguous ones share a state's bytes
    Errors: ValueError for states that are exchanged, which no order allows.
    """
    ends, inside = [*nodes], [*body]
    views = {node.name: node.inputs[0] for node in inside if OPS[node.op].view}
    slices = {node.name: node.inputs[0] for node in inside if node.op == "slice"}
    found = _order_loop_ends(ends, {**views, **slices}) or _order_loop_ends(ends, views)
    if found is None:
        raise ValueError("states that change places")
    return found


def _order_loop_ends(nodes: Sequence[Node], source: Mapping[str, str]) -> list[Node] | None:
    """Return `loop_next` nodes in the order of `ordered_ends`; None if there is none.

    source   tensor -> the tensor whose bytes it shares
    """

    def viewed(name: str) -> str:
        return viewed(source[name]) if name in source else name

    left, ordered = [*nodes], list[Node]()
    while left:
        read = {viewed(x.inputs[0]): x for x in left}
        first = next((x for x in left if read.get(x.inputs[1], x) is x), None)
        if first is None:
            return None
        left.remove(first)
        ordered.append(first)
    return ordered
