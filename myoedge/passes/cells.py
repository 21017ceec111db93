# SPDX-License-Identifier: Apache-2.0
"""Recurrent cells called step by step, replaced by one layer over all time steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.rewrite import apply, made_by
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis
from myoedge.passes.first_steps import EVERY_STEP, INPUTS
from myoedge.passes.loops import in_operand_order
from myoedge.passes.steps import join_steps, stacked

LAST_C = {"lstm": "lstm_cell"}  # operators that give the last c of these steps


@dataclass(frozen=True)
class _Cells:
    """Consecutive steps of a recurrent layer.

    steps   nodes of one step each, first step first
    """

    graph: Graph
    steps: Sequence[Node]

    @property
    def sources(self) -> list[Node]:
        return [self.graph.producer[node.inputs[0]] for node in self.steps]

    @property
    def cells(self) -> dict[str, int]:
        """Results c of the steps, and their numbers."""
        steps = {node.inputs[0]: number for number, node in enumerate(self.steps)}
        op = LAST_C.get(self.steps[0].op)
        found = (node for node in self.graph.nodes if node.op == op)
        return {node.name: steps[node.inputs[0]] for node in found if node.inputs[0] in steps}


def roll_cells(graph: Graph) -> Graph:
    """Replace chains of at least two cell calls by one layer, if their inputs do not depend on the
    states."""
    rolled = graph
    for chain in [*_chains(graph)][::-1]:  # those that others read first
        rolled = _rolled(_Cells(rolled, chain)) or rolled
    return graph if rolled is graph else apply((join_steps,), rolled)


def _chains(graph: Graph) -> Iterator[list[Node]]:
    """Yield the chains, later ones first."""
    taken: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op in EVERY_STEP and node.name not in taken:
            chain = [node]
            while (before := _step_before(graph, chain[-1])) is not None:
                chain.append(before)
            taken.update(x.name for x in chain)
            if len(chain) > 1:
                yield chain[::-1]


def _step_before(graph: Graph, node: Node) -> Node | None:
    """Return the step whose states a step begins with; None if there is none, or it has other
    weights."""
    h = graph.producer.get(_reshaped(graph, node.inputs[1]))
    if h is None or h.op != node.op or h.attrs != node.attrs or graph.shape(h.name)[0] != 1:
        return None
    first, sources = 1, [graph.producer.get(x.inputs[0]) for x in (h, node)]
    if node.op in LAST_C:
        c, first = graph.producer.get(_reshaped(graph, node.inputs[2])), 2
        if c is None or c.op != LAST_C[node.op] or c.inputs != h.inputs:
            return None
    if graph.shape(node.name)[0] != 1 or None in sources:
        return None
    before, after = (x for x in sources if x is not None)
    weights = [*zip(h.inputs[first + 1 :], node.inputs[first + 1 :], strict=True)]
    weights += zip(before.inputs[1:], after.inputs[1:], strict=True)
    is_alike = before.op in INPUTS and (before.op, before.attrs) == (after.op, after.attrs)
    return h if is_alike and all(_equal(graph, *pair) for pair in weights) else None


def _reshaped(graph: Graph, name: str) -> str:
    """Return the tensor of which a tensor is another shape."""
    while (node := made_by(graph, name, "reshape")) is not None:
        name = node.inputs[0]
    return name


def _equal(graph: Graph, a: str, b: str) -> bool:
    x, y = graph.find_array(a), graph.find_array(b)
    return a == b or (x is not None and y is not None and np.array_equal(x, y))


def _rolled(cells: _Cells) -> Graph | None:
    """Return the graph with one layer for all steps; None if an input depends on a state, or a c
    before the last one is read elsewhere."""
    graph, first, count = cells.graph, cells.steps[0], len(cells.steps)
    patch = GraphBuilder(graph, replace(first, outputs=(f"{first.name}.steps",)))
    rows = stacked(patch, [source.inputs[0] for source in cells.sources])
    chained = {node.name for node in cells.steps} | cells.cells.keys()
    inner = [name for name, number in cells.cells.items() if number < count - 1]
    for name in inner:  # grows
        views = [x.name for x in graph.users.get(name, ()) if x.op == "reshape"]
        inner += views
        chained.update(views)
    readers = (x.name for name in inner for x in graph.users.get(name, ()))
    is_read = not chained.issuperset(readers) or not {*inner}.isdisjoint(graph.outputs)
    if rows is None or is_read:
        return None
    source = cells.sources[0]
    x = reshape(patch, rows, (count, *patch.shape(rows)[2:]))
    gates = patch.add(source.op, x, *source.inputs[1:], **source.attrs)
    states = patch.add(first.op, gates, *first.inputs[1:], **first.attrs)
    names = {
        node.name: slice_axis(patch, states, 0, number, number + 1)
        for number, node in enumerate(cells.steps)
    }
    for name, number in cells.cells.items():
        if number == count - 1:
            names[name] = patch.add(LAST_C[first.op], gates, *first.inputs[1:], **first.attrs)
    return _with(graph, patch, chained, names)


def _with(
    graph: Graph, patch: GraphBuilder, gone: set[str], names: Mapping[str, str]
) -> Graph | None:
    """Return the graph without some nodes, whose readers read others."""
    kept = (node for node in graph.nodes if node.name not in gone)
    nodes = [x.but(inputs=tuple(names.get(name, name) for name in x.inputs)) for x in kept]
    whole = replace(
        graph,
        outputs=tuple(names.get(name, name) for name in graph.outputs),
        nodes=(*nodes, *patch.nodes),
        tensors={**graph.tensors, **patch.tensors},
        constants={**graph.constants, **patch.constants},
    )
    try:
        return prune(in_operand_order(whole))
    except ValueError:  # an input depends on a state
        return None
