# SPDX-License-Identifier: Apache-2.0
"""Import of LSTM, GRU and plain RNN layers: for every layer and direction, gate sums and then the
recurrence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from myoedge.numerics.arrays import Array
from myoedge.operators.graph_builder import (
    GraphBuilder,
    Unsupported,
    concat,
    reshape,
    slice_axis,
    transpose,
    weights,
)
from myoedge.operators.import_rows import Arguments, ImportRow, Row

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
# of ONNX: i, o, f, c and z, r, h
ORDER = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}
ACTIVATIONS = {
    "lstm": ["sigmoid", "tanh", "tanh"], "gru": ["sigmoid", "tanh"],
    "rnn_tanh": ["tanh"], "rnn_relu": ["relu"],
}  # fmt: skip
# of ONNX, by part: whether each goes backwards
DIRECTIONS = {
    "forward": {"": False}, "reverse": {"": True},
    "bidirectional": {"forward": False, "reverse": True},
}  # fmt: skip


class Weights(NamedTuple):
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


def _gate_by_gate(rows: Array, gates: int) -> Array:
    return rows.reshape(gates, len(rows) // gates, *rows.shape[1:])


def _unit_by_unit(rows: Array, gates: int) -> Array:
    return np.asarray(_gate_by_gate(rows, gates).swapaxes(0, 1).reshape(rows.shape))


def plain(
    d: GraphBuilder, kind: str, x: str, learnt: Weights, first: Sequence[str], back: bool
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


def projected(d: GraphBuilder, x: str, learnt: Weights, first: Sequence[str], back: bool) -> Run:
    """Add one direction of an LSTM with projections, as an LSTM whose recurrent weights include
    them.

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
    learnt: Weights,
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
        if not reset_first:  # the new gate's bias is reset together with what h adds
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
    learnt: Sequence[Weights],
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


def aten(kind: str) -> Row:
    """Return a function that imports torch's lstm.input, gru.input or rnn_tanh.input, with any
    number of layers and one or two directions.

    kind   "lstm", "gru", "rnn_tanh" or "rnn_relu"
    """

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        x = transpose(d, a["input"], (1, 0, 2)) if a["batch_first"] else a["input"]
        layers, directions = int(a["num_layers"]), 2 if a["bidirectional"] else 1
        learnt = _learnt(d, a, layers * directions)
        first = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        runs: list[Run] = []
        for number in range(layers):
            at = number * directions
            ways = _parts(number, layers, directions)
            made = layer(d, kind, x, learnt[at : at + directions], first, ways, at)
            x = concat(d, [r.steps for r in made], 2)
            runs += made
        y = transpose(d, x, (1, 0, 2)) if a["batch_first"] else x
        return (y, *_last(d, runs))

    return row


def _parts(number: int, layers: int, directions: int) -> dict[str, bool]:
    """Return the directions of a layer by torch's suffix of their weights, "l1_reverse", and
    whether each runs backwards; "" for a module with one layer and direction."""
    if layers == directions == 1:
        return {"": False}
    forward = f"l{number}"
    return {forward: False, f"{forward}_reverse": True} if directions > 1 else {forward: False}


def cell(kind: str) -> Row:
    """Return a function that imports lstm_cell, gru_cell or an RNN cell, as a layer of one time
    step."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> Any:
        w, r = (weights(d, a[name], "a recurrent cell's weight") for name in ("w_ih", "w_hh"))
        given = (a["b_ih"], a["b_hh"])
        biases = [
            np.zeros(len(w), np.float32) if name is None else weights(d, name, "a cell's bias")
            for name in given
        ]
        states = list(a["hx"]) if kind == "lstm" else [a["hx"]]
        x = reshape(d, a["input"], (1, *d.shape(a["input"])))
        made = run(d, kind, x, Weights(w, r, *biases), states, reverse=False)
        after = [made.h] if made.c is None else [made.h, made.c]
        found = tuple(reshape(d, name, d.shape(name)[1:]) for name in after)
        return found if kind == "lstm" else found[0]

    return row


def _last(d: GraphBuilder, runs: Sequence[Run]) -> tuple[str, ...]:
    """Concatenate the last states of all directions: h, and c for an LSTM."""
    h = concat(d, [run.h for run in runs], 0)
    cells = [run.c for run in runs if run.c is not None]
    return (h, concat(d, cells, 0)) if cells else (h,)


def _learnt(d: GraphBuilder, a: Arguments, count: int) -> list[Weights]:
    names, biases = a["params"], 2 if a["has_biases"] else 0
    each, learnt = len(names) // count, []
    for at in range(0, len(names), each):
        parts = names[at : at + each]
        w, r, *others = (weights(d, name, "a recurrent layer's weight") for name in parts)
        bias = others[:biases] or [np.zeros(len(w), np.float32)] * 2
        # i, f, g, o and r, z, n: the order of the operators; with proj_size a matrix after them
        learnt.append(Weights(w, r, *bias, *others[biases:]))
    return learnt


def onnx(name: str) -> Row:
    """Return a function that imports ONNX's LSTM, GRU or RNN, with one or two directions."""

    def row(d: GraphBuilder, a: Arguments, out: Any) -> tuple[str, ...]:
        batch_first, kind = bool(a["layout"]), name
        if name == "rnn":
            relu = "relu" in (first.lower() for first in (a["activations"] or ())[:1])
            kind = "rnn_relu" if relu else "rnn_tanh"
        _refuse_odd(d, a, kind)

        def swapped(x: str, *perm: int) -> str:
            return transpose(d, x, perm) if batch_first else x

        x = swapped(a["input"], 1, 0, 2)
        ways = DIRECTIONS[a["direction"]]
        learnt = _learnt_onnx(d, a, kind, len(ways))
        given = [a["h"], a["c"]] if kind == "lstm" else [a["h"]]
        _check_states(d, a, given, learnt)
        first = [None if name is None else swapped(name, 1, 0, 2) for name in given]
        early = kind == "gru" and not a["linear_before_reset"]
        runs = layer(d, kind, x, learnt, first, ways, reset_first=early)
        steps, batch, units = d.shape(runs[0].steps)
        y = concat(d, [reshape(d, r.steps, (steps, 1, batch, units)) for r in runs], 1)
        last = _last(d, runs)
        return (swapped(y, 2, 0, 1, 3), *(swapped(state, 1, 0, 2) for state in last))

    return row


