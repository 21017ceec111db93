# SPDX-License-Identifier: Apache-2.0
"""Patterns on recurrent layers: cells called step by step become one layer over all time steps, and
unread time steps and unnecessary products are removed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoedge.graph.ir import Graph, Node, prune
from myoedge.graph.match import attempt, behind, floats, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis
from myoedge.operators.recurrent.cells import CELLS
from myoedge.passes.forms import is_zeros
from myoedge.passes.loops import in_operand_order, with_patch
from myoedge.passes.steps import is_equal, stacked

EVERY_STEP = ("lstm", "gru", "rnn_relu", "rnn_tanh")  # return h of all steps
INPUTS = ("gates", "sums")  # compute the inputs' contribution to each step
KEPT_GATES = (0, 2, 3)  # of an LSTM, without the forget gate, which multiplies c = 0


@rewrite_pattern("slice")
def slice_both_directions(graph: Graph, node: Node) -> Rewrite:
    """Move a slice of time steps before the concat of a recurrent layer's two directions:
    slice(concat(a, b)) = concat(slice(a), slice(b))."""
    both = writer(graph, node.inputs[0], "concat", reader=node)
    for x in both.inputs:
        writer(graph, x, *EVERY_STEP, reader=both)
    axis, cuts = both.attrs["axis"], node.attrs["cuts"]
    require(cuts[axis] == (0, graph.shape(both.name)[axis], 1))
    patch = GraphBuilder(graph, node)
    parts = [
        patch.add("slice", x, cuts=(*cuts[:axis], (0, graph.shape(x)[axis], 1), *cuts[axis + 1 :]))
        for x in both.inputs
    ]
    return patch.last("concat", *parts, **both.attrs, origin=both.origin)


@rewrite_pattern("slice")
def steps_that_are_read(graph: Graph, node: Node) -> Rewrite:
    """Run a recurrent layer only over the time steps that are read: up to the last one, or one step
    of the backward direction if only the last time step is read."""
    steps = writer(graph, node.inputs[0], *EVERY_STEP, reader=node)
    count, taken = graph.shape(steps.name)[0], range(*node.attrs["cuts"][0])
    back = steps.attrs["reverse"]
    first, end = (min(taken), count) if back else (0, max(taken) + 1)
    require(end - first < count)
    source = writer(graph, steps.inputs[0], *INPUTS, reader=steps)
    patch = GraphBuilder(graph, node)
    x = slice_axis(patch, source.inputs[0], 0, first, end)
    gates = patch.add(source.op, x, *source.inputs[1:], **source.attrs, origin=source.origin)
    h = patch.add(steps.op, gates, *steps.inputs[1:], **steps.attrs, origin=steps.origin)
    start, stop, by = node.attrs["cuts"][0]
    cut = (start - first, max(stop - first, -1), by)
    return patch.last("slice", h, cuts=(cut, *node.attrs["cuts"][1:]))


@rewrite_pattern("lstm")
def first_lstm_step(graph: Graph, node: Node) -> Rewrite:
    """Replace an LSTM with one time step and zero initial states by a pointwise function of its
    gates, without the forget gate."""
    source, patch = _match_single_step(graph, node, states=2), GraphBuilder(graph, node)
    rows = []
    for name in source.inputs[1:]:
        whole = graph.array(name)
        by_unit = whole.reshape(-1, len(CELLS["lstm"].order), *whole.shape[1:])
        kept = by_unit[:, KEPT_GATES].reshape(-1, *whole.shape[1:])
        rows.append(patch.constant(np.ascontiguousarray(kept)))
    gates = patch.add("gates", source.inputs[0], *rows, **source.attrs, origin=source.origin)
    return patch.last("lstm_start", gates)


@rewrite_pattern("gru")
def first_gru_step(graph: Graph, node: Node) -> Rewrite:
    """Replace a GRU with one time step and a zero initial state by a pointwise function of its
    gates and the bias b_hn."""
    source, patch = _match_single_step(graph, node, states=1), GraphBuilder(graph, node)
    names = node.inputs[3], source.inputs[2]
    own, added = (values.reshape(-1, len(CELLS["gru"].order)) for values in floats(graph, names))
    added[:, :2] += own[:, :2]
    bias = patch.constant(added.reshape(-1))
    gates = patch.add("gates", *source.inputs[:2], bias, origin=source.origin)
    return patch.last("gru_start", gates, patch.constant(own[:, 2]))


@rewrite_pattern("rnn_relu")
def first_plain_step(graph: Graph, node: Node) -> Rewrite:
    """Replace a ReLU RNN with one time step and a zero initial state by a linear layer."""
    source, patch = _match_single_step(graph, node, states=1), GraphBuilder(graph, node)
    sums = patch.add("linear", *source.inputs, origin=source.origin)
    return patch.last("table", sums, chain=(("clamp", 0.0, math.inf),))


@rewrite_pattern("lstm", "lstm_cell")
def one_lstm_step(graph: Graph, node: Node) -> Rewrite:
    """Replace an LSTM with one time step by a linear layer for the recurrent product and a
    pointwise operator, for several sequences or if c is read.

    If c is read, the LSTM would run twice, as h and c are separate results of separate kernels.
    """
    gates, h, c, r = node.inputs
    require(graph.shape(gates)[0] == 1)
    require(graph.shape(h)[0] > 1 or any(user.op != "lstm" for user in graph.users[gates]))
    require(not graph.is_const(h) or is_zeros(graph, h))  # a computed h would add steps of its own
    patch = GraphBuilder(graph, node)
    added = next((x.name for x in graph.users[h] if x.op == "gates" and x.inputs[1] == r), "")
    if not added:
        added = patch.add("gates", h, r, patch.constant(np.zeros(len(graph.array(r)))))
    next_op = {"lstm": "lstm_next", "lstm_cell": "lstm_next_cell"}[node.op]
    return patch.last(next_op, gates, added, c)


def _match_single_step(graph: Graph, node: Node, *, states: int) -> Node:
    """Return the node that computes the gates of a recurrent layer with one time step and zero
    initial states. Errors: NoMatch."""
    require(graph.shape(node.name)[0] == 1)
    require(all(is_zeros(graph, name) for name in node.inputs[1 : 1 + states]))
    return writer(graph, node.inputs[0], *INPUTS, reader=node)


READ_STEPS: tuple[RewritePattern, ...] = (slice_both_directions, steps_that_are_read)
ONE_STEP: tuple[RewritePattern, ...] = (  # for networks whose recurrent layers have a single step
    first_lstm_step,
    first_gru_step,
    first_plain_step,
    one_lstm_step,
)


LAST_C = {"lstm": "lstm_cell"}  # sequence operator -> operator that returns its last c


@dataclass(frozen=True)
class _CellChain:
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
    for chain in [*_find_cell_chains(graph)][::-1]:  # chains that other chains read come first
        rolled = attempt(_replace_cells_by_layer, _CellChain(rolled, chain)) or rolled
    return rolled


def _find_cell_chains(graph: Graph) -> Iterator[list[Node]]:
    """Yield chains of cell calls, in order of time; the last chain of the graph comes first. No
    call is part of two chains, also if two others read its states."""
    taken: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op in EVERY_STEP and node.name not in taken:
            chain = [node]
            while (before := attempt(_match_previous_cell, graph, chain[-1])) is not None:
                if before.name in taken:
                    break
                chain.append(before)
            taken.update(x.name for x in chain)
            if len(chain) > 1:
                yield chain[::-1]


def _match_previous_cell(graph: Graph, node: Node) -> Node:
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


def _tensors_read_elsewhere(cells: _CellChain) -> set[str]:
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


def _replace_cells_by_layer(cells: _CellChain) -> Graph:
    """Replace a chain of cell calls by one layer over all time steps.

    Errors: NoMatch if an input depends on a state, or if a cell state c before the last one
            is read outside the chain.
    """
    graph, first, count = cells.graph, cells.steps[0], len(cells.steps)
    chained = _tensors_read_elsewhere(cells)
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
