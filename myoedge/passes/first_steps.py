# SPDX-License-Identifier: Apache-2.0
"""Patterns that remove unread time steps of recurrent layers, and unnecessary products."""

from __future__ import annotations

import math

import numpy as np

from myoedge.graph.ir import Graph, Node
from myoedge.graph.match import floats, require, writer
from myoedge.graph.rewrite import Rewrite, RewritePattern, rewrite_pattern
from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, slice_axis
from myoedge.operators.recurrent.cells import CELLS
from myoedge.passes.forms import is_zeros

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
    source, patch = _only_step(graph, node, states=2), GraphBuilder(graph, node)
    rows = (patch.constant(_kept(graph, name)) for name in source.inputs[1:])
    gates = patch.add("gates", source.inputs[0], *rows, **source.attrs, origin=source.origin)
    return patch.last("lstm_start", gates)


def _kept(graph: Graph, name: str) -> Array:
    """Return an LSTM's weights or biases without the rows of the forget gates."""
    rows = graph.array(name)
    by_unit = rows.reshape(-1, len(CELLS["lstm"].order), *rows.shape[1:])[:, KEPT_GATES]
    return np.ascontiguousarray(by_unit.reshape(-1, *rows.shape[1:]))


@rewrite_pattern("gru")
def first_gru_step(graph: Graph, node: Node) -> Rewrite:
    """Replace a GRU with one time step and a zero initial state by a pointwise function of its
    gates and the bias b_hn."""
    source, patch = _only_step(graph, node, states=1), GraphBuilder(graph, node)
    names = node.inputs[3], source.inputs[2]
    own, added = (values.reshape(-1, len(CELLS["gru"].order)) for values in floats(graph, names))
    added[:, :2] += own[:, :2]
    bias = patch.constant(added.reshape(-1))
    gates = patch.add("gates", *source.inputs[:2], bias, origin=source.origin)
    return patch.last("gru_start", gates, patch.constant(own[:, 2]))


@rewrite_pattern("rnn_relu")
def first_plain_step(graph: Graph, node: Node) -> Rewrite:
    """Replace a ReLU RNN with one time step and a zero initial state by a linear layer."""
    source, patch = _only_step(graph, node, states=1), GraphBuilder(graph, node)
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


def _only_step(graph: Graph, node: Node, *, states: int) -> Node:
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