def _check_states(
    d: GraphBuilder, a: Arguments, given: Sequence[str | None], learnt: Sequence[Weights]
) -> None:
    """Raise ValueError if an initial state has another number of units, as in LSTMs with
    projection."""
    batch = d.shape(a["input"])[0 if a["layout"] else 1]
    ways, units = len(learnt), learnt[0].r.shape[1]
    needs = (batch, ways, units) if a["layout"] else (ways, batch, units)
    for name in given:
        if name is not None and d.shape(name) != needs:
            raise ValueError(f"a first state {list(d.shape(name))}, not {list(needs)}")


def _refuse_odd(d: GraphBuilder, a: Arguments, kind: str) -> None:
    activations = [name.lower() for name in a["activations"] or ()]
    usual, steps = ACTIVATIONS[kind], d.shape(a["input"])[1 if a["layout"] else 0]
    odd = {
        f"activations {', '.join(activations)}": (
            activations != usual * (len(activations) // len(usual))
        ),
        **{f"{name}={a.get(name)}": a.get(name) for name in ("clip", "input_forget")},
        "peepholes": _differs(a.get("peepholes"), 0),
        "sequences of different lengths": _differs(a["lengths"], steps),
    }
    for what, is_odd in odd.items():
        if is_odd:
            raise Unsupported(what)


def _differs(given: Array | None, usual: int) -> bool:
    return given is not None and bool(np.any(given != usual))


def _learnt_onnx(d: GraphBuilder, a: Arguments, kind: str, ways: int) -> list[Weights]:
    """Weights of all directions, with gates in the operators' order."""
    w, r = d.array(a["w"]), d.array(a["r"])
    rows, units, order = r.shape[1], r.shape[2], list(ORDER[kind])
    b = np.zeros((ways, 2 * rows), np.float32) if a["bias"] is None else d.array(a["bias"])
    columns = d.shape(a["input"])[-1]
    expected = ((ways, rows, columns), (ways, GATES[kind] * units, units), (ways, 2 * rows))
    if (w.shape, r.shape, b.shape) != expected:
        raise ValueError(f"weights {list(w.shape)}, {list(r.shape)}, {list(b.shape)}")
    parts = ((w[i], r[i], b[i, :rows], b[i, rows:]) for i in range(ways))
    return [
        Weights(*(_gate_by_gate(x, len(order))[order].reshape(x.shape) for x in arrays))
        for arrays in parts
    ]


INPUTS = "(input, w: weights, r: weights, bias: weights, lengths: array, h"
USES = "direction='forward', layout=0, activations=None, clip=None"

ROWS = (
    ImportRow("gates lstm lstm_cell", aten("lstm"), "lstm.input", all_results=True),
    ImportRow("gates gru", aten("gru"), "gru.input", all_results=True),
    ImportRow("sums rnn_tanh", aten("rnn_tanh"), "rnn_tanh.input", all_results=True),
    ImportRow("sums rnn_relu", aten("rnn_relu"), "rnn_relu.input", all_results=True),
    ImportRow("gates lstm lstm_cell", cell("lstm"), "lstm_cell", all_results=True),
    ImportRow("gates gru", cell("gru"), "gru_cell"),
    ImportRow("sums rnn_tanh", cell("rnn_tanh"), "rnn_tanh_cell"),
    ImportRow("sums rnn_relu", cell("rnn_relu"), "rnn_relu_cell"),
    ImportRow(
        "gates lstm lstm_cell",
        onnx("lstm"),
        onnx=f"LSTM{INPUTS}, c, peepholes: array, *, input_forget=None, {USES})",
        all_results=True,
    ),
    ImportRow(
        "gates gru",
        onnx("gru"),
        onnx=f"GRU{INPUTS}, *, linear_before_reset=0, {USES})",
        all_results=True,
    ),
    ImportRow(
        "sums rnn_tanh rnn_relu", onnx("rnn"), onnx=f"RNN{INPUTS}, *, {USES})", all_results=True
    ),
)
