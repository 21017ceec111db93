# SPDX-License-Identifier: Apache-2.0
"""Recurrent cells called step by step, replaced by one layer over all time steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.match import attempt, behind, require, writer
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis
from myoedge.passes.first_steps import EVERY_STEP, INPUTS
from myoedge.passes.loops import in_operand_order, with_patch
from myoedge.passes.steps import is_equal, stacked

LAST_C = {"lstm": "lstm_cell"}  # sequence operator -> operator that returns its last c


@dataclass(frozen=True)
class _Cells:
    """A chain of calls of a recurrent cell, to be replaced by one layer.

    steps   the calls, one per time step, in order of time
    """

    graph: Graph
    steps: Sequence[Node]

    @property
    def sources(self) -> list[Node]:
        return [self.graph.producer[node.inputs[0]] for node in self.steps]

    @property
    def cells(self) -> dict[str, int]:
        """Cell states c of the calls: tensor -> number of its time step."""
        steps = {node.inputs[0]: number for number, node in enumerate(self.steps)}
        op = LAST_C.get(self.steps[0].op)
        found = (node for node in self.graph.nodes if node.op == op)
        return {node.name: steps[node.inputs[0]] for node in found if node.inputs[0] in steps}


def roll_cells(graph: Graph) -> Graph:
    """Replace each chain of at least two calls of a recurrent cell by one layer over all time
    steps, if the cell's inputs do not depend on its states."""
    rolled = graph
    for chain in [*_chains(graph)][::-1]:  # chains that other chains read come first
        rolled = attempt(_rolled, _Cells(rolled, chain)) or rolled
    return rolled


def _chains(graph: Graph) -> Iterator[list[Node]]:
    """Yield chains of cell calls, in order of time; the last chain of the graph comes first. No
    call is part of two chains, also if two others read its states."""
    taken: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op in EVERY_STEP and node.name not in taken:
            chain = [node]
            while (before := attempt(_step_before, graph, chain[-1])) is not None:
                if before.name in taken:
                    break
                chain.append(before)
            taken.update(x.name for x in chain)
            if len(chain) > 1:
                yield chain[::-1]


def _step_before(graph: Graph, node: Node) -> Node:
    """Return the cell call that computes the initial states of this one.

    Errors: NoMatch if there is none, or if its weights are different.
    """
    states = 1 + (node.op in LAST_C)
    h, *cells = (
        writer(graph, behind(graph, name, "reshape")) for name in node.inputs[1 : 1 + states]
    )
    require(all((c.op, c.inputs) == (LAST_C[node.op], h.inputs) for c in cells))
    before, after = (writer(graph, x.inputs[0], *INPUTS) for x in (h, node))
    for one, other, first in ((h, node, 1 + states), (before, after, 1)):
        require((one.op, one.attrs) == (other.op, other.attrs))
        weights = zip(one.inputs[first:], other.inputs[first:], strict=True)
        require(all(is_equal(graph, *pair) for pair in weights))
    require(graph.shape(h.name)[0] == graph.shape(node.name)[0] == 1)
    return h


def _read_inside(cells: _Cells) -> set[str]:
    """Return the tensors inside the chain whose readers will read slices of the new layer's
    results.

    Errors: NoMatch if a cell state c before the last one is read outside the chain.
    """
    graph, last = cells.graph, len(cells.steps) - 1
    chained = {node.name for node in cells.steps} | cells.cells.keys()
    inner = [name for name, number in cells.cells.items() if number < last]
    for name in inner:  # `inner` grows in the loop
        views = [x.name for x in graph.users.get(name, ()) if x.op == "reshape"]
        inner += views
        chained.update(views)
    readers = (x.name for name in inner for x in graph.users.get(name, ()))
    require(chained.issuperset(readers), {*inner}.isdisjoint(graph.outputs))
    return chained


def _rolled(cells: _Cells) -> Graph:
    """Replace a chain of cell calls by one layer over all time steps.

    Errors: NoMatch if an input depends on a state, or if a cell state c before the last one
            is read outside the chain.
    """
    graph, first, count = cells.graph, cells.steps[0], len(cells.steps)
    chained = _read_inside(cells)
    patch = GraphBuilder(graph, replace(first, outputs=(f"{first.name}.steps",)))
    rows = stacked(patch, [source.inputs[0] for source in cells.sources])
    gates, states = all_steps(patch, cells.sources[0], first, rows)
    names = {
        node.name: slice_axis(patch, states, 0, number, number + 1)
        for number, node in enumerate(cells.steps)
    }
    for name, number in cells.cells.items():
        if number == count - 1:
            names[name] = patch.add(LAST_C[first.op], gates, *first.inputs[1:], **first.attrs)
    kept = (node.reading(names) for node in graph.nodes if node.name not in chained)
    outputs = tuple(names.get(name, name) for name in graph.outputs)
    return prune(in_operand_order(with_patch(graph, patch, (*kept, *patch.nodes), outputs)))


def all_steps(patch: GraphBuilder, source: Node, cell: Node, rows: str) -> tuple[str, str]:
    """Add a recurrent layer over all time steps; return the tensors of its gates and of its states
    h [steps, batch, units].

    source   node that computes the gates of one step (the input product)
    cell     node that computes h of one step from the gates and the initial states
    rows     inputs of `source` for all steps, [steps, 1, batch, inputs]
    """
    steps, _, *row = patch.shape(rows)
    x = reshape(patch, rows, (steps, *row))
    gates = patch.add(source.op, x, *source.inputs[1:], origin=source.origin, **source.attrs)
    return gates, patch.add(cell.op, gates, *cell.inputs[1:], origin=cell.origin, **cell.attrs)
