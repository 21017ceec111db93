# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers of a graph from their weights: steps, states, directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import GraphBuilder, reshape, slice_axis

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
# ONNX's order of gates: i, o, f, c and z, r, h
ORDER = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}


class DirectionWeights(NamedTuple):
    """Weights of one direction of one recurrent layer, in the gate order of the operators (G
    gates).

    w, r             weights of the input [G * H, C] and of h [G * H, H]
    bias_w, bias_r   biases of both products, [G * H]
    projection       optional matrix [P, H] applied to h after every time step; r is then [G * H, P]
    """

    w: Array
    r: Array
    bias_w: Array
    bias_r: Array
    projection: Array | None = None


class Run(NamedTuple):
    """Outputs of one direction of a recurrent layer, as names of tensors.

    steps   h of all time steps [T, N, H]
    h, c    final states [1, N, H]; c is None without a cell state
    """

    steps: str
    h: str
    c: str | None


def gate_by_gate(rows: Array, gates: int) -> Array:
    return rows.reshape(gates, len(rows) // gates, *rows.shape[1:])


def _unit_by_unit(rows: Array, gates: int) -> Array:
    return np.asarray(gate_by_gate(rows, gates).swapaxes(0, 1).reshape(rows.shape))


def plain(
    d: GraphBuilder, kind: str, x: str, learnt: DirectionWeights, first: Sequence[str], back: bool
) -> Run:
    """Add one direction of a plain RNN over x [T, N, C]; return its outputs.

    kind     operator: "rnn_tanh" or "rnn_relu"
    learnt   weights
    first    initial h, [N, H]
    back     whether it runs backwards in time
    """
    bias = d.constant(learnt.bias_w + learnt.bias_r)
    sums = d.add("sums", x, d.constant(learnt.w), bias)
    y = d.add(kind, sums, *first, d.constant(learnt.r), reverse=back)
    return Run(y, last_step(d, y, back), None)


def projected(
    d: GraphBuilder, x: str, learnt: DirectionWeights, first: Sequence[str], back: bool
) -> Run:
    """Add one direction of an LSTM with projections, as an LSTM whose recurrent weights include
    them; arguments as for `run`.

    An initial h is multiplied by the projection's pseudoinverse, the smallest h with that
    projection.
    """
    matrix = learnt.projection
    assert matrix is not None
    r = learnt.r.astype(np.float64) @ matrix
    inverse = d.constant(np.linalg.pinv(matrix.astype(np.float64)).astype(np.float32))
    h, *cells = first
    if np.any(d.arrays.get(h, np.ones(1))):
        h = d.add("linear", h, inverse)
    else:
        h = d.constant(np.zeros((d.shape(h)[0], matrix.shape[1]), np.float32))
    whole = run(d, "lstm", x, learnt._replace(r=r, projection=None), [h, *cells], back)
    steps = d.add("linear", whole.steps, d.constant(matrix))
    return Run(steps, last_step(d, steps, back), whole.c)


def last_step(d: GraphBuilder, steps: str, reverse: bool) -> str:
    last = 0 if reverse else d.shape(steps)[0] - 1
    return slice_axis(d, steps, 0, last, last + 1)


def run(
    d: GraphBuilder,
    kind: str,
    x: str,
    learnt: DirectionWeights,
    first: Sequence[str],
    reverse: bool,
    reset_first: bool = False,
) -> Run:
    """Add the nodes of one direction of a recurrent layer over x [T, N, C]; return its outputs.

    kind          "lstm", "gru", "rnn_tanh" or "rnn_relu"
    learnt        weights
    first         initial h, and c for an LSTM, each [N, H]
    reverse       whether it runs backwards in time
    reset_first   whether a GRU applies the reset gate before the product with h
    """
    if learnt.projection is not None:
        return projected(d, x, learnt, first, reverse)
    if kind.startswith("rnn"):
        return plain(d, kind, x, learnt, first, reverse)
    gates, attrs = GATES[kind], dict[str, Any](reverse=reverse)
    added, own = learnt.bias_w + learnt.bias_r, tuple[str, ...]()
    r = d.constant(_unit_by_unit(learnt.r, gates))
    if kind == "gru":
        attrs["reset_first"] = reset_first
        kept, new = np.zeros_like(learnt.bias_r), 2 * learnt.r.shape[1]
        if not reset_first:  # the bias of the new gate is reset together with h's contribution
            kept[new:] = learnt.bias_r[new:]
        added = added - kept
        own = (d.constant(_unit_by_unit(kept, gates)),)
    w = d.constant(_unit_by_unit(learnt.w, gates))
    sums = d.add("gates", x, w, d.constant(_unit_by_unit(added, gates)))
    y = d.add(kind, sums, *first, r, *own, **attrs)
    c = d.add("lstm_cell", sums, *first, r, reverse=reverse) if kind == "lstm" else None
    alone = None if c is None else reshape(d, c, (1, *d.shape(c)))
    return Run(y, last_step(d, y, reverse), alone)


def layer(
    d: GraphBuilder,
    kind: str,
    x: str,
    learnt: Sequence[DirectionWeights],
    first: Sequence[str | None],
    ways: Mapping[str, bool],
    at: int = 0,
    reset_first: bool = False,
) -> list[Run]:
    """Add one layer of an LSTM, GRU or RNN over x [T, N, C]; return the outputs of each direction.

    kind          "lstm", "gru", "rnn_tanh" or "rnn_relu"
    learnt        weights of each direction
    first         initial states [L, N, H] of all layers and directions; None: zeros
    ways          name of each direction -> whether it runs backwards in time
    at            index of this layer's first state in `first`
    reset_first   whether a GRU applies the reset gate before the product with h
    """
    runs = []
    for index, (w, part) in enumerate(zip(learnt, ways, strict=True), start=at):
        states, batch = [], d.shape(x)[1]
        for units, name in zip((w.r.shape[1], len(w.w) // GATES[kind]), first, strict=False):
            if name is None:
                states.append(d.constant(np.zeros((batch, units), np.float32)))
            elif name in d.constants:
                states.append(d.constant(d.array(name)[index]))
            else:
                states.append(reshape(d, slice_axis(d, name, 0, index, index + 1), (batch, units)))
        with d.part(part):
            runs.append(run(d, kind, x, w, states, ways[part], reset_first))
    return runs
